"""What `explain` says of the problems that a configuration names: they are looked at where they are here. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unified_rl.base.types import Task
from unified_rl.config.schema import Config
from unified_rl.tasks import PROCEDURAL, build_task, check_slices
from unified_rl.tasks.reading import HUB
from unified_rl.tasks.word_pieces import vocabulary


def described(config: Config) -> dict[str, str]:
    """The task with its options and the slices of its prompts; about `data.path`, the columns that are read and how it is divided.

    Raises:
        ConfigError, DataError: the task is made here, or its data are, and its options, slices or data cannot be used.
    """
    task = _made(config)
    if task is not None:
        check_slices(task, config.data.slices, "data.slices")
    return {"world": _world(config, task), **_data(config, task)}


def prompts(config: Config) -> str:
    """Whose prompts are sampled for, as the table of methods writes it: those of demonstrations, or of other slices."""
    slices = config.data.slices
    task = _made(config) if slices else None
    demonstrated = not slices or (task is not None and slices == [task.slices[0]])
    return "P_sft(Q)" if demonstrated else f"P_{'+'.join(slices)}(Q)"


def known_vocabulary(config: Config) -> int:
    """Tokens that a model from scratch has where the task states its words; 0 where the run is to find out."""
    if config.model.tokenizer or config.task.name not in PROCEDURAL:
        return 0
    task: Any = build_task(config.task.name)
    return len(vocabulary(task.corpus()))


def _made(config: Config) -> Task | None:
    """The task, where that takes no data, or data that are here; None otherwise, and of a user's own code, which is not run."""
    path, task = config.data.path, config.task
    if ":" in task.name or (not path and task.name not in PROCEDURAL) or (path and not Path(path).exists()):
        return None
    return build_task(task.name, **task.options, **({"path": path} if path else {}))


def _world(config: Config, task: Task | None) -> str:
    options = ", ".join(f"{name}={value}" for name, value in config.task.options.items())
    slices = config.data.slices or ([task.slices[0]] if task is not None else [])
    named = f"slice {slices[0]}" if len(slices) == 1 else f"slices {', '.join(slices)}" if slices else "its first slice"
    return f"{config.task.name}, {options or 'options as they are by default'}; prompts of {named}"


def _data(config: Config, task: Task | None) -> dict[str, str]:
    path = config.data.path
    if not path:
        return {}
    if path.startswith(HUB):
        return {"problems": f"{path}, which is fetched by the run and was not looked at"}
    if not Path(path).exists():
        return {"problems": f"{path} is not here, so that nothing of it was looked at"}
    return {"problems": task.in_words() if task is not None and hasattr(task, "in_words") else path}
