"""Preference data: records with a prompt, a chosen and a rejected response, in columns of the usual names.

The chosen responses are the demonstrations of an SFT stage, and their final answers what responses are graded by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unified_rl.base.types import Demonstration, Problem
from unified_rl.tasks import usual_columns
from unified_rl.tasks.table import Table

_REJECTED = "rejected"


class Preferences(Table):
    """Problems of a preference file, divided as `Table` divides a file.

    Args:
        path: one file, a folder with one, or a folder with files whose names begin with "train", "validation" or "test".
        validation_fraction, test_fraction, grading_seconds, grading_workers: see `Table`.
    """

    def __init__(
        self,
        path: str | Path = "",
        validation_fraction: float = 0.05,
        test_fraction: float | None = None,
        grading_seconds: float = 5.0,
        grading_workers: int = 0,
    ) -> None:
        super().__init__(
            path,
            name="preferences",
            validation_fraction=validation_fraction,
            test_fraction=test_fraction,
            grading_seconds=grading_seconds,
            grading_workers=grading_workers,
        )

    def compared(self, count: int | None = None) -> Sequence[tuple[Demonstration, Demonstration]]:
        """The better and the worse response to the first `count` training prompts (None: all). Raises as `problems`."""
        return [
            (Demonstration(problem, self._solution(problem)), Demonstration(problem, str(problem.info[_REJECTED])))
            for problem in self.problems("train", count)
        ]

    def _described(self, columns: Mapping[str, Any]) -> str:
        return usual_columns.pair_in_words(columns)

    def _problem(self, place: str, record: Mapping[str, Any], split: str, index: int) -> Problem | None:
        prompt, chosen, rejected = usual_columns.pair(place, record)
        found = {usual_columns.QUESTIONS[0]: prompt, usual_columns.ANSWERS[0]: chosen, usual_columns.SOLUTIONS[0]: chosen}
        problem = super()._problem(place, found, split, index)
        return problem and replace(problem, info={**problem.info, _REJECTED: rejected})
