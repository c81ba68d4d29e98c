"""Right answers by right reasoning: whether a response has the right answer and every one of its steps is right, by the task.

Only tasks with an exact step checker (the tiny world) can say so. A response without steps is not sound, nor is one cut off at the
limit of tokens.
"""

from __future__ import annotations

from collections.abc import Callable

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Problem, Response, Score, Task

Judge = Callable[[Problem, Response, Score], bool]


def judge_of(task: Task, one: Problem) -> Judge | None:
    """Whether a response is sound, as a function of problem, response and its score; None where the task cannot judge steps.

    one: a problem that will be judged, by which it is found out.
    """
    try:
        task.check_steps(one, "")
    except ConfigError:
        return None

    def judge(problem: Problem, response: Response, score: Score) -> bool:
        return score.verdict == "correct" and response.finish != "length" and sound(task, problem, response.text)

    return judge


def sound(task: Task, problem: Problem, text: str) -> bool:
    """Whether a response has steps and every one of them is right. Raises ConfigError where the task cannot judge steps."""
    checks = task.check_steps(problem, text)
    return bool(checks) and all(check.correct for check in checks)
