"""renewals.csv and renewal_quality.csv: of a grid of iterative runs, what the first renewal gained in every arm, and from what.

    renewals.csv          per slice: of every arm the gain of its first renewal over its own control (label and baseline are the
                          arm); of every planned pair of arms the difference of their gains
    renewal_quality.csv   per arm and reward model (0: the initial one): its word on the same held-out responses, against the rule

A gain is validation accuracy (of greedy answers or of samples: `answers`) of iteration 1 minus that of iteration 0, which goes on
with the old reward model as the control, at the last step that both have. Everything is paired by problem and seed. All rows of
renewals.csv are one family under Holm's correction, as in `grid_table`. Quality: the share of responses judged as by the rule, the
area under the ROC curve, and the same among the responses to one problem, which is all that a group's advantages see; mean over
seeds, their range in `_low` and `_high`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.statistics import comparable, iterations, variance_split
from unified_rl.statistics.clustered import plain_auc
from unified_rl.statistics.contrasts import verdict
from unified_rl.statistics.grid_file import GridFacts
from unified_rl.statistics.intervals import paired_difference
from unified_rl.statistics.iterations import IterativeRun
from unified_rl.statistics.page_family import OF_PRIMARY, with_holm
from unified_rl.statistics.planning import equivalence_p_value, paired_p_value
from unified_rl.statistics.reward_models import auc_within

TABLE, QUALITY = "renewals", "renewal_quality"
FIRST, METRIC = 1, "gain"
COLUMNS = [
    *("label", "baseline", "slice", "split", "metric", "k", "estimate", "low", "high", "verdict", "p", "p_holm", "comparisons"),
    *("decision", *OF_PRIMARY, "num_problems", "num_seeds", "num_starts"),
    *(*variance_split.COLUMNS, "answers", "note"),
]
MEASURES = ("accuracy", "auc", "within_auc")

#: Seed -> (right answers of the first renewal, of its control), each [P].
Gains = Mapping[int, tuple[np.ndarray, np.ndarray]]


def tables(grid: GridFacts) -> dict[str, pd.DataFrame]:
    """Name -> table; {} where no arm of the grid has iterative runs that have been renewed."""
    arms = {label: runs for label in dict.fromkeys(cell.label for cell in grid.cells) if (runs := _runs(grid, label))}
    gains = {label: _gains(runs) for label, runs in arms.items()}
    slices = list(dict.fromkeys(name for found in gains.values() for name in found))
    if not slices:
        return {}
    settings = {label: {run.seed: run.settings for run in runs} for label, runs in arms.items()}
    pairs = [*((label, label) for label in arms), *(pair for pair in grid.contrasts if set(pair) <= set(arms))]
    rows = [row for name in slices for pair in pairs if (row := _row(grid, pair, name, gains, settings[pair[0]])) is not None]
    answers = iterations.answers_of([run for runs in arms.values() for run in runs])
    found = pd.DataFrame(with_holm(rows, grid.primary), columns=COLUMNS).assign(answers=answers)
    return {TABLE: found, QUALITY: pd.DataFrame([row for label, runs in arms.items() for row in _quality(label, runs)])}


def _runs(grid: GridFacts, label: str) -> list[IterativeRun]:
    """The arm's runs that are finished."""
    there = [cell.run for cell in grid.cells if cell.label == label and (cell.run / "iterate.json").exists()]
    return [run for run in iterations.read_runs(there) if run.state == "finished"] if there else []


def _gains(runs: Sequence[IterativeRun]) -> dict[str, Gains]:
    found: dict[str, dict[int, tuple[np.ndarray, np.ndarray]]] = {}
    for run in runs:
        points = iterations.common_points(run, FIRST) if len(run.iterations) > FIRST else {}
        for name, (_, renewed, control) in points.items():
            found.setdefault(name, {})[run.seed] = np.array(renewed, dtype=float), np.array(control, dtype=float)
    return dict(found)


def _row(
    grid: GridFacts,
    pair: tuple[str, str],
    name: str,
    gains: Mapping[str, Mapping[str, Gains]],
    settings: Mapping[int, Mapping[str, Any]],
) -> dict[str, Any] | None:
    """One test; None where the arms have no seed in common. settings: of the first arm's runs, by seed."""
    ours, theirs = (gains[label].get(name, {}) for label in pair)
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return None
    a, b = (np.stack([ours[seed][place] for seed in seeds]) for place in (0, 1))
    scale = 1.0
    if pair[0] != pair[1]:  # (a - b) - (c - d) = 2 [(a + d) / 2 - (b + c) / 2], whose parts lie in 0..1
        c, d = (np.stack([theirs[seed][place] for seed in seeds]) for place in (0, 1))
        a, b, scale = (a + d) / 2, (b + c) / 2, 2.0
    found = paired_difference(a, b)
    row: dict[str, Any] = {
        "label": pair[0],
        "baseline": pair[1],
        "slice": name,
        "split": "validation",
        "metric": METRIC,
        "note": found.note,
    }
    row |= {name: scale * getattr(found, name) for name in ("estimate", "low", "high")}
    row |= {"verdict": verdict(found.low, found.high), "p": paired_p_value(a, b)}
    of_seeds = [settings[seed] for seed in seeds]
    row |= {"num_starts": comparable.count_starts(of_seeds)}
    row |= variance_split.columns(found, [comparable.start_of(one) for one in of_seeds])
    row |= {"num_problems": found.num_problems, "num_seeds": found.num_seeds}
    for one in grid.primary:
        if one.is_of(row):
            row |= {"margin": one.margin, "p_equivalent": equivalence_p_value(a, b, one.margin / scale)}
    return row


def _quality(label: str, runs: Sequence[IterativeRun]) -> list[dict[str, Any]]:
    """A row per reward model that every run of the arm has judged with."""
    places = sorted(
        set.intersection(*({int(path.stem) for path in (run.path / "agreement").glob("*.parquet")} for run in runs))
    )
    rows = []
    for place in places:
        judged = [_measured(run.path / "agreement" / f"{place}.parquet") for run in runs]
        row: dict[str, Any] = {"label": label, "iteration": place, "num_seeds": len(judged)}
        for name in MEASURES:
            values = [found[name] for found in judged]
            row |= {name: float(np.mean(values)), f"{name}_low": min(values), f"{name}_high": max(values)}
        rows.append(row)
    return rows


def _measured(path: Path) -> dict[str, float]:
    found = iterations.read_agreement(path)
    reward, correct = found["reward"].to_numpy(float), found["correct"].to_numpy(bool)
    within = auc_within(reward, correct, found["prompt_id"].to_numpy())
    return {
        "accuracy": float((found["accepted"] == found["correct"]).mean()),
        "auc": plain_auc(reward, correct),
        "within_auc": float(within.mean()) if len(within) else float("nan"),
    }
