"""Right answers by right reasoning: whether a response has the right answer and every one of its steps is right, by the task.

Only tasks with an exact step checker (the tiny world) can say so. A response that shows fewer steps than its problem has is not
sound, nor is one cut off at the limit of tokens.
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
    """Whether every step of a response is right, its answer line the last, and none left out.

    A problem whose chain of steps is fixed says how many it has (`steps` of its info): an answer alone has shown none of them.

    Raises:
        ConfigError: the task cannot judge steps.
    """
    checks = task.check_steps(problem, text)
    steps = problem.info.get("steps")
    return len(checks) > (steps if isinstance(steps, int) else 0) and all(check.correct for check in checks)
