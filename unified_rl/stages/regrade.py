"""Regrading: the verdicts and answer classes of a stored evaluation, computed again from the stored texts. Nothing is sampled."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from unified_rl import __version__
from unified_rl.base import files
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import AnswerCheck, Problem, Task
from unified_rl.config.problems import TaskConfig
from unified_rl.config.schema import Config
from unified_rl.grading.command import make_grader
from unified_rl.presets import loading
from unified_rl.records import reading, runs

METADATA_KEY = b"unified_rl.grading"
_TRUNCATED = AnswerCheck("incorrect", None, None)  # cut off before its final answer, as the rule reward has it
COLUMNS = ("answer", "answer_class", "gold_class", "verdict")


def regrade(run_dir: Path, name: str, settings: dict[str, str] | None = None, allow_code: bool = False) -> dict[str, Any]:
    """Rewrite `answer`, `answer_class`, `gold_class` and `verdict` of `run_dir/evaluations/name`; everything else stays as it is.

    Args:
        settings: None grades with the run's own task. Otherwise the general grader of `unified_rl.grading` grades against the
            stored gold answers, with these settings (`policy`, `format`, any field of `GradingPolicy`, `seconds`, ...).
        allow_code: see `stages.stored`.

    Returns:
        Counts: rows, verdicts before and after, rows whose verdict or class changed, and what graded them. The last goes into the
        Parquet file's metadata and, with the counts, into the `regraded` list of meta.json.

    Raises:
        DataError: no such evaluation, or one that this version cannot read. ConfigError: a setting is wrong.
    """
    folder = run_dir / "evaluations" / name
    if not folder.is_dir():
        raise DataError(f"{folder} is no evaluation; make one with `unified-rl evaluate {shlex.quote(f'run={run_dir}')}`")
    with runs.held(folder.with_name(f".{name}.lock")):
        meta = reading.read_evaluation_meta(folder)
        table = reading.read_samples(folder, meta)
        rows = table.select(["problem_id", "slice", "split", "mode", "text", "gold", "finish", *COLUMNS]).to_pylist()
        checks, golds, by = _by_task(run_dir, meta, rows, allow_code) if settings is None else _by_grader(settings, rows)
        checks = [_TRUNCATED if row["finish"] == "length" else check for row, check in zip(rows, checks, strict=True)]
        new = _new_columns(rows, checks, golds)
        report = {"by": by, "version": __version__, "rows": len(rows), **_changes(rows, new)}
        _write(folder, table, new, by, {**meta, "regraded": [*meta.get("regraded", []), report]})
    return report


def run(words: Sequence[str], as_json: bool) -> None:
    """`unified-rl regrade run=DIR [name=test] [policy=math ...]`."""
    settings = dict(word.partition("=")[::2] for word in words)
    run_dir, name = settings.pop("run", ""), settings.pop("name", "")
    if not run_dir:
        raise ConfigError("regrade needs run=DIR, the folder of a run with a stored evaluation")
    allow_code = settings.pop("allow_code", "false").lower() == "true"
    name = name or loading.load_resolved(Path(run_dir) / "config.yaml").evaluation.split
    if Path(name).name != name:
        raise ConfigError(f"name={name} must be a plain folder name")
    report = regrade(Path(run_dir), name, settings or None, allow_code)
    if as_json:
        print(json.dumps(report, indent=1, sort_keys=True))
        return
    before, after = (", ".join(f"{count} {verdict}" for verdict, count in report[side].items()) for side in ("before", "after"))
    print(f"{report['rows']} rows by {report['by']['grader']}: before {before}; after {after}")
    print(
        f"{report['verdicts_changed']} verdicts and {report['classes_changed']} classes changed in {run_dir}/evaluations/{name}"
    )


def _by_task(
    run_dir: Path, meta: dict[str, Any], rows: list[dict], allow_code: bool
) -> tuple[list[AnswerCheck], list[str | None], dict]:
    """Checks by the task that was evaluated; a gold class is known once somebody was right."""
    task, pairs = answered(run_dir, meta, rows, allow_code)
    batched = getattr(task, "check_answers", None)
    checks = batched(pairs) if batched else [task.check_answer(problem, text) for problem, text in pairs]
    return checks, [None] * len(rows), {"grader": f"task {task.name}"}


def answered(run_dir: Path, meta: dict[str, Any], rows: list[dict], allow_code: bool) -> tuple[Task, list[tuple[Problem, str]]]:
    """The task that was evaluated, and its problem and the response of every stored row.

    Raises:
        DataError: the task has other problems by now.
    """
    from unified_rl.stages import stored, world

    config = _evaluated(stored.read_run(run_dir, allow_code), meta, run_dir, allow_code)
    stored.check_code(config.task.name, run_dir, allow_code)
    task = world.make_task(config)
    problems = {
        (split, slice_name, problem.id): problem
        for split, slice_name in sorted({(row["split"], row["slice"]) for row in rows})
        for problem in task.problems(split, meta["problems"][slice_name], slice_name)
    }
    pairs = []
    for row in rows:
        problem = problems.get((row["split"], row["slice"], row["problem_id"]))
        if problem is None or problem.gold != row["gold"]:
            raise DataError(
                f"task {task.name} has no problem {row['problem_id']} with gold answer {row['gold']!r} any more; the evaluation "
                "belongs to other data: evaluate the run again, or regrade with policy=..., which needs the stored answers only"
            )
        pairs.append((problem, row["text"]))
    return task, pairs


def _evaluated(config: Config, meta: dict[str, Any], run_dir: Path, allow_code: bool) -> Config:
    """The run's configuration with the task and data of the evaluation, which may be another benchmark's."""
    if "task_settings" not in meta:
        return config
    try:
        task = TaskConfig(**meta["task_settings"])
    except TypeError as error:
        raise DataError(
            f"{run_dir}: meta.json of that evaluation has other task_settings than this version ({error})"
        ) from error
    if not allow_code:
        task = replace(task, allow_unsandboxed=False)
    return replace(config, task=task, data=replace(config.data, path=str(meta["data"])))


def _by_grader(settings: dict[str, str], rows: list[dict]) -> tuple[list[AnswerCheck], list[str | None], dict]:
    grader, format = make_grader(settings)
    with grader:
        golds = [row["gold"] for row in rows]
        checks = grader.check_answers(golds, [row["text"] for row in rows], format)
        names = grader.classes(golds)
    by = {"grader": "unified_rl.grading", "format": format, "policy": asdict(grader.policy), "limits": asdict(grader.limits)}
    return checks, names, by


def _new_columns(rows: list[dict], checks: list[AnswerCheck], golds: list[str | None]) -> dict[str, list]:
    """The new columns. The gold class of a problem is its right answers' class, and that of no wrong answer."""
    right: dict[tuple, str] = {}
    for row, check in zip(rows, checks, strict=True):
        if check.verdict == "correct" and check.answer_class:
            right.setdefault(_problem(row), check.answer_class)
    return {
        "answer": [check.answer for check in checks],
        "answer_class": [check.answer_class for check in checks],
        "gold_class": [right.get(_problem(row), gold or row["gold"]) for row, gold in zip(rows, golds, strict=True)],
        "verdict": [check.verdict for check in checks],
    }


def _problem(row: dict) -> tuple:
    return row["split"], row["slice"], row["problem_id"], row["mode"]  # as the evaluation groups them


def _changes(rows: list[dict], new: dict[str, list]) -> dict[str, Any]:
    verdicts = [row["verdict"] for row in rows]
    classes = [row["answer_class"] for row in rows]
    return {
        "before": dict(sorted(Counter(verdicts).items())),
        "after": dict(sorted(Counter(new["verdict"]).items())),
        "verdicts_changed": sum(old != now for old, now in zip(verdicts, new["verdict"], strict=True)),
        "classes_changed": sum(old != now for old, now in zip(classes, new["answer_class"], strict=True)),
    }


def _write(folder: Path, table: pa.Table, new: dict[str, list], by: dict, meta: dict[str, Any]) -> None:
    """Replace the columns and the file, in one rename; before it meta.json names both files, after it the new one alone."""
    for name, values in new.items():
        values = [None if value is None else value.encode("utf-8", "replace").decode() for value in values]
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), pa.array(values, pa.string()))
    metadata = {**(table.schema.metadata or {}), METADATA_KEY: json.dumps(by, sort_keys=True).encode()}
    path = folder / reading.SAMPLES
    with files.replacing(path) as aside:
        parquet.write_table(table.replace_schema_metadata(metadata), aside)
        reading.write_evaluation_meta(folder, meta, aside)
    reading.write_evaluation_meta(folder, meta)
