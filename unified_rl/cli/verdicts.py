"""Commands on answers: grading a file, and grading a stored evaluation again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unified_rl.cli.grammar import JSON, Call, Command


@dataclass(frozen=True)
class GradeOptions:
    """What is graded, and within which limits.

    file: one, of a JSON record per line. policy: a benchmark whose rules differ from the default. format: how a response states its
    answer. seconds: of one comparison. memory_mb: of a worker. workers: processes; 0 = as many as there are cores. explain:
    say behind each verdict how both answers were read, and what it rests on.
    """

    file: list[Path] = field(default_factory=list)
    policy: str = "default"
    format: str = "auto"
    seconds: float = 5.0
    memory_mb: int = 2048
    workers: int = 0
    explain: bool = False


@dataclass(frozen=True)
class RegradeOptions:
    """Which evaluation.

    run: directory of a run with a stored evaluation. name: of the evaluation; by default the run's split. allow_code:
    also import a task's code that came with the run.
    """

    run: str = ""
    name: str = ""
    allow_code: bool = False


def _grade(call: Call) -> None:
    from unified_rl.grading import command

    command.run([word for word in call.words if word not in JSON], call.json)


def _regrade(call: Call) -> None:
    from unified_rl.stages import regrade

    regrade.run([word for word in call.words if word not in JSON], call.json)


COMMANDS: Mapping[str, Command] = {
    "grade": Command(
        "grade records of gold and prediction, or gold and response; - reads standard input",
        "answers.jsonl policy=math",
        _grade,
        GradeOptions,
        "file",
        JSON,
        sections=("grading",),
    ),
    "regrade": Command(
        "rewrite the verdicts and answer classes of a stored evaluation",
        "run=runs/mine name=test policy=math",
        _regrade,
        RegradeOptions,
        flags=JSON,
        sections=("grading",),
    ),
}
