"""Problems from any file of records: as it is where its columns have usual names, else described by its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Problem
from unified_rl.grading import FORMATS
from unified_rl.tasks import usual_columns
from unified_rl.tasks.benchmark_task import GOLD_FORMS, BenchmarkTask
from unified_rl.tasks.benchmarks import Benchmark
from unified_rl.tasks.hashed_split import hashed_split
from unified_rl.tasks.options import CHOICE_LINE
from unified_rl.tasks.reading import FORMATS as FILES
from unified_rl.tasks.reading import HUB, local_path, read_records

#: Splits in the order in which a file's name is searched for them; a file that names none is divided.
_NAMED = ("test", "validation", "train")
_GLOBS = ("{}*.jsonl", "{}*.parquet", "data/{}*.parquet", "{}*.csv", "{}*.tsv", "{}*.json")
TEST_FRACTION = 0.1


class Table(BenchmarkTask):
    """Problems from JSON-lines, JSON, Parquet, CSV or TSV files, described by their fields (`unified_rl.tasks.benchmarks`).

    One file whose name says no split, or a data set of the Hub without test files, is divided by a hash of each question
    (`tasks.hashed_split`): `validation_fraction` and `test_fraction` of the questions, at least one each, the rest is for training.

    Args:
        path: one file, a folder with one, or a folder with files whose names begin with "train", "validation" or "test".
        question, gold: fields; "" finds the column by its usual name (`tasks.usual_columns`), and then the solution as well.
        name: what the problems' ids begin with. policy_name: whose grading policy to begin with.
        test_fraction: None: 0.1 where data is divided, else 0. 1 makes all of it test problems. Others: see `BenchmarkTask`.
    """

    def __init__(
        self,
        path: str | Path = "",
        question: str = "",
        gold: str = "",
        solution: str = "",
        choices: str = "",
        id: str = "",
        gold_form: str = "plain",
        format: str = "",
        language: str = "en",
        info: Mapping[str, str] | None = None,
        columns: Sequence[str] = (),
        name: str = "table",
        policy_name: str = "default",
        validation_fraction: float = 0.05,
        test_fraction: float | None = None,
        where: Mapping[str, object] | None = None,
        policy: Mapping[str, object] | None = None,
        final_line: str = "",
        grading_seconds: float = 5.0,
        grading_workers: int = 0,
    ) -> None:
        _choice("gold_form", gold_form, GOLD_FORMS)
        _choice("language", language, CHOICE_LINE)
        answer_format = format or ("choice" if choices else "auto")
        _choice("format", answer_format, FORMATS)
        if not 0.0 <= (test_fraction or 0.0) <= 1.0:
            raise ConfigError(f"test_fraction={test_fraction} must lie in [0, 1]")
        self._usual = {"question": not question, "answer": not gold}
        row = Benchmark(
            question=question or usual_columns.QUESTION,
            gold=gold or usual_columns.ANSWER,
            layouts={split: tuple(glob.format(split) for glob in _GLOBS) for split in ("train", "validation", "test")},
            gold_form=gold_form,
            solution=solution or ("" if gold else usual_columns.SOLUTION),
            choices=choices,
            id=id,
            format=answer_format,  # type: ignore[arg-type]
            policy=policy_name,
            language=language,
            info=dict(info or {}),
            columns=tuple(columns),
        )
        place = _one_file(local_path(path, _globs(row))) if path else path
        super().__init__(name, row, place, validation_fraction, where, policy, final_line, grading_seconds, grading_workers)
        unnamed = self.path.is_file() and not any(split in self.path.name for split in _NAMED)
        divided = unnamed or (str(path).startswith(HUB) and "test" not in self._files)
        self._test_fraction = (TEST_FRACTION if divided else 0.0) if test_fraction is None else test_fraction
        self._parts: dict[str, list[Problem]] = {}

    def in_words(self) -> str:
        """What is read of the data, and how it is divided: a line for people."""
        files = [file for found in self._files.values() for file in found]
        columns = next((record for _, record in read_records(files[0], self.benchmark.columns)), {})
        fields = self._described(columns)
        if not self._test_fraction:
            return f"{self.path}: {fields}"
        counts = ", ".join(f"{len(self._split(split))} {split}" for split in ("train", "validation", "test"))
        return f"{self.path}: {fields}; {counts} by a hash of the question (task.options.test_fraction, validation_fraction)"

    def _described(self, columns: Mapping[str, Any]) -> str:
        return usual_columns.in_words(columns) if all(self._usual.values()) else f"questions from {self.benchmark.question!r}"

    def _problem(self, place: str, record: Mapping[str, Any], split: str, index: int) -> Problem | None:
        if any(self._usual.values()):
            record = usual_columns.usual(place, record, **self._usual)
        return super()._problem(place, record, "all" if self._test_fraction else split, index)

    def _split(self, split: str) -> list[Problem]:
        if not self._test_fraction or "test" in self._files or "train" not in self._files:
            return super()._split(split)
        if not self._parts:
            self._parts = self._divided(self._file_problems("train"))
        return self._file_problems("validation") if split == "validation" in self._files else self._parts[split]

    def _divided(self, problems: Sequence[Problem]) -> dict[str, list[Problem]]:
        test = self._test_fraction
        validation = 0.0 if "validation" in self._files else min(self.validation_fraction, 1 - test)
        splits = hashed_split([problem.question for problem in problems], validation, test, str(self.path))
        parts: dict[str, list[Problem]] = {name: [] for name in _NAMED}
        for problem, split in zip(problems, splits, strict=True):
            parts[split].append(problem)
        return parts


def _globs(row: Benchmark) -> list[str]:
    return [glob for globs in row.layouts.values() for glob in globs]


def _one_file(path: Path) -> Path:
    """The only file of records of a folder without files of splits; else the path."""
    if not path.is_dir() or any(any(path.glob(glob.format(split))) for glob in _GLOBS for split in _NAMED):
        return path
    files = [file for file in path.iterdir() if file.is_file() and file.suffix in FILES]
    return files[0] if len(files) == 1 else path


def _choice(name: str, value: str, known: Any) -> None:
    if value not in known:
        raise ConfigError(f"{name}={value!r} is unknown; choose one of {', '.join(known)}")
