"""All tests of a page as one family: p-values with Holm's adjustment over them, and what they decide."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from unified_rl.statistics.grid_file import Primary
from unified_rl.statistics.intervals import CONFIDENCE, FEWEST_SEEDS
from unified_rl.statistics.planning import holm

ALPHA = 1 - CONFIDENCE
SUPPORTED, CONTRADICTED, EQUIVALENT, CANNOT_TELL = "supported", "contradicted", "equivalent within the margin", "cannot tell"
HOLM_FAMILY = "over all comparisons, slices and metrics of the page"


def with_holm(rows: list[dict[str, Any]], primary: Sequence[Primary] = ()) -> list[dict[str, Any]]:
    """The rows of a page with p-values adjusted over all of them, and what they decide.

    Args:
        rows: as `contrast_table` has them; those without a `p` could not be tested. Rows of one `test` compare the same runs,
            perhaps under other labels, and count once. primary: their tests share half the error rate.
    """
    tests: dict[Hashable, list[int]] = {}
    for place, row in enumerate(rows):
        if "p" in row:
            tests.setdefault(row.get("test", place), []).append(place)
    first = [any(one.is_of(rows[place]) for one in primary for place in places) for places in tests.values()]
    others = len(tests) - sum(first)
    weights = [1 / sum(first) if mine else 1 / others for mine in first] if any(first) else None
    adjusted = holm([rows[places[0]]["p"] for places in tests.values()], weights) if tests else np.array([])
    of_row = {place: float(p) for places, p in zip(tests.values(), adjusted, strict=True) for place in places}
    found = [{"p_holm": of_row[place], "comparisons": len(tests)} if place in of_row else {} for place in range(len(rows))]
    return [
        row | (_decided(row, more["p_holm"], any(one.is_of(row) for one in primary)) | more if more else {})
        for row, more in zip(rows, found, strict=True)
    ]


def _decided(row: Mapping[str, Any], p_holm: float, primary: bool) -> dict[str, str]:
    if row["num_seeds"] < FEWEST_SEEDS:
        decision = f"none: fewer than {FEWEST_SEEDS} seeds"
        return {"decision": decision} | ({"conclusion": CANNOT_TELL} if primary else {})
    found = p_holm <= ALPHA
    decision = ("above" if row["estimate"] > 0 else "below") if found else "not told apart"
    if not primary:
        return {"decision": decision}
    if found:
        return {"decision": decision, "conclusion": SUPPORTED if row["estimate"] > 0 else CONTRADICTED}
    return {"decision": decision, "conclusion": EQUIVALENT if row["p_equivalent"] <= ALPHA else CANNOT_TELL}
