"""From a raw page to its text and language: decoded, its main content taken by resiliparse, bounded in depth and length."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from unified_rl.corpus.reading import RawPage
from unified_rl.corpus.settings import Extraction

_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w-]{2,30})", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)[^<>]{0,2000}?(/?)>")
#: Elements that hold nothing, or that the next of their kind ends.
_FLAT = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
_ENDED = frozenset(
    ["p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "option", "optgroup", "colgroup", "rt", "rp"]
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff]")
_SCRIPTS = (("ja", re.compile("[\u3040-\u30ff]")), ("ko", re.compile("[\uac00-\ud7af]")), ("zh", re.compile("[\u3400-\u9fff]")))
_LANGUAGE_CHARACTERS = 4000


@dataclass(frozen=True)
class Page:
    """A page of the corpus. text: plain, lines are paragraphs. language: ISO 639-1, or "unknown". tokens: of the text."""

    url: str
    text: str
    language: str
    tokens: int
    source: str


def extract(page: RawPage, settings: Extraction, dropped: Counter[str]) -> tuple[str, str] | None:
    """(text, language) of a raw page; None where it is dropped, with the reason counted."""
    text = page.text if page.text is not None else _text_of(page, settings, dropped)
    if text is None:
        return None
    text = tidy(text)
    if len(text) < settings.min_characters:
        dropped["too short"] += 1
        return None
    found = language(text)
    if settings.languages and found not in settings.languages:
        dropped["language"] += 1
        return None
    return text, found


def _text_of(page: RawPage, settings: Extraction, dropped: Counter[str]) -> str | None:
    from resiliparse.extract.html2text import extract_plain_text

    html = decoded(page.html, page.content_type)
    if depth(html) > settings.max_depth:
        dropped["nested too deeply"] += 1
        return None
    try:
        return extract_plain_text(html, main_content=settings.content == "main", alt_texts=False)
    except (ValueError, RuntimeError, OverflowError):  # what the parser's own exceptions inherit from
        dropped["not parsed"] += 1
        return None


def decoded(data: bytes, content_type: str) -> str:
    """A page's bytes as text: by the header's charset where it holds, else as it is detected; what cannot be read is replaced."""
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    named = _CHARSET.search(content_type)
    if named:
        try:
            return data.decode(named[1])
        except (LookupError, ValueError):
            pass  # servers are often wrong
    encoding = detect_encoding(data, html5_compatible=True, from_html_meta=True) or "utf-8"
    return bytes_to_str(data, encoding, errors="replace", strip_bom=True)


def depth(html: str) -> int:
    """How deep elements are nested, from above: its growth is linear, where that of extraction is quadratic in the depth."""
    data = np.frombuffer(html.encode("utf-8", "replace"), dtype=np.uint8)
    at = np.flatnonzero(data[:-1] == ord("<"))
    signs = np.where(data[at + 1] == ord("/"), -1, 1)
    coarse = int(np.cumsum(signs).max(initial=0))
    if coarse <= 200:  # most pages; tags that are never closed count here
        return coarse
    deepest = level = 0
    for close, name, own in _TAG.findall(html):
        if name.lower() in _FLAT or name.lower() in _ENDED or own:
            continue
        level = max(level - 1, 0) if close else level + 1
        deepest = max(deepest, level)
    return deepest


def tidy(text: str) -> str:
    """Lines without trailing spaces or control characters, at most one blank line between."""
    lines = [_CONTROL.sub("", line).rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def language(text: str) -> str:
    """The language of a text: by its script where that decides (resiliparse knows no Chinese), else by resiliparse."""
    from resiliparse.parse.lang import detect_fast

    head = text[:_LANGUAGE_CHARACTERS]
    letters = sum(map(str.isalpha, head)) or 1
    counts = {name: len(script.findall(head)) for name, script in _SCRIPTS}
    if sum(counts.values()) > 0.3 * letters:
        if counts["ja"] > 0.1 * sum(counts.values()):
            return "ja"
        return "ko" if counts["ko"] > counts["zh"] else "zh"
    return str(detect_fast(head)[0])
