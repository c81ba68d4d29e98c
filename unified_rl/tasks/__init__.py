"""Problems with checkable answers. `build_task` makes one by name, or a user's own by dotted path or file."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from difflib import get_close_matches
from pathlib import Path

from unified_rl.errors import ConfigError
from unified_rl.types import Task

TASKS = {"arithmetic": "unified_rl.tasks.arithmetic:Arithmetic", "gsm8k": "unified_rl.tasks.gsm8k:Gsm8k"}

_REQUIRED = ("name", "slices", "problems", "demonstrations", "check_answer", "check_steps")


def build_task(name: str, **options: object) -> Task:
    """The task called `name`, built with `options`.

    Args:
        name: a name in `TASKS`, or `package.module:Class`, or `path/to/file.py:Class` for a task of one's own.
        options: keyword arguments of its constructor.

    Raises:
        ConfigError: unknown name, module, class or option (with the nearest known one), or a class that is not a `Task`.
    """
    if name not in TASKS and ":" not in name:
        raise ConfigError(
            f"task={name!r} is unknown.{_nearest(name, TASKS)} Known tasks: {', '.join(TASKS)}; a task of your own is named "
            "package.module:Class or path/to/file.py:Class"
        )
    factory = _locate(TASKS.get(name, name))
    _check_options(name, factory, options)
    task = factory(**options)
    if missing := [attribute for attribute in _REQUIRED if not hasattr(task, attribute)]:
        raise ConfigError(f"task={name!r} lacks {', '.join(missing)}; see the protocol Task in unified_rl/types.py")
    return task


def _locate(reference: str):
    """The object that `package.module:Name` or `path/to/file.py:Name` names."""
    place, _, attribute = reference.rpartition(":")
    try:
        module = _load_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except ImportError as error:
        raise ConfigError(f"task={reference!r}: cannot import {place!r} ({error})") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise ConfigError(f"task={reference!r}: {place!r} has no {attribute!r}.{_nearest(attribute, vars(module))}") from None


def _load_file(path: Path):
    if not path.is_file():
        raise ConfigError(f"task file {str(path)!r} does not exist (looked from {Path.cwd()})")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _check_options(name: str, factory, options: dict[str, object]) -> None:
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        parameters = inspect.signature(factory).parameters
        unknown = [option for option in options if option not in parameters]
        hint = _nearest(unknown[0], parameters) if unknown else ""
        raise ConfigError(f"task={name!r}: {error}.{hint} Its options: {', '.join(parameters) or 'none'}") from error


def _nearest(word: str, known) -> str:
    close = get_close_matches(word, list(known), 1)
    return f" Did you mean {close[0]!r}?" if close else ""
