"""A task of lm-evaluation-harness as files: its YAML, its documents, its worked examples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unified_rl.base import files

PREFIX = "unified_rl_"


@dataclass(frozen=True)
class HarnessTask:
    """One task, or a group of them.

    facts: of its YAML, beside what its files say; a text of `raw` is YAML already. docs, shots: documents and worked examples; None
    where it reads none of ours. functions: filters in graded.py -> the expression that makes them.
    """

    name: str
    facts: Mapping[str, Any]
    docs: Sequence[Mapping[str, Any]] | None = None
    shots: Sequence[Mapping[str, Any]] = ()
    functions: Mapping[str, str] = field(default_factory=dict)
    part_of_group: bool = False


class Raw(str):
    """YAML as it stands."""


def raw(text: str) -> Raw:
    """A value that is YAML already."""
    return Raw(text)


def write_task(out: Path, task: HarnessTask) -> None:
    """Write a task below `out`."""
    data = out / "data"
    data.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = dict(task.facts)
    if task.docs is not None:
        split_files = {"test": _lines(data / f"{task.name}.jsonl", task.docs)}
        shared: dict[str, Any] = {"task": task.name, "dataset_path": "json", "test_split": "test"}
        if task.shots:
            split_files["shots"] = _lines(data / f"{task.name}_shots.jsonl", task.shots)
            shared |= {"fewshot_split": "shots", "fewshot_config": {"sampler": "first_n"}}
        facts = {**shared, "dataset_kwargs": {"data_files": split_files}, **facts}
    lines = [f"{key}: {value if isinstance(value, Raw) else _json(value)}" for key, value in facts.items()]
    files.write_text(out / f"{task.name}.yaml", "\n".join([*lines, ""]))


def _lines(path: Path, records: Sequence[Mapping[str, Any]]) -> str:
    files.write_text(path, "".join(f"{_json(record)}\n" for record in records))
    return str(path.resolve())


def _json(value: Any) -> str:
    """JSON, which is YAML too."""
    return json.dumps(value, ensure_ascii=False)
