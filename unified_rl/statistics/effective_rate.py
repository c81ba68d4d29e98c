"""effective_rate.csv: two labels compared at equal updates, at equal KL moved, and at equal accuracy; and how each got there.

A run's path is a point per measurement of its learning curve at step s: (updates s, KL moved, accuracy per problem). The accuracy
is what the curve is of, greedy answers or samples (`answers`). KL moved is the largest KL(policy || start) so far, per response
token (k3, `kl/k3` of metrics.jsonl), read at the rollout that the policy of step s wrote, which is that of step s + 1. The policy
of the last step wrote none: its KL is not known, and it is a point of no comparison but the first. For a pair (label, baseline)
and a seed that both have, from one start, whose point at step 0 is both paths' (the mean of its two measurements, which a sampler
that is exact makes equal):

    updates    accuracy at the last step that both have                                      label minus baseline, points
    kl         accuracy at the largest KL that both have moved, where it is first reached, by straight lines along each path
    kl_area    mean accuracy over all KL from 0 to that one
    accuracy   at the level halfway between the start and the lower of the two highest points of both: log2 of KL moved, and of
               updates, label over baseline (rows `kl_ratio` and `updates_ratio`; 0 = as much)

The first three are paired by problem and seed; the last by seed: a seed of which one run does not rise by `LEAST_RISE` says nothing
there, and the note counts the others. If all that one method had over another were a larger effective
rate, both would walk one path: nothing would be left at equal KL. `cut_share` is the share of updates whose gradient was longer
than `trainer.max_grad_norm`, and so cut to that length: 1 for both means that they were matched by gradient norm exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.records import reading
from unified_rl.statistics import comparable, variance_split
from unified_rl.statistics.experiment import COMPLETE
from unified_rl.statistics.grid_cells import GridCell
from unified_rl.statistics.grid_table import GridData
from unified_rl.statistics.intervals import over_seeds, paired_difference
from unified_rl.statistics.learning_rates import RATE
from unified_rl.statistics.planning import paired_p_value

TABLE, PATHS = "effective_rate", "effective_paths"
COLUMNS = [
    *("label", "baseline", "slice", "matched", "measure", "estimate", "low", "high", "p", "at"),
    *("cut_share", "baseline_cut_share", "num_seeds", "num_starts", "num_problems"),
    *(*variance_split.COLUMNS, "answers", "note"),
]
PATH_COLUMNS = ["label", "seed", "slice", "step", "kl", "accuracy", "answers", "num_seeds"]
KL, LENGTH = "kl/k3", "grad_norm"
#: A rise of accuracy that is no larger is not told from the noise of a curve's points, and half of it is no level to reach.
LEAST_RISE = 0.02


@dataclass(frozen=True)
class Path:
    """One run on one slice.

    steps, kl: [T], kl never falling, and NaN of a policy that wrote no rollout. correct: [T, P], in 0..1, of which answers.
    settings: its configuration.
    """

    steps: np.ndarray
    kl: np.ndarray
    correct: np.ndarray
    answers: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def accuracy(self) -> np.ndarray:
        return self.correct.mean(1)

    @property
    def known(self) -> Path:
        """The points whose KL is known."""
        there = ~np.isnan(self.kl)
        return replace(self, steps=self.steps[there], kl=self.kl[there], correct=self.correct[there])

    def at_step(self, step: int) -> np.ndarray:
        """Accuracy of every problem at a step that was measured: [P]."""
        return self.correct[int(np.searchsorted(self.steps, step))]

    def at_kl(self, kl: float) -> np.ndarray:
        """Accuracy of every problem where this KL is first reached, by a straight line: [P]."""
        farther = np.concatenate([[True], np.diff(self.kl) > 0])  # elsewhere the policy has been as far before
        return np.array([np.interp(kl, self.kl[farther], column) for column in self.correct[farther].T])

    def over_kl(self, kl: float) -> np.ndarray:
        """Mean accuracy of every problem over KL from 0 to this one: [P]."""
        if kl <= 0:
            return self.at_kl(0.0)
        grid = np.unique(np.concatenate([self.kl[self.kl < kl], [0.0, kl]]))
        values = np.stack([self.at_kl(point) for point in grid])
        return np.trapezoid(values, grid, axis=0) / kl

    def reached(self, level: float) -> tuple[float, float]:
        """(updates, KL) where accuracy is first at a level, by a straight line."""
        place = int(np.flatnonzero(self.accuracy >= level)[0])
        if place == 0:
            return float(self.steps[0]), float(self.kl[0])
        before, after = self.accuracy[place - 1], self.accuracy[place]
        share = (level - before) / (after - before)
        updates, kl = (float(x[place - 1] + share * (x[place] - x[place - 1])) for x in (self.steps, self.kl))
        return updates, kl


def tables(data: GridData) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """(comparisons, paths) of a grid in which two methods have several rates each and every run logs its KL; None of others."""
    trained = [cell for cell in data.cells if not cell.cell.is_baseline]
    rates: dict[str, set[Any]] = {}
    for cell in trained:
        rates.setdefault(cell.cell.method, set()).add(cell.settings.get(RATE))
    if sum(len(found) > 1 for found in rates.values()) < 2:
        return None
    metrics = {cell.id: _metrics(cell) for cell in trained if cell.cell.status == COMPLETE}
    if not metrics or any(KL not in found for found in metrics.values()):
        return None
    cells = {(cell.label, cell.seed): cell for cell in trained if cell.id in metrics}
    names = [name for name in data.slices if all(name in cell.curves for cell in cells.values())]
    paths = {
        (label, seed, name): _path(cell, metrics[cell.id], name) for (label, seed), cell in cells.items() for name in names
    }
    cut = {
        label: _cut_share([(cell, metrics[cell.id]) for cell in cells.values() if cell.label == label])
        for label in _labels(cells)
    }
    rows = [row for pair in data.grid.contrasts for name in names for row in _compared(pair, name, paths, cut)]
    return pd.DataFrame(rows, columns=COLUMNS), _path_table(paths)


def _labels(cells: Mapping[tuple[str, int], GridCell]) -> list[str]:
    return list(dict.fromkeys(label for label, _ in cells))


def _metrics(cell: GridCell) -> pd.DataFrame:
    return reading.read_metrics(cell.cell.path) if cell.cell.path else pd.DataFrame()


def _path(cell: GridCell, metrics: pd.DataFrame, name: str) -> Path:
    curve, by_step = cell.curves[name], metrics.set_index("step")[KL]
    kl = np.array([0.0 if step == 0 else float(by_step.get(step + 1, np.nan)) for step in curve.steps])
    known = ~np.isnan(kl)
    kl[known] = np.maximum.accumulate(kl[known])
    return Path(curve.steps, kl, curve.correct, curve.answers, cell.cell.settings)


def _cut_share(runs: list[tuple[GridCell, pd.DataFrame]]) -> float:
    """Of a label's updates the share whose gradient was longer than what it was cut to."""
    shares = [(metrics[LENGTH] > float(cell.cell.settings["trainer.max_grad_norm"])).mean() for cell, metrics in runs]
    return float(np.mean(shares))


def _compared(
    pair: tuple[str, str], name: str, paths: Mapping[tuple[str, int, str], Path], cut: Mapping[str, float]
) -> list[dict[str, Any]]:
    seeds = sorted(
        {seed for label, seed, _ in paths if label == pair[0]} & {seed for label, seed, _ in paths if label == pair[1]}
    )
    ends = [(paths[pair[0], seed, name], paths[pair[1], seed, name]) for seed in seeds]
    ends = [(a, b) for a, b in ends if comparable.same_start(a.settings, b.settings)]
    if not ends:
        return []
    settings, both = [a.settings for a, _ in ends], [_from_one_start(a.known, b.known) for a, b in ends]
    facts = {"label": pair[0], "baseline": pair[1], "slice": name, "num_seeds": len(both), "answers": both[0][0].answers}
    facts |= {"num_starts": comparable.count_starts(settings)}
    facts |= {"cut_share": cut[pair[0]], "baseline_cut_share": cut[pair[1]]}
    last = [int(np.intersect1d(a.steps, b.steps)[-1]) for a, b in ends]
    shared = [min(a.kl[-1], b.kl[-1]) for a, b in both]
    scored = {
        "updates": (*_each(ends, last, Path.at_step), np.mean(last)),
        "kl": (*_each(both, shared, Path.at_kl), np.mean(shared)),
        "kl_area": (*_each(both, shared, Path.over_kl), np.mean(shared)),
    }
    rows = [
        facts | {"matched": matched, "measure": "accuracy", "at": float(at)} | _paired(a, b, settings)
        for matched, (a, b, at) in scored.items()
    ]
    return rows + [facts | row for row in _at_accuracy(both)]


def _from_one_start(a: Path, b: Path) -> tuple[Path, Path]:
    """The two with one first point: at step 0 they are the same policy, and differ by what a sampler is not exact in."""
    if a.steps[0] or b.steps[0]:
        return a, b
    start = (a.correct[:1] + b.correct[:1]) / 2
    ours, theirs = (replace(path, correct=np.concatenate([start, path.correct[1:]])) for path in (a, b))
    return ours, theirs


def _each(both: list[tuple[Path, Path]], places: list[Any], of: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Both sides of every pair at a place of their own, a step or a KL."""
    ours, theirs = zip(*((of(a, at), of(b, at)) for (a, b), at in zip(both, places, strict=True)), strict=True)
    return list(ours), list(theirs)


def _paired(ours: list[np.ndarray], theirs: list[np.ndarray], settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    a, b = np.stack(ours), np.stack(theirs)
    found = paired_difference(a, b)
    numbers = {name: getattr(found, name) for name in ("estimate", "low", "high", "num_problems", "note")}
    starts = [comparable.start_of(one) for one in settings]
    return {**numbers, "p": paired_p_value(a, b), **variance_split.columns(found, starts)}


def _at_accuracy(both: list[tuple[Path, Path]]) -> list[dict[str, Any]]:
    """log2 of what the label took over what its baseline took to the level halfway up, over the seeds of which both rose."""
    found = []
    for a, b in both:
        start, end = a.accuracy[0], min(a.accuracy.max(), b.accuracy.max())
        if end - start >= LEAST_RISE:
            level = (start + end) / 2
            ratio = np.log2(np.maximum(a.reached(level), 1e-12)) - np.log2(np.maximum(b.reached(level), 1e-12))
            found.append((level, ratio, a.settings))
    if not found:
        return []
    levels, each, settings = zip(*found, strict=True)
    ratios = np.stack(each)
    note = "" if len(found) == len(both) else f"{len(found)} of {len(both)} seeds rose"
    facts = {"matched": "accuracy", "at": float(np.mean(levels)), "note": note}
    facts |= {"num_seeds": len(found), "num_starts": comparable.count_starts(settings)}
    return [
        facts | {"measure": name} | over_seeds(ratios[:, place]) for place, name in enumerate(("updates_ratio", "kl_ratio"))
    ]


def _path_table(paths: Mapping[tuple[str, int, str], Path]) -> pd.DataFrame:
    """A row per run and point, and the mean over seeds, seed "all"."""
    rows = [
        {"label": label, "seed": str(seed), "slice": name, "step": step, "kl": kl, "accuracy": accuracy}
        | {"answers": path.answers, "num_seeds": 1}
        for (label, seed, name), path in paths.items()
        for step, kl, accuracy in zip(path.steps, path.kl, path.accuracy, strict=True)
    ]
    table = pd.DataFrame(rows, columns=PATH_COLUMNS)
    means = table.groupby(["label", "slice", "step"], sort=False, as_index=False).agg(
        kl=("kl", "mean"), accuracy=("accuracy", "mean"), answers=("answers", "first"), num_seeds=("seed", "nunique")
    )
    return pd.concat([table, means.assign(seed="all")], ignore_index=True)[PATH_COLUMNS]
