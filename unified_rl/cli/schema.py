"""What can be set, read off the dataclasses that hold it: names, types, defaults, what their docstrings say, what they allow.

A docstring describes fields as `name: text` or `name, other: text`; the range checks of `__post_init__` say what is allowed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from unified_rl.base.errors import ConfigError
from unified_rl.config import ranges

KINDS = {bool: "true|false", int: "whole number", float: "number", str: "text", Path: "path"}


@dataclass(frozen=True)
class Setting:
    """One thing that can be set.

    name: as on the command line, dotted. kind: its type in words. default: as it would be written, None where it must be given.
    text: what it is. allowed: its range or its choices, "" where anything of the type goes.
    """

    name: str
    kind: str
    default: str | None
    text: str
    allowed: str


def settings(options: type[Any], prefix: str = "") -> list[Setting]:
    """The settings of a dataclass, without those of the sections in it. prefix: of the names, e.g. "trainer."."""
    hints, texts, allowed = types_of(options), descriptions(options), allowed_values(options)
    return [
        Setting(
            f"{prefix}{item.name.removesuffix('_')}",
            kind_of(hints[item.name]),
            default_of(item),
            texts.get(item.name, ""),
            allowed.get(f"{prefix}{item.name}", _choices(hints[item.name])),
        )
        for item in fields(options)
        if not is_dataclass(hints[item.name]) and hints[item.name] is not Any
    ]


def sections(options: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    """(name, dataclass) of the sections of a configuration."""
    hints = types_of(options)
    for item in fields(options):
        if isinstance(hints[item.name], type) and is_dataclass(hints[item.name]):
            yield item.name, hints[item.name]


def types_of(options: type[Any]) -> Mapping[str, Any]:
    """Field -> its type; of `X | None` it is X."""
    found = {name: hint for name, hint in get_type_hints(options).items()}
    return {name: _not_none(hint) for name, hint in found.items()}


def kind_of(hint: Any) -> str:
    """A type in words."""
    if get_origin(hint) in (list, tuple):
        (item, *_) = get_args(hint)
        return f"list of {KINDS.get(item, 'records')}"
    return KINDS.get(hint, "mapping" if get_origin(hint) is dict else "text")


def default_of(item: Field[Any]) -> str | None:
    """A field's default as a word would give it; None where it has none."""
    value = item.default if item.default is not MISSING else MISSING
    if value is MISSING:
        if item.default_factory is MISSING:
            return None
        value = item.default_factory()
    return written(value)


def written(value: Any) -> str:
    """A value as a word of the command line would give it; "-" for None and for what is empty."""
    if value is None or value in ("", [], {}, ()):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def descriptions(options: type[Any]) -> dict[str, str]:
    """Field -> what the docstrings of the class and of those it inherits from say of it.

    A field that is described twice has the later text, which is the closer one.
    """
    found: dict[str, str] = {}
    for owner in reversed(options.__mro__):
        if is_dataclass(owner) and not (owner.__doc__ or "").startswith(f"{owner.__name__}("):  # that one nobody wrote
            found |= _described(owner.__doc__ or "", [item.name for item in fields(options)])
    return found


def _described(docstring: str, names: list[str]) -> dict[str, str]:
    name = "|".join(map(re.escape, names))
    pattern = re.compile(rf"(?:(?<=^)|(?<=\s))`?((?:{name})(?:, (?:{name}))*)`?( \([^()]*\))?: ")
    text = " ".join(docstring.split())
    matches = list(pattern.finditer(text))
    found: dict[str, str] = {}
    for match, after in zip(matches, [*matches[1:], None], strict=False):
        said = text[match.end() : after.start() if after else len(text)].strip().rstrip(".")
        if match[2]:
            said = f"{match[2].strip()} {said}"
        found |= dict.fromkeys(match[1].split(", "), said)
    return found


def allowed_values(options: type[Any]) -> dict[str, str]:
    """Full name -> what its range check allows, as the checks of an instance with defaults say it."""
    hints = types_of(options)
    needed = [item for item in fields(options) if item.default is MISSING and item.default_factory is MISSING]
    with ranges.noted() as notes, contextlib.suppress(ConfigError):  # a value that is not there may be out of range
        options(**{item.name: (get_origin(hints[item.name]) or hints[item.name])() for item in needed})
    return notes


def _choices(hint: Any) -> str:
    return " | ".join(map(str, get_args(hint))) if get_origin(hint) is Literal else ""


def _not_none(hint: Any) -> Any:
    if get_origin(hint) not in (Union, UnionType):
        return hint
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return kinds[0] if len(kinds) == 1 else str
