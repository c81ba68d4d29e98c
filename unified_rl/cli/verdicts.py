"""Commands on answers: grading a file, and grading a stored evaluation again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unified_rl.base.errors import ConfigError
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


@dataclass(frozen=True)
class TracesOptions:
    """Which samples.

    file: JSON lines or Parquet of samples that others made, one policy. problem, answer, correct, score, steps: what it calls these
    fields; a file need not have the last two. run: instead, a run of a task whose steps have an exact checker: CoT-Pass@K of its
    own samples. name: of the run's evaluation. allow_code: also import a task's code that came with the run. out: folder for
    traces.csv, and for a run's samples with the checker's word on them.
    """

    file: Path | None = None
    problem: str = "problem"
    answer: str = "answer"
    correct: str = "correct"
    score: str = ""
    steps: str = ""
    run: Path | None = None
    name: str = "test"
    allow_code: bool = False
    out: Path | None = None

    def __post_init__(self) -> None:
        if (self.file is None) == (self.run is None):
            raise ConfigError("traces needs a file of samples, or run=DIR")


def _traces(call: Call) -> None:
    import pandas as pd

    from unified_rl.statistics import table_files, traces

    one: TracesOptions = call.options
    if one.file is not None:
        fields = traces.Fields(one.problem, one.answer, one.correct, one.score, one.steps)
        tables = {"": traces.traces_table(traces.read_traces(one.file, fields))}
    else:
        tables = _of_run(one)
    for name, table in tables.items():
        print(
            f"{name or one.file} ({int(table['num_problems'].iloc[0])} problems, {int(table['num_samples'].iloc[0])} samples)"
        )
        print(f"{traces.format_table(table)}\n")
    if one.out is not None:
        whole = pd.concat([table.assign(slice=name) for name, table in tables.items()], ignore_index=True)
        table_files.write_table(
            whole, one.out / "traces.csv", {"schema": table_files.SCHEMA, "table": "traces", "command": call.line}
        )
        print(f"written to {one.out}")


def _of_run(one: TracesOptions) -> dict[str, Any]:
    """Slice -> its table."""
    from unified_rl.stages import step_traces
    from unified_rl.statistics import traces

    assert one.run is not None
    found = step_traces.step_traces(one.run, one.name, one.allow_code)
    if one.out is not None:
        for name, records in found.items():
            step_traces.write(records, one.out / f"samples_{name}.jsonl")
    return {
        name: traces.traces_table(traces.traces_of(records, traces.Fields(steps="steps"), f"{one.run} ({name})"))
        for name, records in found.items()
    }


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
    "traces": Command(
        "samples that others made, or a run's with its steps checked: Pass@K, Maj@K, pass^K, best-of-K, CoT-Pass@K with intervals",
        "samples.jsonl problem=idx answer=pred correct=is_correct",
        _traces,
        TracesOptions,
        "file",
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
