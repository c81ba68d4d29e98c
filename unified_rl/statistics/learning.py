"""A learning curve as numbers: the area under it, the best checkpoint by validation, and the tokens that a level of accuracy
took.

All are means over problems, so that they are kept per problem ([P], in 0..1) and go through the same intervals and paired
differences as accuracies do. With accuracy a(t) of one problem at training steps t_0 < ... < t_n:

    area = integral of a(t) dt / (t_n - t_0)     by the trapezoid rule: the mean accuracy over training

The best checkpoint is chosen on validation problems. Its accuracy on the problems that chose it is too high, by more the more
checkpoints there are; therefore each half of the problems is scored at the step that the other half chooses (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import integrate

#: The only split whose curve may choose a checkpoint: choosing on the test split would be training on it.
SELECTION_SPLIT = "validation"
#: A level is this much accuracy above the start: early enough for most methods to reach it, and beyond one curve's noise.
LEVEL_GAIN = 0.1


@dataclass(frozen=True)
class LearningCurve:
    """One run on one slice.

    Attributes:
        slice, split: where it was measured. problem_ids: [P], sorted. steps: int [T], ascending.
        correct: float [T, P]: 0 or 1 of greedy answers, a share of right ones in 0..1 of samples. answers: which of them, in words.
        sampled_tokens, trained_tokens: int [T], cumulative.
    """

    slice: str
    split: str
    problem_ids: tuple[str, ...]
    steps: np.ndarray
    correct: np.ndarray
    sampled_tokens: np.ndarray
    trained_tokens: np.ndarray
    answers: str

    @property
    def accuracy(self) -> np.ndarray:
        """[T]."""
        return self.correct.mean(1)


@dataclass(frozen=True)
class LevelReached:
    """When a curve first was at a level. Where it never was, the numbers are those of its end, and `reached` is False: the
    truth is larger (right-censored).
    """

    level: float
    reached: bool
    step: int
    sampled_tokens: int
    trained_tokens: int

    @property
    def words(self) -> str:
        if self.reached:
            return f"reached {100 * self.level:.1f} % at step {self.step}"
        return f"never at {100 * self.level:.1f} % in {self.step} steps"


def curves_of(table: pd.DataFrame) -> dict[str, LearningCurve]:
    """Slice -> curve, of a run's curve.jsonl (`run_reading.read_curve`); problems are matched by id.

    A point over other problems than another point, or by other answers, is an error of the run, and raises ValueError.
    """
    found = {}
    for (slice_name, split), entries in table.groupby(["slice", "split"], sort=False):
        entries = entries.drop_duplicates("step", keep="last").sort_values("step")
        by_problem = [dict(zip(row.problem_ids, row.correct, strict=True)) for row in entries.itertuples()]
        problem_ids = tuple(sorted(by_problem[0]))
        if any(point.keys() != set(problem_ids) for point in by_problem):
            raise ValueError(f"the points of the curve on {split}/{slice_name} are over different problems")
        if entries["answers"].nunique() > 1:
            kinds = " and ".join(entries["answers"].unique())
            raise ValueError(f"the points of the curve on {split}/{slice_name} are by different answers: {kinds}")
        found[slice_name] = LearningCurve(
            slice=slice_name,
            split=split,
            problem_ids=problem_ids,
            steps=entries["step"].to_numpy(dtype=np.int64),
            correct=np.array([[point[problem] for problem in problem_ids] for point in by_problem], dtype=float),
            sampled_tokens=entries["sampled_tokens"].to_numpy(dtype=np.int64),
            trained_tokens=entries["trained_tokens"].to_numpy(dtype=np.int64),
            answers=str(entries["answers"].iloc[0]),
        )
    return found


def area(curve: LearningCurve) -> np.ndarray:
    """Mean accuracy over training, per problem: [P]. A policy that is not trained stays where it is."""
    if len(curve.steps) == 1:
        return curve.correct[0]
    return integrate.trapezoid(curve.correct, curve.steps, axis=0) / (curve.steps[-1] - curve.steps[0])


def best_step(curves: Sequence[LearningCurve], problems: slice = slice(None)) -> int:
    """The step whose checkpoint one would keep: the highest mean over slices of validation accuracy, the earliest of equals.

    Args:
        curves: one run's, of all its slices. problems: which of them choose.
    """
    common = sorted(set.intersection(*(set(curve.steps.tolist()) for curve in curves)))
    means = [np.mean([curve.correct[_at(curve, step), problems].mean() for curve in curves]) for step in common]
    return common[int(np.argmax(means))]


def best_by_validation(curves: Mapping[str, LearningCurve]) -> dict[str, np.ndarray]:
    """Slice -> right answers of the best checkpoint, per problem: [P]; each half of the problems at the other half's choice.

    Empty where the curve is not on the validation split, or has a problem only: then nothing may, or can, be chosen.
    """
    chosen = list(curves.values())
    if not chosen or any(curve.split != SELECTION_SPLIT or len(curve.problem_ids) < 2 for curve in chosen):
        return {}
    halves = slice(0, None, 2), slice(1, None, 2)
    scores = {name: np.empty(len(curve.problem_ids)) for name, curve in curves.items()}
    for choosing, scored in (halves, halves[::-1]):
        step = best_step(chosen, choosing)
        for name, curve in curves.items():
            scores[name][scored] = curve.correct[_at(curve, step), scored]
    return scores


def tokens_to_level(curve: LearningCurve, level: float) -> LevelReached:
    """The first measured point at or above a level of accuracy; no interpolation, so it is as coarse as the curve."""
    at_level = np.flatnonzero(curve.accuracy >= level)
    place = int(at_level[0]) if len(at_level) else len(curve.steps) - 1
    return LevelReached(
        level=level,
        reached=bool(len(at_level)),
        step=int(curve.steps[place]),
        sampled_tokens=int(curve.sampled_tokens[place]),
        trained_tokens=int(curve.trained_tokens[place]),
    )


def _at(curve: LearningCurve, step: int) -> int:
    return int(np.searchsorted(curve.steps, step))
