"""Pieces of Markdown that the page of results is made of."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

WIDTH = 128


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def wrapped(text: str, indent: str = "") -> str:
    """A paragraph in lines of the repository's width. indent: of every line but the first."""
    return textwrap.fill(text, width=WIDTH, break_on_hyphens=False, break_long_words=False, subsequent_indent=indent)


def link_to(path: Path, base: Path) -> str:
    """The address of a file from a page in the folder `base`."""
    return Path(os.path.relpath(path.resolve(), base.resolve())).as_posix()


def picture(path: Path, title: str, base: Path) -> str:
    """A shipped figure with a link to its caption."""
    at, caption = link_to(path, base), path.with_suffix(".md")
    return f"![{title}]({at})" + (f"\n\n*[Caption]({link_to(caption, base)}).*" if caption.exists() else "")
