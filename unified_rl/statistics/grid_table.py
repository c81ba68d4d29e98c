"""A grid -> one tidy table per cell, per arm and per comparison.

    cells.csv           one row per cell and slice: the settings that vary (from each run's own config.yaml), accuracy, tokens
    grid.csv            one row per label, slice and metric: over seeds and problems, with 95 % intervals
    grid_contrasts.csv  one row per comparison, slice and metric: against the grid's baseline, and the planned contrasts
    grid_effects.csv    of a factorial grid: one row per main effect and interaction, slice and metric (`factorial`)

Metrics: `grid_cells` names them; in grid.csv also `sampled_tokens`, `trained_tokens` (of the whole run) and
`trained_to_level`, with the range over seeds in place of an interval. A level that a run never reached is right-censored: in
cells.csv `level_reached` says "no" and the numbers are those of the curve's end; in grid.csv it counts as infinite.

`p` is the paired test that goes with the interval; `p_holm` is adjusted (Holm) for every test of the page: all comparisons, slices
and metrics are one family, of which declared primary contrasts have half the error rate to themselves. `decision` follows `p_holm`;
with fewer seeds than an interval over seeds takes, there is none. A primary contrast has a `conclusion` besides: supported or
contradicted, by the direction that its hypothesis states; above or below, where that states none; equivalent within its margin
(two one-sided tests, `p_equivalent`, adjusted over those of all primary contrasts), or cannot tell.

A grid is what `unified-rl grid` made, any folder of runs (then the matching rule is "not stated"), or a file of `unified-rl export`
(then without settings and curves). What failed or is missing is a row that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.base.errors import DataError
from unified_rl.statistics import variance_split
from unified_rl.statistics.contrasts import verdict
from unified_rl.statistics.experiment import COMPLETE, Cell
from unified_rl.statistics.factorial import Effect, measured
from unified_rl.statistics.grid_cells import METRICS, GridCell, Score, largest_ks, read, varying_settings
from unified_rl.statistics.grid_file import GridFacts
from unified_rl.statistics.grid_tokens import OFFLINE, TO_LEVEL, TOKENS, level_of, token_rows
from unified_rl.statistics.intervals import Interval, mean_interval
from unified_rl.statistics.learning import LEVEL_GAIN, SELECTION_SPLIT, best_step
from unified_rl.statistics.maj_at_k import NoAnswer, Ties
from unified_rl.statistics.page_family import OF_PRIMARY, with_holm
from unified_rl.statistics.paired import Differences, partners
from unified_rl.statistics.pooling import num_starts, pooled_status, starts_of

INTERVAL = "95 % interval"

CELL_FACTS = ["label", "method", "seed", "run", "slice", "split", "status", "evaluation_status", "step", "steps"]
CELL_NUMBERS = [
    *("greedy", "best", "best_step", "area", "avg", "k", "maj", "pass", "cot_pass", "num_problems"),
    *("curve_problems", "curve_answers"),
    *TOKENS,
    *(
        "level",
        "level_reached",
        "steps_to_level",
        "sampled_to_level",
        TO_LEVEL,
        "commit",
        "mixed_code",
        "configuration",
        "note",
    ),
]
GRID_COLUMNS = [
    *("label", "method", "seeds", "slice", "split", "metric", "k", "estimate", "low", "high", "spread"),
    *("num_problems", "num_seeds", "num_starts", *variance_split.COLUMNS, "answers", "decoding", "status", "note"),
]
CONTRAST_COLUMNS = [
    *("label", "baseline", "slice", "split", "metric", "k", "estimate", "low", "high", "verdict", "p", "p_holm", "comparisons"),
    *("decision", *OF_PRIMARY, "num_problems", "num_seeds", "num_starts", *variance_split.COLUMNS),
    *("answers", "decoding", "note"),
]
EFFECT_COLUMNS = [
    "effect",
    "kind",
    *(name for name in CONTRAST_COLUMNS[2:] if name not in OF_PRIMARY),
]


@dataclass(frozen=True)
class GridData:
    """A grid, read: cells with their scores, and the level of accuracy per slice that tokens are counted to.

    scores: per cell (slice, metric) -> score. levels: slice -> accuracy, empty without curves.
    differences: those of the page.
    """

    grid: GridFacts
    cells: list[GridCell]
    scores: list[dict[tuple[str, str], Score]]
    levels: dict[str, float]
    differences: Differences = field(default_factory=Differences, repr=False, compare=False)

    @property
    def slices(self) -> list[str]:
        """In the order of the evaluations, then of the curves."""
        names = [slice_name for metric in METRICS for found in self.scores for slice_name, name in found if name == metric]
        return list(dict.fromkeys(names))

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(cell.label for cell in self.cells))

    @property
    def decoding(self) -> str:
        """Task and decoding of the evaluations, in words: one for all, or they would not have been read."""
        return max((cell.cell.decoding for cell in self.cells), key=len, default="")

    def cells_of(self, label: str) -> dict[int, Cell]:
        """Seed -> cell."""
        return {cell.seed: cell.cell for cell in self.cells if cell.label == label}

    def of(self, label: str, slice_name: str, metric: str) -> dict[int, Score]:
        """Seed -> score of the cells that have one."""
        found = zip(self.cells, self.scores, strict=True)
        return {
            cell.seed: scores[slice_name, metric]
            for cell, scores in found
            if cell.label == label and (slice_name, metric) in scores
        }


def read_data(
    folders: Sequence[Path | str],
    *,
    pairs: Sequence[tuple[str, str]] = (),
    gain: float = LEVEL_GAIN,
    evaluation: str | None = None,
    ties: Ties = "uniform",
    no_answer: NoAnswer = "no_vote",
    differences: Differences | None = None,
) -> GridData:
    """Read a grid.

    Args:
        folders: see `grid_cells.read`. pairs: planned contrasts (label, baseline) beside those that the grid itself states.
        gain: the level is this far above the start's accuracy (step 0 of the curves), the same for all arms.
        differences: those of the page, where other tables show them too.

    Raises:
        DataError: see `grid_cells.read`.
    """
    grid, cells = read(folders, evaluation)
    grid = replace(grid, contrasts=(*grid.contrasts, *pairs))
    ks = largest_ks(cells)
    scores = [cell.scores(ks, ties, no_answer) for cell in cells]
    return GridData(grid, cells, scores, _levels(cells, gain), differences or Differences())


def _levels(cells: Sequence[GridCell], gain: float) -> dict[str, float]:
    """None of a slice on which some curves are of greedy answers and others of samples: these start at different levels."""
    starts: dict[str, list[float]] = {}
    kinds: dict[str, set[str]] = {}
    for cell in cells:
        for name, curve in cell.curves.items():
            kinds.setdefault(name, set()).add(curve.answers)
            if curve.steps[0] == 0:
                starts.setdefault(name, []).append(float(curve.accuracy[0]))
    return {name: float(np.mean(values)) + gain for name, values in starts.items() if len(kinds[name]) == 1}


# ------------------------------------------------------------------------------------------------------------------------------
# The tables


def cells_table(data: GridData) -> pd.DataFrame:
    """One row per cell and slice; a cell without numbers has one row."""
    settings = varying_settings(data.cells)
    rows = []
    for cell, scores in zip(data.cells, data.scores, strict=True):
        facts = _cell_facts(cell) | {name: cell.settings.get(name) for name in settings}
        slices = [name for name in data.slices if name in {slice_name for slice_name, _ in scores} or name in cell.curves]
        rows += [facts | _cell_numbers(data, cell, scores, name) for name in slices] or [facts]
    table = pd.DataFrame(rows, columns=[*CELL_FACTS, *settings, *CELL_NUMBERS])
    whole = ["step", "steps", "best_step", "k", "num_problems", "curve_problems", *TOKENS]
    return table.astype(dict.fromkeys([*whole, "steps_to_level", "sampled_to_level", TO_LEVEL], "Int64"))


def _cell_facts(cell: GridCell) -> dict[str, Any]:
    found = cell.cell
    return {
        "label": cell.label,
        "method": found.method,
        "seed": str(cell.seed),
        "run": cell.id,
        "status": found.status,
        "evaluation_status": found.evaluation_status if not cell.note else "",
        "step": found.step,
        "steps": found.steps,
        "commit": found.commit or "",
        "mixed_code": found.mixed_code,
        "configuration": found.configuration,
        "note": cell.note,
    }


def _cell_numbers(data: GridData, cell: GridCell, scores: Mapping[tuple[str, str], Score], name: str) -> dict[str, Any]:
    row: dict[str, Any] = {"slice": name}
    for metric in METRICS:
        if (name, metric) in scores:
            score = scores[name, metric]
            row[metric] = float(score.values.mean())
            if metric in ("greedy", "avg"):
                row |= {"split": score.split, "num_problems": len(score.values)}
            if score.k is not None:
                row["k"] = score.k
    if name not in cell.curves:
        return row
    curve = cell.curves[name]
    row |= {"curve_problems": len(curve.problem_ids), "curve_answers": curve.answers}
    row |= {"sampled_tokens": int(curve.sampled_tokens[-1]), "trained_tokens": int(curve.trained_tokens[-1])}
    if (name, "best") in scores:
        row["best_step"] = best_step(list(cell.curves.values()))
    elif curve.split != SELECTION_SPLIT:
        row["note"] = f"its curve is on {curve.split}: only {SELECTION_SPLIT} may choose a checkpoint"
    reached = level_of(data.levels, cell, name)
    if reached is not None:
        row |= {"level": reached.level, "level_reached": "yes" if reached.reached else "no", "steps_to_level": reached.step}
        row |= {"sampled_to_level": reached.sampled_tokens, TO_LEVEL: reached.trained_tokens}
        if curve.trained_tokens[-1] and not curve.sampled_tokens[-1]:
            row["note"] = OFFLINE
    return row


def summary(data: GridData) -> pd.DataFrame:
    """One row per label, slice and metric, over the seeds that are complete; a label without any has one row per slice."""
    rows = []
    for slice_name in data.slices or [""]:
        for label in data.labels:
            group = [cell for cell in data.cells if cell.label == label]
            facts = {"label": label, "method": group[0].cell.method, "slice": slice_name, "status": _status(group)}
            measured = facts | {"decoding": data.decoding}
            found = [measured | row for metric in METRICS for row in _metric_rows(data, label, slice_name, metric)]
            found += [facts | row for row in token_rows(data.levels, group, slice_name)]
            rows += found or [facts | {"note": group[0].note}]
    whole = ("k", "num_problems", "num_seeds", "num_starts")
    return pd.DataFrame(rows, columns=GRID_COLUMNS).astype(dict.fromkeys(whole, "Int64"))


def _status(group: Sequence[GridCell]) -> str:
    if all(cell.note for cell in group):
        return pooled_status([cell.cell for cell in group], lambda cell: cell.status)
    return pooled_status([cell.cell for cell in group], lambda cell: cell.evaluation_status)


def _metric_rows(data: GridData, label: str, slice_name: str, metric: str) -> list[dict[str, Any]]:
    by_seed = data.of(label, slice_name, metric)
    if not by_seed:
        return []
    _same_problems(label, by_seed.values(), slice_name)
    interval = mean_interval(np.stack([score.values for score in by_seed.values()]))
    first = next(iter(by_seed.values()))
    row = {"metric": metric, "split": first.split, "k": first.k, "seeds": _words(by_seed), "spread": INTERVAL}
    row["answers"] = first.answers
    return [row | _interval_columns(data, label, by_seed, interval)]


def comparisons(data: GridData) -> list[tuple[str, str]]:
    """Every label against the grid's baseline, then the further planned contrasts."""
    against = [(label, data.grid.baseline) for label in data.labels if label != data.grid.baseline]
    return list(dict.fromkeys([*(against if data.grid.baseline in data.labels else []), *data.grid.contrasts]))


def planned_comparisons(data: GridData) -> list[tuple[str, str]]:
    """The same, with labels in the order in which the grid plans its arms."""
    order = {cell.label: place for place, cell in reversed(list(enumerate(data.grid.cells)))}
    labels = sorted(data.labels, key=lambda label: order.get(label, len(order)))
    return comparisons(replace(data, cells=[next(cell for cell in data.cells if cell.label == label) for label in labels]))


def contrast_table(data: GridData) -> pd.DataFrame:
    """Paired differences of every comparison, by slice and metric, as `compared` has them."""
    return compared(data)[0]


def compared(data: GridData) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(comparisons of labels, effects of factors) by slice and metric, with Holm's adjustment over both.

    Raises:
        DataError: a planned contrast names a label that no cell has, or two labels were measured on different problems.
    """
    pairs = comparisons(data)
    for name in {label for pair in pairs for label in pair} - set(data.labels):
        raise DataError(f"the planned contrasts name {name!r}, but the grid's labels are: {', '.join(data.labels)}")
    tests = [(slice_name, metric) for slice_name in data.slices for metric in _compared_metrics(data.grid)]
    made = [_contrast(data, pair, *test) for test in tests for pair in pairs]
    also = [_effect(data, effect, *test) for test in tests for effect in data.grid.effects]
    of_pairs, of_effects = ([row for row in rows if row is not None] for rows in (made, also))
    rows, count = with_holm([*of_pairs, *of_effects], data.grid.primary), len(of_pairs)
    return _frame(rows[:count], CONTRAST_COLUMNS), _frame(rows[count:], EFFECT_COLUMNS)


def _compared_metrics(grid: GridFacts) -> list[str]:
    """What labels are compared by: CoT-Pass@K only where a grid is about it, as every test makes the others' correction larger."""
    about = {one.metric for one in grid.primary}
    return [metric for metric in METRICS if metric != "cot_pass" or metric in about]


def _frame(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    whole = ("k", "num_problems", "num_seeds", "num_starts", "comparisons")
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(whole, "Int64"))


def _effect(data: GridData, effect: Effect, slice_name: str, metric: str) -> dict[str, Any] | None:
    """None where no arm has the metric."""
    scores = [score for label in (*effect.plus, *effect.minus) for score in data.of(label, slice_name, metric).values()]
    _same_problems(effect.name, scores, slice_name)
    found = measured(effect, lambda label: data.of(label, slice_name, metric))
    if found is None:
        return None
    facts = {
        "effect": effect.name,
        "kind": effect.kind,
        "label": effect.name,
        "baseline": "",
        "slice": slice_name,
        "metric": metric,
    }
    row = facts | {"decoding": data.decoding} | found
    if "p" in row:
        row |= {
            "split": scores[0].split,
            "k": scores[0].k,
            "answers": scores[0].answers,
            "verdict": verdict(row["low"], row["high"]),
        }
        cells = _cells(data, effect.plus[0], row.pop("seeds"))
        row |= {"num_starts": num_starts(cells)} | variance_split.columns(row.pop("interval"), starts_of(cells))
    return row


def _contrast(data: GridData, pair: tuple[str, str], slice_name: str, metric: str) -> dict[str, Any] | None:
    """None where neither has the metric; a row that says so where only one of them does."""
    ours, theirs = (data.of(label, slice_name, metric) for label in pair)
    if not ours and not theirs:
        return None
    facts: dict[str, Any] = {"label": pair[0], "baseline": pair[1], "slice": slice_name, "metric": metric}
    facts["decoding"] = data.decoding
    of_ours, of_theirs = (data.cells_of(label) for label in pair)
    seeds, others = partners({seed: of_ours[seed] for seed in ours}, {seed: of_theirs[seed] for seed in theirs})
    if not seeds:
        return facts | {"note": "nothing to compare: no seed of which both are complete"}
    first, a, b = ours[seeds[0]], [ours[seed] for seed in seeds], [theirs[seed] for seed in others]
    _same_problems(" and ".join(pair), [*a, *b], slice_name)
    sides = [
        [(cells[seed], score.values) for seed, score in zip(chosen, scores, strict=True)]
        for cells, chosen, scores in ((of_ours, seeds, a), (of_theirs, others, b))
    ]
    found = data.differences.of((metric, first.k, slice_name, first.split), *sides)
    row = facts | {"split": first.split, "k": first.k, "answers": first.answers}
    row |= {"verdict": verdict(found.interval.low, found.interval.high)}
    row["test"] = (slice_name, metric, *(tuple(_identity(cell) for cell, _ in side) for side in sides))
    row |= {"p": found.p} | _interval_columns(data, pair[0], seeds, found.interval)
    for primary in data.grid.primary:
        if primary.is_of(row):
            row |= {"p_equivalent": found.p_equivalent(primary.margin), "margin": primary.margin}
    return row


def _identity(cell: Cell) -> str:
    return cell.configuration or f"{cell.label}, seed {cell.seed}"


def _cells(data: GridData, label: str, seeds: Iterable[int]) -> list[Cell]:
    """In the order of the seeds."""
    by_seed = data.cells_of(label)
    return [by_seed[seed] for seed in seeds]


def _same_problems(who: str, scores: Iterable[Score], slice_name: str) -> None:
    found = list(scores)
    if len({score.problem_ids for score in found}) > 1 or len({score.digest for score in found} - {""}) > 1:
        raise DataError(
            f"{who}: cells were measured on different problems of {slice_name}; evaluate all with the same "
            "evaluation.problems, "
            "and train all with the same logging.curve_problems and task settings"
        )
    if len(kinds := dict.fromkeys(score.answers for score in found)) > 1:
        raise DataError(
            f"{who}: learning curves on {slice_name} are by different answers ({'; '.join(kinds)}), which are not compared; train "
            "all with the same logging.curve_samples and evaluation.temperature, top_p and top_k"
        )


def _interval_columns(data: GridData, label: str, seeds: Iterable[int], found: Interval) -> dict[str, Any]:
    """seeds: of the label, in the order in which the interval has them."""
    cells = _cells(data, label, seeds)
    names = ("estimate", "low", "high", "num_problems", "num_seeds", "note")
    facts = {name: getattr(found, name) for name in names} | {"num_starts": num_starts(cells)}
    return facts | variance_split.columns(found, starts_of(cells))


def _words(seeds: Iterable[int]) -> str:
    return " ".join(str(seed) for seed in sorted(seeds))


def lack(cell: GridCell) -> str:
    """What a cell is short of; "" if nothing."""
    if cell.note:
        return "" if cell.cell.status == COMPLETE else cell.cell.status
    return "" if cell.cell.evaluation_status == COMPLETE else cell.cell.evaluation_status
