"""Reading text piece by piece, in one pass: tokens, formulas and braces. Whatever the text, the time is linear in its length."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, get_args

MAX_FORMULA = 2_000  # characters between two delimiters: what is further apart belongs together by accident

Kind = Literal["space", "newline", "number", "word", "command", "note", "cjk", "sign", "formula"]
_KINDS: dict[str | None, Kind] = {kind: kind for kind in get_args(Kind)}

CJK_RANGE = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_LETTER = "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03bf\u03c1-\u03ff\u0400-\u052f"  # all but pi

# No piece of this pattern is followed by anything that could fail, so nothing is ever read twice.
_TOKEN = re.compile(
    r"(?P<space>[^\S\n]+)|(?P<newline>\n)|(?P<number>[0-9]+(?:[.,][0-9]+)*|\.[0-9]+)"
    rf"|(?P<word>[{_LETTER}]+(?:['’][{_LETTER}]+)*)|(?P<command>\\(?:[A-Za-z]+|[^A-Za-z]|$))"
    rf"|(?P<note><<[^<>\n]*>>)|(?P<cjk>[{CJK_RANGE}])|(?P<sign>[\s\S])"
)
_DELIMITER = re.compile(r"\\[\s\S]|\$")
_BRACE = re.compile(r"\\[\\{}]|[{}]")
_PROSE_PIECE = re.compile(r"\\(?:text|mbox|mathrm|textbf|begin|end|operatorname)\{[^{}]*\}|\\[A-Za-z]+|[A-Za-z\u00c0-\u00ff]+")
_CLOSER = {r"\(": r"\)", r"\[": r"\]"}


class Token(NamedTuple):
    """A piece of text. `text` is as written; of a formula, its delimiters included."""

    kind: Kind
    start: int
    end: int
    text: str


class Formula(NamedTuple):
    """What stands between two delimiters: `start`, `end` with them."""

    start: int
    end: int


def tokens(text: str, start: int = 0, end: int | None = None) -> list[Token]:
    """The tokens of `text[start:end]`. A formula between dollar signs or LaTeX brackets is one token."""
    end = len(text) if end is None else min(end, len(text))
    found: list[Token] = []
    place = start
    for formula in formulas(text, start, end):
        found += _plain_tokens(text, place, formula.start)
        found.append(Token("formula", formula.start, formula.end, text[formula.start : formula.end]))
        place = formula.end
    return found + _plain_tokens(text, place, end)


def _plain_tokens(text: str, start: int, end: int) -> list[Token]:
    return [Token(_KINDS[match.lastgroup], match.start(), match.end(), match[0]) for match in _TOKEN.finditer(text, start, end)]


def formulas(text: str, start: int = 0, end: int | None = None) -> list[Formula]:
    """Formulas from left to right, none in another; a sentence between two prices is not one."""
    end = len(text) if end is None else min(end, len(text))
    marks = [(match.start(), match[0]) for match in _DELIMITER.finditer(text, start, end)]
    marks = [mark for mark in marks if mark[1] == "$" or mark[1] in _CLOSER or mark[1] in _CLOSER.values()]
    following = _following(marks)
    found: list[Formula] = []
    index = 0
    while index < len(marks):
        step = _formula(text, marks, index, following)
        if step is None:
            index += 1
        else:
            found.append(step[0])
            index = step[1]
    return found


def _following(marks: list[tuple[int, str]]) -> list[int]:
    """For every delimiter, the index of the next one of its own family (dollar sign, round, square)."""
    following, last = [len(marks)] * len(marks), dict.fromkeys("$([", len(marks))
    for index in range(len(marks) - 1, -1, -1):
        family = {"$": "$", r"\(": "(", r"\)": "("}.get(marks[index][1], "[")
        following[index] = last[family]
        last[family] = index
    return following


def _formula(text: str, marks: list[tuple[int, str]], index: int, following: list[int]) -> tuple[Formula, int] | None:
    """The formula that opens at a delimiter, and the index of the delimiter behind it."""
    place, mark = marks[index]
    close = following[index]
    if close == len(marks):
        return None
    if mark in _CLOSER:
        if marks[close][1] != _CLOSER[mark]:
            return None
        return _checked(text, place, marks[close][0] + 2, 2, close + 1)
    if mark != "$":
        return None
    if marks[close][0] == place + 1:  # a display formula, or an empty one
        inner_end = following[close]
        twice = inner_end + 1 < len(marks) and marks[inner_end + 1] == (marks[inner_end][0] + 1, "$")
        return _checked(text, place, marks[inner_end][0] + 2, 2, inner_end + 2) if twice else None
    end = marks[close][0]
    if text[end - 1].isspace() and text[end + 1 : end + 2].isdigit():
        return None  # the next dollar sign belongs to a price
    return _checked(text, place, end + 1, 1, close + 1)


def _checked(text: str, start: int, end: int, width: int, behind: int) -> tuple[Formula, int] | None:
    inner = text[start + width : end - width]
    if not inner.strip() or len(inner) > MAX_FORMULA or is_prose(inner):
        return None
    return Formula(start, end), behind


def is_prose(content: str) -> bool:
    """Whether what stands between two dollar signs is a sentence between two prices."""
    words = 0
    for match in _PROSE_PIECE.finditer(content):
        is_function = content[match.end() : match.end() + 1] in ("(", "_")
        words += match[0][0] != "\\" and len(match[0]) >= 3 and not is_function
    return words >= 2


def closing_braces(text: str) -> dict[int, int]:
    """Opening brace -> its closing brace, in one pass; escaped braces are not braces."""
    pairs, open_braces = {}, []
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            open_braces.append(match.start())
        elif match[0] == "}" and open_braces:
            pairs[open_braces.pop()] = match.start()
    return pairs


def without_emphasis(text: str) -> str:
    """Without the asterisks around **bold** words; those of a power or product stay."""
    pieces, place, opened = [], 0, -1
    for match in re.finditer(r"\*\*", text):
        before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        if opened < 0 and (not before or not (before.isalnum() and before.isascii())) and after and not after.isspace():
            opened = match.start()
        elif opened >= 0 and before and not before.isspace():
            pieces += [text[place:opened], text[opened + 2 : match.start()]]
            place, opened = match.end(), -1
    return "".join([*pieces, text[place:]])
