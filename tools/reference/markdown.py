"""Pieces of Markdown that pages of the reference are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from unified_rl.cli.schema import Setting

NOTE = "Written by `python -m tools.map` from the code; a test compares."


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells may hold bars and line breaks."""
    lines = [list(heading), ["---"] * len(heading), *([cell(text) for text in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(text: str) -> str:
    """A text as a cell of a table. A bar in code is a bar for Markdown too, unless it is escaped."""
    return " ".join(text.replace("|", "\\|").split()) or " "


def settings_table(found: Iterable[Setting], also: dict[str, str] | None = None) -> str:
    """A row per setting: type, range, default, what it is. also: name -> what stands beside its default."""
    return table(
        ("setting", "type, what is allowed", "default", "what it is"),
        [
            (f"`{one.name}`", "; ".join(filter(None, (one.kind, one.allowed))), _default(one, also or {}), prose(one.text))
            for one in found
        ],
    )


def prose(text: str) -> str:
    """A docstring's text as Markdown: what looks like HTML or markup to a reader of Markdown is shown as it stands."""
    return text.replace("<", "&lt;").replace("*", "\\*").replace("[", "\\[")


def _default(one: Setting, also: dict[str, str]) -> str:
    default = "must be given" if one.default is None else "none" if one.default == "-" else f"`{one.default}`"
    return f"{default}{also.get(one.name, '')}"
