"""The tokens that a grid's arms took: in all, and until a level of accuracy that is the same for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unified_rl.statistics.grid_cells import GridCell
from unified_rl.statistics.learning import LevelReached, tokens_to_level

TOKENS = ("sampled_tokens", "trained_tokens")
TO_LEVEL = "trained_to_level"
RANGE = "range over seeds"
OFFLINE = "its samples were drawn before the run: sampled tokens are not its own"


def level_of(levels: Mapping[str, float], cell: GridCell, name: str) -> LevelReached | None:
    """When a run reached its slice's level. None for a policy that is not trained, and where no curve says where it started."""
    if cell.cell.is_baseline or name not in cell.curves or name not in levels:
        return None
    return tokens_to_level(cell.curves[name], levels[name])


def token_rows(levels: Mapping[str, float], group: Sequence[GridCell], slice_name: str) -> list[dict[str, Any]]:
    """Rows of grid.csv on one label's tokens, over the seeds with a curve; none for a policy that is not trained."""
    curves = {cell.seed: cell.curves[slice_name] for cell in group if slice_name in cell.curves and not cell.cell.is_baseline}
    if not curves:
        return []
    seeds = " ".join(map(str, sorted(curves)))
    facts = {"split": next(iter(curves.values())).split, "seeds": seeds, "spread": RANGE, "num_seeds": len(curves)}
    rows = []
    for metric in TOKENS:
        values = np.array([getattr(curve, metric)[-1] for curve in curves.values()], dtype=float)
        note = OFFLINE if metric == "sampled_tokens" and not values.any() else ""
        rows.append({"metric": metric, "estimate": values.mean(), "low": values.min(), "high": values.max(), "note": note})
    reached = [found for cell in group if (found := level_of(levels, cell, slice_name)) is not None]
    if reached:
        rows.append(_level_row(reached))
    return [facts | row for row in rows]


def _level_row(reached: Sequence[LevelReached]) -> dict[str, Any]:
    """The median over seeds; a seed that never reached the level counts as infinite."""
    tokens = np.array([found.trained_tokens if found.reached else np.inf for found in reached])
    there = int(np.isfinite(tokens).sum())
    end = max(found.trained_tokens for found in reached)
    note = f"to {100 * reached[0].level:.1f} %: median over seeds; {there} of {len(reached)} reached it"
    if there < len(reached):
        note += f", the others not in {end} tokens"
    return {"metric": TO_LEVEL, "estimate": np.median(tokens), "low": tokens.min(), "high": tokens.max(), "note": note}
