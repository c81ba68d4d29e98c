"""A user's own method, coefficient, reward or task, named by `package.module:NAME` or `folder/file.py:NAME`. No torch."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from unified_rl.base.errors import ConfigError

#: Objects given in Python, by the name that stands for them in a configuration.
_GIVEN: dict[str, Any] = {}
IN_MEMORY = "in_memory_"


def named(given: Any) -> str:
    """The name by which a configuration holds a function or class of this process: `FILE.py:NAME` where it is a file's.

    `import_by_path` gives the same object back, so that a script which is being run is not imported a second time. What was typed
    at a prompt or in a notebook is named by its source, and another process has to be given it again.
    """
    name, file = str(getattr(given, "__qualname__", "")), _file_of(given)
    if file is None or not name.isidentifier():
        source = hashlib.sha256(_source_of(given)).hexdigest()[:12]
        file, name = f"{IN_MEMORY}{source}", name.rpartition(".")[2] if name.rpartition(".")[2].isidentifier() else "function"
    _GIVEN[f"{file}:{name}"] = given
    return f"{file}:{name}"


def _file_of(given: Any) -> str | None:
    try:
        file = inspect.getsourcefile(given)
    except TypeError:  # an instance, or a builtin
        return None
    return file if file and file.endswith(".py") and Path(file).is_file() else None


def _source_of(given: Any) -> bytes:
    try:
        return inspect.getsource(given).encode()
    except (OSError, TypeError):
        code = getattr(given, "__code__", None)
        return repr((code.co_code, code.co_names, code.co_consts)).encode() if code else repr(type(given)).encode()


def import_by_path(path: str, field: str) -> Any:
    """The object that `path` names.

    Args:
        path: `package.module:NAME` or `folder/file.py:NAME`. field: the configuration field that holds it, for the message.

    Raises:
        ConfigError: no such file, module or name, or the module cannot be imported.
    """
    if path in _GIVEN:
        return _GIVEN[path]
    place, _, attribute = path.rpartition(":")
    if place.startswith(IN_MEMORY):
        raise ConfigError(f"{field}={path} was given in Python by another process; give it again, or put it into a file")
    try:
        module = _import_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except FileNotFoundError as error:
        raise ConfigError(f"{field}={path}: the file {place} does not exist") from error
    except (ImportError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{field}={path}: cannot import {place} ({error})") from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        public = [name for name in vars(module) if not name.startswith("_")]
        raise ConfigError(f"{field}={path}: {place} has no {attribute!r}{did_you_mean(attribute, public)}") from error


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all of them."""
    choices = list(known)
    near = difflib.get_close_matches(word, choices, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(choices)}"


def _import_file(path: Path) -> ModuleType:
    """Import a file under a name of its own, once per process."""
    if not path.is_file():
        raise FileNotFoundError(path)
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"unified_rl_user_{path.stem}_{digest}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
