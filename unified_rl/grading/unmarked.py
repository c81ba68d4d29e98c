"""The answer of a response that marks none: the letter that it begins with, else its last expression, else its last lone letter."""

from __future__ import annotations

import re
from collections.abc import Sequence

from unified_rl.grading import spans
from unified_rl.grading import vocabulary as words
from unified_rl.grading.marks import Void
from unified_rl.grading.scan import CJK_RANGE, Token, tokens, without_emphasis
from unified_rl.grading.sentences import CORRECTION, is_doubted, is_rejected, sentence_end, word_of

TAIL = 2_000  # characters from the end in which the last expression is looked for

_STARTS_LETTER = re.compile(rf"\**\(?([A-H])\)?\**(?:[.:：,，。、)]|(?=[{CJK_RANGE}])|$)")
_STOPS = ("", ".", "!", "?", ":", ";", ",", "。", "，", "—", "–", "-")
_LONE_LETTER = re.compile(r"(?<![A-Za-z0-9$\\_^{])\(?([B-H]|A(?! [a-z]))\)?(?![A-Za-z0-9'’$_^])")
_NAME = re.compile(r"\\?[A-Za-z]{1,5}(?:_\{?[A-Za-z0-9]{1,3}\}?)?(?:\([A-Za-z]\))?")


def unmarked(text: str, void: Sequence[Void] = ()) -> str | None:
    """The answer of a text without marks. `void`: announcements of what they call wrong, left out."""
    for one in void:
        text = f"{text[: one.start]}{' ' * (one.end - one.start)}{text[one.end :]}"
    text = text.strip()
    if match := _STARTS_LETTER.match(text):
        return _kept_letter(text, match)
    sentences = _sentences(tokens(without_emphasis(text[-TAIL:])))
    if len(sentences) == 1 and (only := _formulas_only(sentences[0])):
        return only
    stated = [found for found in sentences if not is_rejected(found)]
    for found in reversed(stated):
        if said := last_expression(found):
            return said
    return None if void else _chosen(stated)


def _chosen(sentences: Sequence[Sequence[Token]]) -> str | None:
    """The last lone option letter, if its clause names one only and does not rule it out."""
    for found in reversed(sentences):
        for clause in reversed(_clauses(found)):
            letters = _LONE_LETTER.findall("".join(token.text for token in clause))
            if not letters:
                continue
            said = {word_of(token) for token in clause}
            ruled_out = said & (words.NOT_CHOOSING | words.DOUBTING | words.SUPPOSING | words.NEGATIONS)
            denied = ruled_out or any(token.text in "不非" for token in clause if token.kind == "cjk")
            return letters[0] if len(letters) == 1 and not denied and not _left_out(clause, letters[0]) else None
    return None


def _left_out(clause: Sequence[Token], letter: str) -> bool:
    """ "Everything but B": whether the letter is what the others are named without."""
    visible = [token for token in clause if token.kind not in ("space", "newline") and token.text not in "*("]
    place = next(place for place, token in enumerate(visible) if token.text == letter)
    return "but" in (word_of(token) for token in visible[max(0, place - 2) : place])


def _clauses(found: Sequence[Token]) -> list[list[Token]]:
    clauses: list[list[Token]] = [[]]
    for token in found:
        if token.text in ",;，；":
            clauses.append([])
        else:
            clauses[-1].append(token)
    return clauses


def _sentences(found: list[Token]) -> list[list[Token]]:
    sentences, place = [], 0
    while place < len(found):
        stop = sentence_end(found, place)
        is_question = stop < len(found) and found[stop].text in "?？"
        if not is_question and any(token.kind not in ("space", "newline") for token in found[place:stop]):
            sentences.append(found[place:stop])
        place = stop + 1
    return sentences


def _formulas_only(found: Sequence[Token]) -> str | None:
    """The formulas of a response that says nothing else, with what stands between them."""
    visible = [token for token in found if token.kind not in ("space", "newline")]
    formulas = [token for token in visible if token.kind == "formula"]
    others = [token for token in visible if token.kind != "formula"]
    if not formulas or any(token.text not in ",;，和或" and word_of(token) not in ("and", "or") for token in others):
        return None
    return "".join(token.text for token in found[found.index(visible[0]) :]).strip()


def last_expression(found: Sequence[Token]) -> str | None:
    """The whole expression around a sentence's last number or formula."""
    pivots = [place for place, token in enumerate(found) if _is_value(token)]
    if not pivots:
        return None
    first, last = spans.around(found, pivots[-1])
    before = [word_of(token) for token in found[:first] if token.kind not in ("space", "newline")]
    if before[-1:] == ["no"]:
        return None  # "there are no 42"
    if is_doubted(found[:first]) or any(_is_noun(found, place) for place in range(first)):
        return None  # "the answer differs from 42" is no announcement
    said = "".join(token.text for token in found[first:last] if token.kind != "note")
    return said.strip() or None


def _is_noun(found: Sequence[Token], place: int) -> bool:
    behind = word_of(found[place + 2]) if place + 2 < len(found) else ""
    return word_of(found[place]) in ("answer", "answers") and behind != "of"


def _is_value(token: Token) -> bool:
    if token.kind == "formula":
        inner = token.text.strip("$")
        inner = inner[2:-2] if inner[:2] in (r"\(", r"\[") else inner
        return not _NAME.fullmatch(inner.strip())
    if token.kind == "command":
        return token.text in (r"\frac", r"\dfrac", r"\pi", r"\sqrt", r"\infty")
    return token.kind == "number" or token.text in "π½¼¾⅓⅔"


def _kept_letter(text: str, match: re.Match[str]) -> str | None:
    """The letter that a text begins with, or the one that replaces it: "B. No wait: C." """
    return replacing_letter(text, match.end()) or match[1]


def replacing_letter(text: str, start: int) -> str | None:
    """The letter in what begins with "no, wait" or the like behind a place; None without one."""
    corrections = [
        match
        for match in CORRECTION.finditer(text, start)
        if text[max(start, match.start() - 3) : match.start()].rstrip()[-1:] in _STOPS
    ]
    return _letter_in(text[corrections[-1].end() :]) if corrections else None


def _letter_in(text: str) -> str | None:
    return _chosen([found for found in _sentences(tokens(without_emphasis(text[-TAIL:]))) if not is_rejected(found)])


def lone_letter(text: str) -> str | None:
    """The option letter that a text begins with, else the last lone one in it."""
    text = text.strip()
    if match := _STARTS_LETTER.match(text):
        return _kept_letter(text, match)
    return _letter_in(text)
