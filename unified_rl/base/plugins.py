"""A user's own method, coefficient, reward or task, named by `package.module:NAME` or `folder/file.py:NAME`. No torch."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from unified_rl.base.errors import ConfigError


def import_by_path(path: str, field: str) -> Any:
    """The object that `path` names.

    Args:
        path: `package.module:NAME` or `folder/file.py:NAME`. field: the configuration field that holds it, for the message.

    Raises:
        ConfigError: no such file, module or name, or the module cannot be imported.
    """
    place, _, attribute = path.rpartition(":")
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
