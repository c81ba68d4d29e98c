"""The cells of a grid: those planned, those that exist, what their own configurations say, and their scores problem by problem.

Scores are kept per problem, [P] in 0..1, under these names:

    greedy   accuracy of the last step's policy (final evaluation)          avg    share of right samples
    best     of the checkpoint that validation chooses (`learning`)         maj    Maj@K, pass: Pass@K, at the largest K that
    area     mean accuracy over training (`learning`)                              every cell has; cot_pass: CoT-Pass@K

A cell has a score only where its run is complete: an unfinished one is a row with a status, never a number beside the others'.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from unified_rl.base.errors import DataError
from unified_rl.records import reading as run_reading
from unified_rl.statistics import comparable
from unified_rl.statistics.counts import read_cells
from unified_rl.statistics.experiment import COMPLETE, MISSING, Cell
from unified_rl.statistics.grid_file import GridFacts, PlannedCell, read_grid
from unified_rl.statistics.learning import LearningCurve, area, best_by_validation, curves_of
from unified_rl.statistics.maj_at_k import NoAnswer, Ties

METRICS = ("greedy", "best", "area", "avg", "maj", "pass", "cot_pass")
#: Settings that are no part of what an arm is: names, places, and what does not change the numbers.
NOT_SETTINGS = comparable.PLACES | {"method"}
ITERATIVE = "iterative run: its numbers are in iteration_curves.csv"


@dataclass(frozen=True)
class Score:
    """One cell by one metric on one slice. values: [P] in 0..1; k: of Maj@K and Pass@K, else None.

    answers: which the learning curve is of that it was read off; "" of what is read off the evaluation.
    """

    split: str
    problem_ids: tuple[str, ...]
    values: np.ndarray
    k: int | None = None
    digest: str = ""
    answers: str = ""


@dataclass(frozen=True)
class GridCell:
    """A cell with the id of its run (of the plan where it is missing) and why it has no numbers, if it never can."""

    cell: Cell
    id: str
    note: str = ""

    @property
    def label(self) -> str:
        return self.cell.label

    @property
    def seed(self) -> int:
        return self.cell.seed

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Dotted name -> value, from the run's own config.yaml, seeds left out; empty for a run that is missing or not at hand."""
        return {
            name: value
            for name, value in self.cell.settings.items()
            if name not in NOT_SETTINGS and not comparable.is_seed(name)
        }

    @cached_property
    def curves(self) -> dict[str, LearningCurve]:
        """Slice -> learning curve, of a run that is finished; empty for others."""
        if self.cell.status != COMPLETE:
            return {}
        try:
            return curves_of(self.cell.curve)
        except ValueError as error:
            raise DataError(
                f"{self.cell.path}: {error}; train it again with one logging.curve_problems and one logging.curve_samples"
            ) from error

    def scores(self, ks: Mapping[tuple[str, str], int], ties: Ties, no_answer: NoAnswer) -> dict[tuple[str, str], Score]:
        """(slice, metric) -> score. ks: the K of Maj@K and Pass@K on each (slice, split)."""
        return self._curve_scores | self._final_scores(ks, ties, no_answer)

    @cached_property
    def _curve_scores(self) -> dict[tuple[str, str], Score]:
        best = best_by_validation(self.curves)
        found = {}
        for name, curve in self.curves.items():
            found[name, "area"] = Score(curve.split, curve.problem_ids, area(curve), answers=curve.answers)
            if name in best:
                found[name, "best"] = Score(curve.split, curve.problem_ids, best[name], answers=curve.answers)
        return found

    def _final_scores(self, ks: Mapping[tuple[str, str], int], ties: Ties, no_answer: NoAnswer) -> dict[tuple[str, str], Score]:
        if self.cell.evaluation_status != COMPLETE:
            return {}
        found = {}
        for key, scores in self.cell.scores.items():
            values: dict[str, tuple[np.ndarray, int | None]] = {}
            if scores.greedy is not None:
                values["greedy"] = scores.greedy, None
            if scores.num_samples:
                k = ks[key]
                values["avg"] = scores.average(), None
                values["maj"] = scores.maj_at(ties, no_answer)[:, scores.ks.index(k)], k
                values["pass"] = scores.pass_at()[:, scores.ks.index(k)], k
                if scores.num_sound is not None:
                    values["cot_pass"] = scores.cot_pass_at()[:, scores.ks.index(k)], k
            for metric, (score_P, k_of) in values.items():
                ids = scores.problem_ids if k_of is None else scores.whole_ids
                found[key[0], metric] = Score(key[1], ids, np.asarray(score_P, dtype=float), k_of, scores.digest)
        return found


def read(folders: Sequence[Path | str], evaluation: str | None = None) -> tuple[GridFacts, list[GridCell]]:
    """A grid and its cells, the baseline first; what is planned and missing included.

    Args:
        folders: a grid's directory, or directories of runs, or a file of `unified-rl export`. evaluation: name, where a run has
            several.

    Raises:
        DataError: nothing is there, two runs have the same label and seed, or a file is malformed.
    """
    folder = Path(folders[0])
    grid = read_grid(folder) if len(folders) == 1 and folder.is_dir() else GridFacts()
    if not grid.cells:
        cells, _ = read_cells(folders, evaluation)
        return grid, [GridCell(cell, cell.path.name if cell.path else "") for cell in cells]
    runs = [cell.run for cell in grid.cells if cell.command == "train" and cell.run.is_dir()]
    found = read_cells(runs, evaluation)[0] if runs else []
    existing = [GridCell(cell, cell.path.name) for cell in found if cell.path is not None]
    known = {cell.id for cell in existing}
    others = [_without_numbers(folder, cell) for cell in grid.cells if cell.id not in known]
    return grid, [*existing, *others]


def largest_ks(cells: Sequence[GridCell]) -> dict[tuple[str, str], int]:
    """(slice, split) -> the largest power of two within every complete cell's samples."""
    ks: dict[tuple[str, str], int] = {}
    for cell in cells:
        if cell.cell.evaluation_status == COMPLETE:
            for key, scores in cell.cell.scores.items():
                if scores.num_samples:
                    ks[key] = min(ks.get(key, scores.ks[-1]), scores.ks[-1])
    return ks


def varying_settings(cells: Sequence[GridCell]) -> list[str]:
    """The settings in which trained cells differ, by name. (The start policy is no arm.)"""
    known = [cell.settings for cell in cells if cell.settings and not cell.cell.is_baseline]
    names = sorted({name for settings in known for name in settings})
    return [name for name in names if len({json.dumps(settings.get(name)) for settings in known}) > 1]


def _without_numbers(folder: Path, planned: PlannedCell) -> GridCell:
    """A planned cell that is missing, or that is an iterative run, which has tables of its own."""
    common: dict[str, Any] = {"label": planned.label, "seed": planned.seed}
    if planned.command != "train" and planned.run.is_dir():
        status = run_reading.read_status(planned.run) or {"state": "not started"}
        facts = {name: status.get(name) for name in ("step", "steps")} | {"error": status.get("error") or ""}
        cell = Cell(method=planned.command, path=planned.run, state=status["state"], **facts, **common)
        return GridCell(cell, planned.id, ITERATIVE)
    return GridCell(
        Cell(method="", path=None, state=MISSING, error=_last_words(folder / "logs" / f"{planned.id}.log"), **common),
        planned.id,
    )


def _last_words(log: Path) -> str:
    if not log.is_file():  # a pipe would never end
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
