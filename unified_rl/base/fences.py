"""Fenced blocks of Markdown, found line by line: linear in the text, whatever it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

FENCE = "```"
_BLANK = " \t"


class Fence(NamedTuple):
    """A line that is a fence and nothing else: [start, end) without its line break, and the language it names ("" for none)."""

    start: int
    end: int
    language: str


class Span(NamedTuple):
    start: int
    end: int


def fences(text: str) -> list[Fence]:
    """All fences, in order."""
    found = []
    for start, end in _lines(text, 0):
        line = text[start:end].strip(_BLANK)
        language = line[len(FENCE) :].strip(_BLANK)
        if line.startswith(FENCE) and (not language or language.replace("_", "a").isalnum()):
            found.append(Fence(start, end, language))
    return found


def closed_block(text: str, language: str) -> Span | None:
    """What stands in the first block of a language, which may open within a line; None where that block is not closed.

    Any line that begins with a fence closes it.
    """
    start = _opening(text, FENCE + language)
    if start is None:
        return None
    closing = next(
        (line.start for line in _lines(text, start) if text[line.start : line.end].lstrip(_BLANK).startswith(FENCE)), None
    )
    return None if closing is None else Span(start, closing)


def _opening(text: str, mark: str) -> int | None:
    """Behind the line break of the first mark that ends its line."""
    place = text.find(mark)
    while place >= 0:
        stop = text.find("\n", place)
        if stop < 0:
            return None
        last = text.rfind(mark, place, stop)  # only the last one of a line can end it
        if not text[last + len(mark) : stop].strip(_BLANK):
            return stop + 1
        place = text.find(mark, stop)
    return None


def whole_blocks(text: str, language: str) -> list[Span]:
    """The closed blocks of a language: from the line break before the opening fence to that behind the closing one."""
    found: list[Span] = []
    opened = -1
    for start, end in _lines(text, 0):
        line = text[start:end].strip(_BLANK)
        if opened < 0 and line == FENCE + language:
            opened = start
        elif opened >= 0 and line == FENCE:
            first = opened - 1 if opened > 0 and (not found or found[-1].end < opened) else opened
            found.append(Span(first, min(end + 1, len(text))))
            opened = -1
    return found


def _lines(text: str, start: int) -> Iterator[Span]:
    """[start, end) of the lines from a place on, line breaks left out."""
    while start <= len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield Span(start, end)
        start = end + 1
