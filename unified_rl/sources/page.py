"""The tables of docs/sources.md, from the declarations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from unified_rl.sources.declaration import Provides
from unified_rl.sources.registry import SOURCES, WRAPPERS


def sources_table() -> str:
    """Every source: its responses, who wrote them, what it provides and which options it reads."""
    rows = [(f"`{one.name}`", one.what, one.by, _provided(one.provides), _options(one.reads)) for one in SOURCES.values()]
    return _table(("`source=`", "responses", "who wrote them", "provides", "options"), rows)


def wrappers_table() -> str:
    """Every wrapper that a configuration can list."""
    rows = [
        (f"`{one.name}`", one.wants, one.what, _options(tuple(option.name for part in one.options for option in fields(part))))
        for one in WRAPPERS.values()
    ]
    return _table(("`source.wrappers=`", "around a source of", "the responses are then", "options"), rows)


def _provided(provides: Provides) -> str:
    """What can be relied on, in a few words."""
    responses = {"one": "one each", "group": "groups", "pair": "pairs"}[provides.responses]
    probability = "their probability unknown" if provides.unknown_probability else "log-probs" if provides.logp else ""
    return ", ".join(word for word in (responses, "stored" if provides.stored else "fresh", probability) if word)


def _options(names: tuple[str, ...]) -> str:
    return ", ".join(f"`source.{name}`" if place == 0 else f"`{name}`" for place, name in enumerate(names))


def _table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heading, tuple("---" for _ in heading), *rows]
    return "\n".join(
        "|" + "|".join(f" {cell} ".replace(" --- ", "---") if cell else " " for cell in line) + "|" for line in lines
    )
