"""Stored samples with the exact checker's word on their steps, as `statistics.traces` reads them: what CoT-Pass@K is made of.

A sample counts for CoT-Pass@K where its answer is right and every step is right: a right answer by wrong reasoning does not. Only
tasks with an exact step checker (the tiny world) can say so; a response without steps, or cut off at the limit of tokens, is not
sound.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.records import reading
from unified_rl.stages.regrade import answered
from unified_rl.stages.soundness import sound

_READ = ["problem_id", "slice", "split", "mode", "text", "gold", "finish", "answer_class", "verdict"]


def step_traces(run_dir: Path, name: str, allow_code: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Slice -> a record per sample of an evaluation: problem, answer (its class), correct, steps (whether all are right).

    Args:
        allow_code: see `stages.stored`.

    Raises:
        ConfigError: the task has no exact step checker. DataError: no such evaluation, or one without samples.
    """
    folder = run_dir / files.EVALUATIONS / name
    if not folder.is_dir():
        raise DataError(f"{folder} is no evaluation; make one with `unified-rl evaluate {shlex.quote(f'run={run_dir}')}`")
    meta = reading.read_evaluation_meta(folder)
    rows = [row for row in reading.read_samples(folder, meta).select(_READ).to_pylist() if row["mode"] == "sample"]
    if not rows:
        raise DataError(f"{folder} has greedy answers only; evaluate with samples=64")
    task, pairs = answered(run_dir, meta, rows, allow_code)
    found: dict[str, list[dict[str, Any]]] = {}
    for row, (problem, text) in zip(rows, pairs, strict=True):
        steps = row["finish"] != "length" and sound(task, problem, text)
        facts = {"answer": row["answer_class"], "correct": row["verdict"] == "correct", "steps": steps}
        found.setdefault(str(row["slice"]), []).append({"problem": problem.id, **facts})
    return found


def write(records: list[dict[str, Any]], path: Path) -> None:
    """Write samples as JSON lines. Raises ConfigError where the file exists."""
    if path.exists():
        raise ConfigError(f"{path} exists; choose another out=DIR")
    with files.disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
