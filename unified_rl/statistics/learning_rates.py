"""lr_sweep.csv: of a sweep of learning rates, validation accuracy at the last step by arm and rate, and the best rate of each.

An arm is what labels call alike but for the rate: `TRL, on policy lr 0.0001`. A grid is a sweep where every arm has several rates,
and the curves are on the validation split.
"""

from __future__ import annotations

from collections import defaultdict

import pandas as pd

from unified_rl.statistics.arms import arm
from unified_rl.statistics.experiment import COMPLETE
from unified_rl.statistics.grid_cells import GridCell
from unified_rl.statistics.grid_table import GridData
from unified_rl.statistics.learning import SELECTION_SPLIT

TABLE = "lr_sweep.csv"
RATE, REWARD = "trainer.learning_rate", "reward.source"


def table(data: GridData) -> pd.DataFrame | None:
    """A row per arm and rate: accuracy per slice and their mean (NaN where a run is not complete); None: no sweep."""
    trained = [cell for cell in data.cells if not cell.cell.is_baseline and RATE in cell.settings]
    rates: dict[str, set[float]] = defaultdict(set)
    for cell in trained:
        rates[arm(cell.label, cell.cell.method)].add(float(cell.settings[RATE]))
    splits = {curve.split for cell in trained for curve in cell.curves.values()}
    if not trained or splits != {SELECTION_SPLIT} or min(map(len, rates.values())) < 2:
        return None
    return pd.DataFrame([_row(cell) for cell in trained])


def _row(cell: GridCell) -> dict[str, object]:
    curves = cell.curves if cell.cell.status == COMPLETE else {}
    slices = {name: float(curve.accuracy[-1]) for name, curve in curves.items()}
    return {
        "arm": arm(cell.label, cell.cell.method),
        "method": cell.cell.method,
        "reward": str(cell.settings.get(REWARD, "")),
        "learning_rate": float(cell.settings[RATE]),
        **slices,
        "mean": sum(slices.values()) / len(slices) if slices else float("nan"),
        "answers": next((curve.answers for curve in curves.values()), ""),
        "problems_per_slice": max((len(curve.problem_ids) for curve in curves.values()), default=0),
        "seed": cell.seed,
    }


def best(rates: pd.DataFrame) -> dict[str, float]:
    """Arm -> the rate with the highest mean over the slices, the lower one of equals; arms that were not run are left out."""
    known = rates.dropna(subset="mean").sort_values(["mean", "learning_rate"], ascending=[False, True])
    return {str(name): float(rows["learning_rate"].iloc[0]) for name, rows in known.groupby("arm", sort=False)}


def format_table(rates: pd.DataFrame) -> str:
    """The best rate of each arm as text."""
    chosen, lines = best(rates), []
    for name, rows in rates.groupby("arm", sort=False):
        if name in chosen:
            lines.append(f"{name}: best rate {chosen[str(name)]:g}, mean accuracy {100 * rows['mean'].max():.1f} %")
        else:
            lines.append(f"{name}: no rate has been run to the end")
    return "\n".join(lines)
