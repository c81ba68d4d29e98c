"""Problems with checkable answers. `build_task` makes one by name, or a user's own by dotted path or file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any

from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import import_by_path
from unified_rl.base.types import Task
from unified_rl.tasks.benchmarks import BENCHMARKS

TASKS = {
    "arithmetic": "unified_rl.tasks.arithmetic:Arithmetic",
    "countdown": "unified_rl.tasks.countdown:Countdown",
    "gsm8k": "unified_rl.tasks.gsm8k:Gsm8k",
    "table": "unified_rl.tasks.table:Table",
    "preferences": "unified_rl.tasks.preferences:Preferences",
}
#: Tasks that make their problems, and need no data.
PROCEDURAL = ("arithmetic", "countdown")

_REQUIRED = ("name", "slices", "problems", "demonstrations", "check_answer", "check_steps")


def build_task(name: str, /, **options: object) -> Task:
    """The task called `name`, built with `options`.

    Args:
        name: a name in `TASKS` or `BENCHMARKS`, or `package.module:Class`, or `path/to/file.py:Class` for a task of one's own.
        options: keyword arguments of its constructor.

    Raises:
        ConfigError: unknown name, module, class or option (with the nearest known one), or a class that is not a `Task`.
    """
    known = [*TASKS, *BENCHMARKS]
    if name not in known and ":" not in name:
        raise ConfigError(
            f"task={name!r} is unknown.{_nearest(name, known)} Known tasks: {', '.join(known)}; a task of your own is named "
            "package.module:Class or path/to/file.py:Class"
        )
    factory = _factory(name)
    _check_options(name, factory, options)
    task = factory(**options)
    if missing := [attribute for attribute in _REQUIRED if not hasattr(task, attribute)]:
        raise ConfigError(f"task={name!r} lacks {', '.join(missing)}; see the protocol Task in unified_rl/base/types.py")
    return task


def check_slices(task: Task, slices: Sequence[str], where: str) -> None:
    """Refuse a slice that the task does not have. where: the setting. Raises ConfigError with those that it has."""
    unknown = sorted(set(slices) - set(task.slices))
    if unknown:
        raise ConfigError(
            f"{where} names {unknown[0]!r}, which task {task.name} does not have; choose from: {', '.join(task.slices)}"
        )


def _factory(name: str) -> Callable[..., Task]:
    if name not in BENCHMARKS:
        return import_by_path(TASKS.get(name, name), "task.name")
    from unified_rl.tasks.benchmark_task import BenchmarkTask

    made: Callable[..., Any] = partial(BenchmarkTask, name, BENCHMARKS[name])
    return made


def _check_options(name: str, factory: Callable[..., Task], options: dict[str, object]) -> None:
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        parameters = inspect.signature(factory).parameters
        unknown = [option for option in options if option not in parameters]
        hint = _nearest(unknown[0], parameters) if unknown else ""
        raise ConfigError(f"task={name!r}: {error}.{hint} Its options: {', '.join(parameters) or 'none'}") from error


def _nearest(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, list(known), 1)
    return f" Did you mean {close[0]!r}?" if close else ""
