"""lr_sweep.csv: of a sweep of learning rates, validation accuracy at the last step by method and rate, and the best rate of each.

A grid is a sweep where every method has several rates with each of its rewards, and the curves are on the validation split.
"""

from __future__ import annotations

from collections import defaultdict

import pandas as pd

from unified_rl.statistics.experiment import COMPLETE
from unified_rl.statistics.grid_cells import GridCell
from unified_rl.statistics.grid_table import GridData
from unified_rl.statistics.learning import SELECTION_SPLIT

TABLE = "lr_sweep.csv"
RATE, REWARD = "trainer.learning_rate", "reward.source"


def table(data: GridData) -> pd.DataFrame | None:
    """A row per method, reward and rate: accuracy per slice and their mean (NaN where a run is not complete); None: no sweep."""
    trained = [cell for cell in data.cells if not cell.cell.is_baseline and RATE in cell.settings]
    rates: dict[tuple[str, str], set[float]] = defaultdict(set)
    for cell in trained:
        rates[cell.cell.method, str(cell.settings.get(REWARD, ""))].add(float(cell.settings[RATE]))
    splits = {curve.split for cell in trained for curve in cell.curves.values()}
    if not trained or splits != {SELECTION_SPLIT} or min(map(len, rates.values())) < 2:
        return None
    return pd.DataFrame([_row(cell) for cell in trained])


def _row(cell: GridCell) -> dict[str, object]:
    curves = cell.curves if cell.cell.status == COMPLETE else {}
    slices = {name: float(curve.accuracy[-1]) for name, curve in curves.items()}
    return {
        "method": cell.cell.method,
        "reward": str(cell.settings.get(REWARD, "")),
        "learning_rate": float(cell.settings[RATE]),
        **slices,
        "mean": sum(slices.values()) / len(slices) if slices else float("nan"),
        "problems_per_slice": max((len(curve.problem_ids) for curve in curves.values()), default=0),
        "seed": cell.seed,
    }


def format_table(rates: pd.DataFrame) -> str:
    """The best rate of each method with each reward as text."""
    lines = []
    for (method, reward), rows in rates.groupby(["method", "reward"], sort=False):
        named = f"{method}, reward {reward}" if reward else str(method)
        if rows["mean"].isna().all():
            lines.append(f"{named}: no rate has been run to the end")
            continue
        best = rows.loc[rows["mean"].idxmax()]
        lines.append(f"{named}: best rate {best['learning_rate']:g}, mean accuracy {100 * best['mean']:.1f} %")
    return "\n".join(lines)
