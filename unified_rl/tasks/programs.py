"""Program of thought: the response is a program, and what it prints is the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from unified_rl.base.errors import ConfigError
from unified_rl.base.fences import fences
from unified_rl.base.types import (
    AnswerCheck,
    BatchGraded,
    Demonstration,
    Problem,
    ProgramResult,
    ProgramRunner,
    Split,
    StepCheck,
    Task,
    Verdict,
)

_MAX_PROGRAM = 20_000
_MAX_ANSWER = 1_000


class ProgramAnswers:
    """A task whose responses are programs. Everything but the grading is the wrapped task's.

    A response's program is its last fenced block, or all of it where there is none. Its answer is the last line that the program
    printed; a program that prints nothing, or is stopped before its end, has none.
    """

    def __init__(self, task: Task, runner: ProgramRunner) -> None:
        self.task, self._runner = task, runner
        self.name, self.slices = task.name, task.slices

    def problems(self, split: Split, count: int | None = None, slice: str | None = None) -> Sequence[Problem]:
        return self.task.problems(split, count, slice)

    def demonstrations(self, count: int | None = None) -> Sequence[Demonstration]:
        """Always raises ConfigError: the task's solutions are in words."""
        raise ConfigError(
            f"task {self.name} has solutions in words, no programs; use init=base under task.solution=program_of_thought"
        )

    def check_answer(self, problem: Problem, text: str) -> AnswerCheck:
        return self.check_answers([(problem, text)])[0]

    def check_answers(self, pairs: Sequence[tuple[Problem, str]]) -> list[AnswerCheck]:
        """Run all programs, then grade what they printed."""
        results = iter(self._runner.run([program for _, text in pairs if (program := find_program(text))]))
        printed = [_printed(next(results)) if find_program(text) else ("unparsable", None) for _, text in pairs]
        # A box is the mark that every grader reads.
        answered = [
            (problem, f"\\boxed{{{answer}}}") for (problem, _), (_, answer) in zip(pairs, printed, strict=True) if answer
        ]
        graded = iter(check_answers(self.task, answered))
        return [next(graded) if answer else AnswerCheck(verdict, None, None) for verdict, answer in printed]

    def check_steps(self, problem: Problem, text: str) -> Sequence[StepCheck]:
        """Always raises ConfigError: a program has no steps that could be judged."""
        raise ConfigError("programs have no steps to judge: task.solution=program_of_thought needs reward.supervision=outcome")


def check_answers(task: Task, pairs: Sequence[tuple[Problem, str]]) -> list[AnswerCheck]:
    """A task's verdicts on many responses: in one go where it can, one by one where it cannot."""
    if hasattr(task, "check_answers"):
        return cast(BatchGraded, task).check_answers(pairs)
    return [task.check_answer(problem, text) for problem, text in pairs]


def find_program(text: str) -> str:
    """The program of a response: its last fenced block that is not empty, or all of it where there is none; "" for no program.

    A response whose fences do not pair up, the first being a bare one, began inside the block that its prompt opened.
    """
    found = fences(text)
    edges = [(fence.start, fence.end) for fence in found]
    if len(found) % 2 and not found[0].language:
        edges.insert(0, (0, 0))
    edges.append((len(text), len(text)))  # closes a block that was left open
    blocks = [text[edges[i][1] : edges[i + 1][0]] for i in range(0, len(edges) - 1, 2)] if found else [text]
    program = next((block for block in reversed(blocks) if block.strip()), "").removeprefix("\n")
    return program if len(program) <= _MAX_PROGRAM else ""


def _printed(result: ProgramResult) -> tuple[Verdict, str | None]:
    """(verdict where there is no answer, the answer)."""
    if result.status != "ok":
        return ("timeout" if result.status == "timeout" else "unparsable"), None
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    return "unparsable", lines[-1][:_MAX_ANSWER] if lines else None
