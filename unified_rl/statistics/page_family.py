"""All tests of a page as one family: p-values with Holm's adjustment over them, and what they decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        rows: as `contrast_table` has them; those without a `p` could not be tested. primary: their tests share half the error rate.
    """
    first = ["p" in row and any(one.is_of(row) for one in primary) for row in rows]
    tested = sum("p" in row for row in rows)
    others = tested - sum(first)
    weights = [1 / sum(first) if mine else 1 / max(others, 1) for mine in first] if any(first) else None
    adjusted = holm([row.get("p", np.nan) for row in rows], weights) if rows else np.array([])
    return [
        row | (_decided(row, float(p), mine) | {"p_holm": p, "comparisons": tested} if "p" in row else {})
        for row, p, mine in zip(rows, adjusted, first, strict=True)
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
