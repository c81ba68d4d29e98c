"""Multiple choice by likelihood: nothing is reasoned, and the answer is the letter that is the most likely to follow at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import AnswerCheck, Demonstration, Problem, Split, StepCheck, Task
from unified_rl.tasks.options import letter, letter_question
from unified_rl.tasks.programs import check_answers


class LetterAnswers:
    """A task whose questions end where a letter is to be told, in MMLU's form. Everything but the questions is the wrapped task's.

    The options must be known one by one (`Problem.info["options"]`). Of questions with several right letters the one that is
    chosen is never the whole answer, and counts as wrong.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.name, self.slices = task.name, task.slices

    def problems(self, split: Split, count: int | None = None, slice: str | None = None) -> Sequence[Problem]:
        """Raises ConfigError where a problem has no options."""
        return tuple(self._put(problem) for problem in self.task.problems(split, count, slice))

    def demonstrations(self, count: int | None = None) -> Sequence[Demonstration]:
        """Always raises ConfigError: letters are told by likelihood, which is nothing to learn from."""
        raise ConfigError("task.solution=letter_likelihood is a way to evaluate; train with another task.solution")

    def check_answer(self, problem: Problem, text: str) -> AnswerCheck:
        return self.check_answers([(problem, text)])[0]

    def check_answers(self, pairs: Sequence[tuple[Problem, str]]) -> list[AnswerCheck]:
        """Grade letters: each in a box, which is the mark that every grader reads."""
        return check_answers(self.task, [(problem, f"\\boxed{{{text.strip()}}}") for problem, text in pairs])

    def check_steps(self, problem: Problem, text: str) -> Sequence[StepCheck]:
        """Always raises ConfigError: a letter has no steps."""
        raise ConfigError("letters have no steps to judge: task.solution=letter_likelihood needs reward.supervision=outcome")

    def _put(self, problem: Problem) -> Problem:
        options = options_of(problem)
        if len(options) < 2:
            raise ConfigError(
                f"task.solution=letter_likelihood is for multiple choice with a list of options, and {self.name} problem "
                f"{problem.id!r:.60} has none; use task.solution=chain_of_thought"
            )
        language = str(problem.info.get("language", "en"))
        return replace(problem, question=letter_question(str(problem.info.get("stem")), options, language))


def options_of(problem: Problem) -> tuple[str, ...]:
    """The options of a multiple-choice problem; () where they are not known one by one."""
    options = problem.info.get("options")
    return tuple(map(str, options)) if isinstance(options, list | tuple) else ()


def letters_of(problem: Problem) -> tuple[str, ...]:
    """What may follow the question: " A", " B", ..."""
    return tuple(f" {letter(index)}" for index in range(len(options_of(problem))))
