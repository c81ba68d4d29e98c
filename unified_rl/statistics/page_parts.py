"""Pieces of HTML that pages are made of. Everything that a user or a run wrote is escaped; links are relative to the page."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from html import escape
from itertools import count
from pathlib import Path
from urllib.parse import quote

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: .2rem; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ccc; } h3 { margin-bottom: .3rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .2rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; }
th { vertical-align: bottom; } th.number, td.number { text-align: right; }
.wide td:first-child, td.number { white-space: nowrap; } .interval { color: #777; }
.above { color: #00558a; font-weight: 600; } .below { color: #a30; font-weight: 600; }
.error { color: #a30; white-space: pre-wrap; overflow-wrap: anywhere; }
.bad td:nth-child(4) { color: #a30; font-weight: 600; } .note { color: #666; } .prose { max-width: 52rem; }
figure { margin: 2rem 0; } img { max-width: 100%; } figcaption { font-size: 13px; max-width: 52rem; }
"""


def as_table(header: Iterable[str], lines: Iterable[str], numbers: Container[int] = ()) -> str:
    """A table that scrolls sideways. header: words, escaped here; lines: rows as HTML; numbers: places of columns of numbers."""
    looks = (' class="number"' if place in numbers else "" for place in count())
    head = "".join(f"<th{look}>{escape(word)}</th>" for word, look in zip(header, looks, strict=False))
    return '<div class="wide"><table>\n<tr>' + head + "</tr>\n" + "\n".join(lines) + "\n</table></div>"


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
