"""One task for every benchmark of the table, and for a user's own files of records described in the same words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from itertools import count as counter
from pathlib import Path
from typing import Any

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import SPLITS, AnswerCheck, Demonstration, Problem, Split, StepCheck
from unified_rl.grading import Grader, GradingPolicy, Limits, benchmark_policy
from unified_rl.grading.boxes import contents_of_last
from unified_rl.grading.extract import clean
from unified_rl.tasks.benchmarks import Benchmark
from unified_rl.tasks.fields import field_text, field_value
from unified_rl.tasks.hashed_split import position
from unified_rl.tasks.options import choice_question, option_list
from unified_rl.tasks.reading import HUB, NAMED, all_of, find_files, local_path, read_records


class BenchmarkTask:
    """A benchmark's problems, read from files.

    Splits: "test" is the test files. "validation" is the files that the benchmark has for it, or, where it has training files
    only, the part of them whose questions' hash falls below `validation_fraction`; "train" is the rest.

    The options of a multiple-choice question are part of its question. `info` holds "language", "format", "solution" (where there
    is one), the "stem" and "options" of multiple choice, and the benchmark's own fields (subject, level).

    Args:
        name: of the benchmark. benchmark: its row of the table.
        path: a folder with the benchmark's files in one of its layouts, one file, or `hub:OWNER/NAME`.
        validation_fraction: share of the training files that is held out, in [0, 1).
        where: info name -> value or values, to keep only some problems (e.g. {"level": 5}).
        policy: changes of the benchmark's grading policy (fields of `grading.GradingPolicy`).
        final_line: what a demonstration ends with, the place of its answer written "{answer}"; "" leaves solutions as they are.
        grading_seconds, grading_workers: limit per answer; processes (0 = one per core).

    Raises:
        ConfigError: where an argument is out of range, naming it.
        DataError: where no file is found (naming those looked for) or a record is malformed (naming file, line and field).
    """

    slices = ("main",)

    def __init__(
        self,
        name: str,
        benchmark: Benchmark,
        path: str | Path = "",
        validation_fraction: float = 0.05,
        where: Mapping[str, object] | None = None,
        policy: Mapping[str, object] | None = None,
        final_line: str = "",
        grading_seconds: float = 5.0,
        grading_workers: int = 0,
    ) -> None:
        if not path:
            remedy = f", or to {HUB}{benchmark.hub} to fetch them" if benchmark.hub else ""
            raise ConfigError(f"task {name} needs data: set data.path to the file or folder with its records{remedy}")
        if not 0.0 <= validation_fraction < 1.0:
            raise ConfigError(f"validation_fraction={validation_fraction} must lie in [0, 1)")
        if final_line and "{answer}" not in final_line:
            raise ConfigError(
                f"final_line={final_line!r} must hold '{{answer}}', e.g. 'The answer is \\\\boxed{{{{answer}}}}.'"
            )
        self.name, self.benchmark = name, benchmark
        self.path = local_path(path, [glob for globs in benchmark.layouts.values() for glob in globs])
        self.validation_fraction, self.final_line = validation_fraction, final_line
        self.policy: GradingPolicy = benchmark_policy(benchmark.policy, **{**benchmark.policy_changes, **(policy or {})})
        self._where = {**benchmark.where, **_wanted(where or {}, benchmark.info)}
        self._files = find_files(self.path, benchmark.layouts, name)
        self._grader = _shared_grader(self.policy, Limits(seconds=grading_seconds), grading_workers or None)
        self._read: dict[str, list[Problem]] = {}

    @property
    def identity(self) -> dict[str, Any]:
        """What results depend on beside this file's code, the data and the options: the benchmark's row, and its policy."""
        return {"benchmark": asdict(self.benchmark), "policy": asdict(self.policy)}

    def problems(self, split: Split, count: int | None = None, slice: str | None = None) -> Sequence[Problem]:
        """The first `count` problems of a split (None: all), in the files' order. Raises DataError if there are fewer."""
        if split not in SPLITS:
            raise ConfigError(f"split={split!r} is unknown; choose one of {', '.join(SPLITS)}")
        if slice not in (None, *self.slices):
            raise ConfigError(f"slice={slice!r} is unknown to task {self.name}; its only slice is 'main'")
        problems = self._split(split)
        if count is not None and count > len(problems):
            raise DataError(f"task {self.name} has {len(problems)} {split} problems in {self.path}, and {count} were asked for")
        if not problems:
            raise DataError(f"task {self.name}: the {split} split of {self.path} is empty; check where and validation_fraction")
        return tuple(problems[:count])

    def demonstrations(self, count: int | None = None) -> Sequence[Demonstration]:
        """The first `count` training problems with their solutions. Raises ConfigError where the data has none."""
        return tuple(Demonstration(problem, self._solution(problem)) for problem in self.problems("train", count))

    def check_answer(self, problem: Problem, text: str) -> AnswerCheck:
        """Grade one response; `check_answers` grades many at far less cost each."""
        return self.check_answers([(problem, text)])[0]

    def check_answers(self, pairs: Sequence[tuple[Problem, str]]) -> list[AnswerCheck]:
        """Grade responses to their problems by `unified_rl.grading`, with the benchmark's answer format and policy."""
        golds, texts = [problem.gold for problem, _ in pairs], [text for _, text in pairs]
        return self._grader.check_answers(golds, texts, self.benchmark.format)

    def check_steps(self, problem: Problem, text: str) -> Sequence[StepCheck]:
        """Always raises ConfigError: free-text steps have no exact checker."""
        raise ConfigError(
            f"task {self.name} cannot judge single steps exactly; use reward.supervision=outcome, or a process reward model "
            "(reward.source=model)"
        )

    def close(self) -> None:
        """End the grader's workers, which otherwise end with the process; they start again when an answer needs them."""
        self._grader.close()

    def _split(self, split: str) -> list[Problem]:
        if split == "test" or split in self._files:
            problems = self._file_problems(split)
            if split == "train" and "validation" not in self._files:
                return [problem for problem in problems if not self._held_out(problem)]
            return problems
        if split == "validation" and "train" in self._files:
            return [problem for problem in self._file_problems("train") if self._held_out(problem)]
        return self._file_problems(split)

    def _file_problems(self, split: str) -> list[Problem]:
        """All problems of the files of one split."""
        if split not in self._files:
            has = ", ".join(self._files)
            if split not in self.benchmark.layouts and not (split == "validation" and "train" in self.benchmark.layouts):
                raise DataError(f"benchmark {self.name} has no {split} split, only {has}; choose split={has.split(',')[0]}")
            raise DataError(
                f"task {self.name}: {self.path} holds no {split} split, only {has}; set data.path to where both are"
            )
        if split not in self._read:
            records = (record for file in self._files[split] for record in read_records(file, self.benchmark.columns))
            index = counter()
            read = all_of(records, lambda place, record: self._problem(place, record, split, next(index)))
            kept = [problem for problem in read if problem is not None and self._is_wanted(problem)]
            self._refuse_repeated_ids(kept)
            self._read[split] = kept
        return self._read[split]

    def _problem(self, place: str, record: Mapping[str, Any], split: str, index: int) -> Problem | None:
        """A problem from a record; None for one that is known to have no answer."""
        row = self.benchmark
        info: dict[str, object] = {"slice": "main", "language": row.language, "format": row.format}
        info |= {name: _plain(name, value) for name, at in row.info.items() if (value := field_value(record, at)) is not None}
        solution = field_value(record, row.solution) if row.solution else None
        if isinstance(solution, str) and solution.strip():
            info["solution"] = solution
        question = (
            re.sub(row.strip, "", field_text(place, record, row.question))
            if row.strip
            else field_text(place, record, row.question)
        )
        if row.choices:
            shown, options = _options(place, record, row.choices)
            info |= {"stem": question.strip(), "options": options}
            question = choice_question(question, shown, row.language)
        identity = field_value(record, row.id) if row.id else None
        if identity is None:
            identity = f"{self.name}/{split}/{index}"
        elif "/" not in str(identity):
            identity = f"{self.name}/{identity}"
        gold = self._gold(place, record, info)
        return None if gold is None else Problem(str(identity), question.strip(), gold, info)

    def _gold(self, place: str, record: Mapping[str, Any], info: Mapping[str, object]) -> str | None:
        row = self.benchmark
        value = field_value(record, row.gold)
        if value is None and row.gold_in_solution and "solution" in info:
            content = contents_of_last(str(info["solution"]), self.policy.boxes)
            value = clean(content) if content else None
            if value is None and r"\boxed" not in str(info["solution"]):
                raise DataError(f"{place}: no field {row.gold!r}, and its solution has no \\boxed{{answer}}; add one of them")
        gold = None if value is None else GOLD_FORMS[row.gold_form](value)
        if not gold and value is None and row.unanswered == "leave_out":
            return None
        if not gold:
            raise DataError(f"{place}: field {row.gold!r} must hold the answer ({row.gold_form}), and is {value!r:.60}")
        return gold

    def _solution(self, problem: Problem) -> str:
        if "solution" not in problem.info:
            raise ConfigError(f"task {self.name} has no worked solutions to learn from (problem {problem.id!r}); use init=base")
        body = str(problem.info["solution"]).strip()
        return body + (f"\n{self.final_line.replace('{answer}', problem.gold)}" if self.final_line else "")

    def _is_wanted(self, problem: Problem) -> bool:
        return all(str(problem.info.get(name)) in values for name, values in self._where.items())

    def _held_out(self, problem: Problem) -> bool:
        return position(problem.question) < self.validation_fraction

    def _refuse_repeated_ids(self, problems: Sequence[Problem]) -> None:
        repeated = [identity for identity, times in Counter(problem.id for problem in problems).items() if times > 1]
        if repeated:
            named = ", ".join(f"{identity!r:.60}" for identity in repeated[:NAMED])
            raise DataError(f"task {self.name}: {self.path} holds two problems of id {named}; ids must differ")


@cache
def _shared_grader(policy: GradingPolicy, limits: Limits, workers: int | None) -> Grader:
    """One warm grader for all tasks of a process that grade alike."""
    return Grader(policy, limits, workers)


# --------------------------------------------------------------------------------------------------------------------------------
# Gold answers


def _number(value: object) -> str:
    """The number without its separators; "" where it is none: words, or nothing that a reader would call a number."""
    text = _written(value).replace(",", "").replace("，", "")
    return text if any(char.isdigit() or char in "π∞" for char in text) or "pi" in text or "infty" in text else ""


def _letters(value: object) -> str:
    """ "B", "A C" -> "AC", 2 -> "C", [0, 2] -> "AC"; "" where there is none."""
    if isinstance(value, list | tuple):
        return "".join(_letters(item) for item in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return chr(ord("A") + value) if 0 <= value < 26 else ""
    letters = re.sub(r"[\s,;、()（）]", "", str(value))
    if letters.isdecimal():
        return _letters(int(letters))
    return letters if re.fullmatch(r"[A-Z]{1,8}", letters) else ""


def _list(value: object) -> str:
    """ "$5$;$10$" -> "$5$, $10$"."""
    return ", ".join(part.strip() for part in re.split(r"[;；]", _written(value)))


def _written(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


GOLD_FORMS = {"plain": _written, "number": _number, "letter": _letters, "list": _list}


# --------------------------------------------------------------------------------------------------------------------------------
# Fields


def _options(place: str, record: Mapping[str, Any], at: str) -> tuple[str | tuple[str, ...], tuple[str, ...]]:
    """The options of a question as they are shown (a text that lists them already is left as it is), and as a list."""
    value = field_value(record, at)
    if isinstance(value, str):
        return value.strip(), option_list(value)
    if not isinstance(value, list | tuple) or len(value) < 2:
        raise DataError(f"{place}: field {at!r} must be a list of options or a text, and is {value!r:.60}")
    return option_list(value), option_list(value)


def _plain(name: str, value: object) -> object:
    """A kept fact; MATH's "Level 3" is 3."""
    match = re.fullmatch(r"Level (\d)", str(value)) if name == "level" else None
    return int(match[1]) if match else value


def _wanted(where: Mapping[str, object], info: Mapping[str, str]) -> dict[str, list[str]]:
    if unknown := sorted(set(where) - set(info)):
        raise ConfigError(f"where={unknown[0]!r} is no fact that is kept of a record; there are {', '.join(info) or 'none'}")
    return {
        name: [str(value) for value in values] if isinstance(values, list | tuple) else [str(values)]
        for name, values in where.items()
    }
