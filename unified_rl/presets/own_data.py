"""What one's own file says of settings that nobody gave: which task reads it, and where pairs come from. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unified_rl.base.errors import UnifiedRLError
from unified_rl.sources.declaration import COMPARED
from unified_rl.sources.registry import SOURCES
from unified_rl.tasks.reading import FORMATS, read_records
from unified_rl.tasks.usual_columns import holds_pairs

#: The task that reads preference files, and the settings with which pairs from a file are trained on.
PREFERENCES = "preferences"
_OF_PAIRS = {"rollout": {"responses_per_prompt": 2}, "logging": {"curve_problems": 0}}


def task_of(path: str, stacks: Mapping[str, str]) -> dict[str, Any]:
    """The task for a file in a configuration that names none.

    Args:
        path: `data.path`. stacks: kind of file -> task, of a stack whose own task reads no data.
    """
    if not path or not stacks:
        return {}
    return {"task": {"name": stacks["pairs" if _holds_pairs(Path(path)) else "questions"]}}


def source_of(task: str, source: str) -> dict[str, Any]:
    """The source, in place of a row's own pairs, where the task has written ones."""
    row = SOURCES.get(source)
    if task != PREFERENCES or row is None or row.provides.responses != "pair":
        return {}
    return {"source": {"name": next(name for name, one in SOURCES.items() if COMPARED in one.needs)}, **_OF_PAIRS}


def _holds_pairs(path: Path) -> bool:
    """Whether the first record says so. What cannot be read here is refused where it is read."""
    inside = sorted(file for file in path.glob("*") if file.suffix in FORMATS) if path.is_dir() else [path]
    try:
        _, record = next(read_records(inside[0]))
    except (IndexError, StopIteration, OSError, UnifiedRLError):
        return False
    return holds_pairs(record)
