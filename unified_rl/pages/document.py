"""A page as one file: its parts with our style and script inside, and a policy under which nothing else is executed or fetched.

The policy (`Content-Security-Policy`) names the hashes of our two scripts and our style sheets: a script that a run smuggled in
would not be executed, whatever it is written as. Pictures may come from beside the page, or stand in it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path

STATIC = Path(__file__).parent / "static"


def document(title: str, parts: Iterable[str], data: Iterable[str]) -> str:
    """The HTML of a page.

    Args:
        title: plain text. parts: HTML, in which everything of a user or a run is escaped. data: elements of `data_element`.
    """
    styles, scripts = _styles(), _scripts()
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_policy(styles, scripts)}">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        + "".join(f"<style>{text}</style>" for text in styles)
    )
    code = "".join(f"<script>{text}</script>\n" for text in scripts)
    body = "\n".join([*parts, *data])
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n{code}</body></html>\n'


def data_element(text: str, *, id: str = "", kind: str = "") -> str:
    """JSON that is already safe to stand in a page (`samples.embedded`), where the script finds it by its id or kind."""
    names = (f' id="{id}"' if id else "") + (f' class="{kind}"' if kind else "")
    return f'<script type="application/json"{names}>{text}</script>'


@cache
def _styles() -> tuple[str, ...]:
    return _asset("uPlot.min.css"), _asset("page.css")


@cache
def _scripts() -> tuple[str, ...]:
    """uPlot with the licence that has to go along with it, and our own."""
    return f"/*! uPlot\n{_asset('uPlot.LICENSE')}*/\n{_asset('uPlot.iife.min.js')}", _asset("page.js")


def _asset(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _policy(styles: Iterable[str], scripts: Iterable[str]) -> str:
    return (
        f"default-src 'none'; img-src 'self' data: file:; style-src {_hashes(styles)}; script-src {_hashes(scripts)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hashes(texts: Iterable[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
