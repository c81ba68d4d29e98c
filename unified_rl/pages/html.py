"""Pieces of HTML that pages are made of. Everything that a user or a run wrote is escaped; links are relative to the page."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from html import escape
from itertools import count
from pathlib import Path
from urllib.parse import quote


def as_table(header: Iterable[str], lines: Iterable[str], numbers: Container[int] = (), *, sortable: bool = False) -> str:
    """A table that scrolls.

    Args:
        header: words, escaped here. lines: rows as HTML. numbers: places of columns of numbers. sortable: by its headings.
    """
    looks = (' class="number"' if place in numbers else "" for place in count())
    head = "".join(f"<th{look}>{escape(word)}</th>" for word, look in zip(header, looks, strict=False))
    kind = ' class="sortable"' if sortable else ""
    rows = "\n".join(lines)
    return f'<div class="wide"><table{kind}>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'


def number_cell(words: str, value: float | None) -> str:
    """A cell that is sorted by its value, not by its words."""
    return f'<td class="number" data-v="{"" if value is None else value}">{escape(words)}</td>'


def link(path: Path, out: Path, words: str) -> str:
    """A link from the page `out` to a file or folder."""
    return f'<a href="{address(path, out)}">{escape(words)}</a>'


def address(path: Path, out: Path) -> str:
    """A path as the page `out` names it."""
    relative = os.path.relpath(path.resolve(), out.resolve().parent)
    # "./" keeps a name with a colon from being read as a scheme.
    return "./" + quote(Path(relative).as_posix())


def paragraphs(text: str) -> str:
    """Plain text, blank lines between paragraphs, as HTML."""
    blocks = [" ".join(block.split()) for block in text.split("\n\n")]
    return "".join(f'<p class="prose">{escape(block)}</p>' for block in blocks if block)
