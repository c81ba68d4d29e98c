"""A user's own task, looked at while it is used: one line that names the task, the problem and the remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, cast

from unified_rl.base.errors import DataError
from unified_rl.base.types import VERDICTS, AnswerCheck, BatchGraded, Demonstration, Problem, Split, StepCheck, Task

#: Problems named in a message; the others are counted.
_NAMED = 8


class CheckedTask:
    """A task whose problems and verdicts are what `types.Task` promises; everything else of it is its own."""

    def __init__(self, task: Task) -> None:
        self._task, self.name, self.slices = task, task.name, task.slices

    def __getattr__(self, name: str) -> Any:
        if name in ("_task", "check_answers"):
            raise AttributeError(name)
        return getattr(self._task, name)

    def problems(self, split: Split, count: int | None = None, slice: str | None = None) -> Sequence[Problem]:
        return self._checked(self._task.problems(split, count, slice), f"problems({split!r})")

    def demonstrations(self, count: int | None = None) -> Sequence[Demonstration]:
        found = list(self._task.demonstrations(count))
        wrong = [item for item in found if not isinstance(item, Demonstration) or not isinstance(item.solution, str)]
        if wrong:
            raise DataError(
                f"task {self.name}: demonstrations() gave {wrong[0]!r:.80}; give Demonstrations with a text as solution"
            )
        self._checked([item.problem for item in found], "demonstrations()")
        return found

    def check_answer(self, problem: Problem, text: str) -> AnswerCheck:
        return self._check(problem, self._task.check_answer(problem, text), "check_answer")

    def check_steps(self, problem: Problem, text: str) -> Sequence[StepCheck]:
        return self._task.check_steps(problem, text)

    def _check(self, problem: Problem, check: Any, method: str) -> AnswerCheck:
        where = f"task {self.name}: {method}() of problem {problem.id!r}"
        if not isinstance(check, AnswerCheck):
            raise DataError(
                f"{where} gave {check!r:.60} ({type(check).__name__}); return an AnswerCheck, also of an empty response"
            )
        if check.verdict not in VERDICTS:
            raise DataError(f"{where} gave the verdict {check.verdict!r:.60}; give one of {', '.join(VERDICTS)}")
        if not all(isinstance(item, (str, type(None))) for item in (check.answer, check.answer_class)):
            raise DataError(f"{where} gave an answer or class that is no text; give texts, or None for no answer")
        return check

    def _checked(self, problems: Iterable[Any], method: str) -> Sequence[Problem]:
        found = list(problems)
        wrong = [f"{place}: {said}" for place, item in enumerate(found) if (said := _wrong(item))]
        wrong += [f"id {name!r:.60} {times} times" for name, times in Counter(map(_identity, found)).items() if times > 1]
        if wrong:
            more = f"; and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
            raise DataError(f"task {self.name}: {method} gave problems that cannot be used: {'; '.join(wrong[:_NAMED])}{more}")
        return found


class BatchCheckedTask(CheckedTask):
    """The same for a task that grades many answers at once, of which a few are graded again one by one."""

    def check_answers(self, pairs: Sequence[tuple[Problem, str]]) -> list[AnswerCheck]:
        """The checks, in the order of the pairs.

        Raises:
            DataError: of another number; or not those that `check_answer` gives, as where one was left out and others moved up.
        """
        pairs = list(pairs)
        given = cast(BatchGraded, self._task).check_answers(pairs)
        found = list(given) if isinstance(given, Iterable) else given
        if not isinstance(found, list) or len(found) != len(pairs):
            count = len(found) if isinstance(found, list) else f"{found!r:.40}"
            raise DataError(
                f"task {self.name}: check_answers() gave {count} checks of {len(pairs)} answers; give one each, in order"
            )
        for (problem, _), check in zip(pairs, found, strict=True):
            self._check(problem, check, "check_answers")
        for place in sorted({0, len(pairs) // 2, len(pairs) - 1} & set(range(len(pairs)))):
            alone = self.check_answer(*pairs[place])
            if alone.verdict != found[place].verdict:
                raise DataError(
                    f"task {self.name}: check_answers() says {found[place].verdict} of answer {place}, to problem "
                    f"{pairs[place][0].id!r}, and check_answer() says {alone.verdict}; give one check for each pair, in order"
                )
        return found


def checked(task: Task) -> Task:
    """A user's task that is looked at while it is used."""
    return BatchCheckedTask(task) if hasattr(task, "check_answers") else CheckedTask(task)


def _identity(item: Any) -> str:
    return str(getattr(item, "id", ""))


def _wrong(item: Any) -> str | None:
    """What is wrong with a problem, in words; None if nothing is."""
    if not isinstance(item, Problem):
        return f"{item!r:.60} is no Problem"
    for name in ("id", "question", "gold"):
        value = getattr(item, name)
        if not isinstance(value, str):
            return f"{name} of {item.id!r:.40} is {value!r:.40} ({type(value).__name__}); give a text"
        if not_text(value):
            return f"{name} of {item.id!r:.40} holds half of a character (a lone surrogate); mend the text"
    return None


def not_text(value: str) -> bool:
    """Whether a string holds what no file of text can: a lone surrogate."""
    return any("\ud800" <= char <= "\udfff" for char in value) if not value.isascii() else False
