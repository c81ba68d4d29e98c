"""Of an ablation whose judge errs on one form: how often wrong answers have it, and when that had doubled, as a table."""

from __future__ import annotations

from typing import Any

import pandas as pd

from unified_rl.pages.results.markdown import table
from unified_rl.pages.results.numbers import percent, points, row_of
from unified_rl.pages.results.shipped import Shipped
from unified_rl.statistics.grid_file import DEFAULT_BASELINE
from unified_rl.statistics.wrong_forms import TABLE

OF_WRONG, DOUBLED = "of_wrong", "doubled_at"


def of_forms(shipped: Shipped) -> str:
    """The table; "" where the result is of something else."""
    found = shipped.table(TABLE)
    if found.empty:
        return ""
    found = found.fillna({"baseline": "", "slice": ""})
    shares, start = found[found["measure"] == OF_WRONG], shipped.grid.baseline or DEFAULT_BASELINE
    slices = list(dict.fromkeys(shares["slice"]))
    body = [
        [str(label), *(cell for name in slices for cell in _cells(shares, str(label), name, start)), _speed(found, str(label))]
        for label in dict.fromkeys(shares["label"])
    ]
    form = found["form"].iloc[0]
    columns = [
        title for name in slices for title in (f"{name}: wrong answers with `{form}`, %", f"{name}: less {start}, points")
    ]
    return table(["arm", *columns, "step by which it had doubled (seeds)"], body)


def _cells(shares: pd.DataFrame, label: str, name: str, start: str) -> tuple[str, str]:
    level = row_of(shares, label=label, slice=name, baseline="")
    moved = row_of(shares, label=label, slice=name, baseline=start)
    return (percent(level, unit="") if _has(level) else "-"), (points(moved) if _has(moved) else "-")


def _has(row: dict[str, Any] | None) -> bool:
    return row is not None and pd.notna(row["low"])


def _speed(found: pd.DataFrame, label: str) -> str:
    row = row_of(found, label=label, measure=DOUBLED)
    if row is None:
        return "-"
    counted = f"{int(row['num_reached'])} of {int(row['num_seeds'])}"
    return f"{row['estimate']:.0f} ({counted})" if row["num_reached"] else f"never ({counted})"
