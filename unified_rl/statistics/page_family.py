"""All tests of a page as one family: p-values with Holm's adjustment over them, and what they decide.

A primary contrast ends in one conclusion. Where it differs after Holm's correction over the page: supported or contradicted by the
direction that its hypothesis states (`Primary.expected`), or, where none is stated, above or below. Where it does not: equivalent
within its margin, by two one-sided tests after Holm's correction over those of all primary contrasts of the page, or cannot tell.
The two families have ALPHA each.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from unified_rl.statistics.grid_file import ABOVE, BELOW, Primary
from unified_rl.statistics.intervals import CONFIDENCE, FEWEST_SEEDS
from unified_rl.statistics.planning import holm

ALPHA = 1 - CONFIDENCE
SUPPORTED, CONTRADICTED, EQUIVALENT, CANNOT_TELL = "supported", "contradicted", "equivalent within the margin", "cannot tell"
#: Decisions where Holm's correction leaves no difference: whether the test alone had one.
ONLY_ALONE, NOT_APART = "apart by itself, not after Holm", "not told apart"
#: Columns of a table of comparisons that only primary contrasts fill.
OF_PRIMARY = ("margin", "p_equivalent", "p_equivalent_holm", "conclusion")
HOLM_FAMILY = "over all comparisons, slices and metrics of the page"


def with_holm(rows: list[dict[str, Any]], primary: Sequence[Primary] = ()) -> list[dict[str, Any]]:
    """The rows of a page with p-values adjusted over all of them, and what they decide.

    Args:
        rows: as `contrast_table` has them; those without a `p` could not be tested. Rows of one `test` compare the same runs,
            perhaps under other labels, and count once. primary: their tests share half the error rate; their rows have a
            `p_equivalent`, which is adjusted over these alone.
    """
    declared = [next((one for one in primary if one.is_of(row)), None) for row in rows]
    tests: dict[Hashable, list[int]] = {}
    for place, row in enumerate(rows):
        if "p" in row:
            tests.setdefault(row.get("test", place), []).append(place)
    first = [any(declared[place] for place in places) for places in tests.values()]
    others = len(tests) - sum(first)
    weights = [1 / sum(first) if mine else 1 / others for mine in first] if any(first) else None
    adjusted = holm([rows[places[0]]["p"] for places in tests.values()], weights) if tests else np.array([])
    of_row = {place: float(p) for places, p in zip(tests.values(), adjusted, strict=True) for place in places}
    within = _equivalence(rows, declared)
    found = []
    for place, row in enumerate(rows):
        if place not in of_row:
            found.append(row)
            continue
        more = {"p_holm": of_row[place], "comparisons": len(tests)}
        more |= {"p_equivalent_holm": within[place]} if place in within else {}
        found.append(row | _decided(row | more, declared[place]) | more)
    return found


def _equivalence(rows: Sequence[Mapping[str, Any]], declared: Sequence[Primary | None]) -> dict[int, float]:
    """Place of a primary contrast's row -> its p of equivalence, adjusted over all: one test within one margin counts once."""
    tests: dict[Hashable, list[int]] = {}
    for place, (row, one) in enumerate(zip(rows, declared, strict=True)):
        if one is not None and "p_equivalent" in row:
            tests.setdefault((row.get("test", place), one.margin), []).append(place)
    adjusted = holm([rows[places[0]]["p_equivalent"] for places in tests.values()]) if tests else np.array([])
    return {place: float(p) for places, p in zip(tests.values(), adjusted, strict=True) for place in places}


def _decided(row: Mapping[str, Any], primary: Primary | None) -> dict[str, str]:
    if row["num_seeds"] < FEWEST_SEEDS:
        decision = f"none: fewer than {FEWEST_SEEDS} seeds"
        return {"decision": decision} | ({"conclusion": CANNOT_TELL} if primary else {})
    if not row["p_holm"] <= ALPHA:  # also without a p, in older tables
        decision = ONLY_ALONE if row["p"] <= ALPHA else NOT_APART
        within = primary is not None and row["p_equivalent_holm"] <= ALPHA
        return {"decision": decision} | ({"conclusion": EQUIVALENT if within else CANNOT_TELL} if primary else {})
    decision = ABOVE if row["estimate"] > 0 else BELOW
    return {"decision": decision} | ({"conclusion": _directed(decision, primary.expected)} if primary else {})


def _directed(found: str, expected: str) -> str:
    """What a difference says of a hypothesis; which way it goes where that expected neither."""
    if not expected:
        return found
    return SUPPORTED if found == expected else CONTRADICTED
