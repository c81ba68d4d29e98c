"""Where an answer that stands in a sentence ends: with the sentence, or where the sentence goes on to explain it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from unified_rl.grading import vocabulary as words
from unified_rl.grading.scan import Token, tokens

#: What follows replaces an answer that was given in words.
CORRECTION = re.compile(r"\b(?:correction|actually|oops|sorry|i mean|no,? wait)\b|其实|更正", re.IGNORECASE)
WINDOWS = (400, 3_000)  # characters that are looked at; the second where the first does not hold the sentence


class Sentence(NamedTuple):
    """`kept`: the tokens of the answer. `tail`: those of its explanation. `end`: of the whole. `closed_by`: what ends it."""

    kept: list[Token]
    tail: list[Token]
    end: int
    closed_by: str


def sentence_after(text: str, start: int) -> Sentence:
    """What stands between `start` and the end of its sentence, without what only announces or explains it."""
    for window in WINDOWS:
        found = tokens(text, start, start + window)
        first = announced(found)
        last = sentence_end(found, first)
        if last < len(found) or start + window >= len(text):
            break
    body = found[first:last]
    cut = explanation(body)
    closed_by = found[last].text if last < len(found) else ""
    end = found[last].start if last < len(found) else found[-1].end if found else start
    return Sentence(_trimmed(body[:cut]), body[cut:], end, closed_by)


def word_of(token: Token) -> str:
    """A word in lower case, its apostrophes straight; "" for other tokens."""
    return token.text.lower().replace("’", "'") if token.kind == "word" else ""


def announced(found: Sequence[Token]) -> int:
    """The place of the first token that is part of the answer."""
    place = 0
    while place < len(found):
        token, word = found[place], word_of(found[place])
        if (
            token.kind in ("space", "newline")
            or token.text in "*:：=\"“”'‘’_≈,"
            or token.text in (r"\"", r"\approx")
            or (token.kind == "cjk" and token.text in "为是约")
        ):
            place += 1
        elif (word, _next_word(found, place)) in words.FILLER_PAIRS:
            place += 3
        elif word in words.FILLERS:
            place += 1
        else:
            break
    return min(place, len(found))


def _next_word(found: Sequence[Token], place: int) -> str:
    """The word behind the space behind a token."""
    return word_of(found[place + 2]) if place + 2 < len(found) and found[place + 1].kind == "space" else ""


def sentence_end(found: Sequence[Token], first: int = 0) -> int:
    """The index of the token that ends the sentence; `len(found)` where none does."""
    for place in range(first, len(found)):
        token = found[place]
        if token.kind == "newline" or token.text in "。！？?；" or (token.text == "." and _is_full_stop(found, place)):
            return place
        if token.text == "!" and (_capital_behind(found, place) or _exclaims(found, place, first)):
            return place if _exclaims(found, place, first) or (place and found[place - 1].kind == "word") else place + 1
        if token.kind == "formula" and token.text[:2] in ("$$", r"\[") and _capital_behind(found, place):
            return place + 1
        if token.text == ";" and len(_word_behind(found, place)) >= 2:
            return place
        following = found[place + 1].text if place + 1 < len(found) else ""
        if token.text == "<" and following in ("|", "/"):
            return place
        if token.text == "I" and _next_word(found, place) == "hope":
            return place
    return len(found)


def _exclaims(found: Sequence[Token], place: int, first: int) -> bool:
    """Whether "!" at the end of a line ends a sentence in words, and is no factorial: behind a plain number, with no operation."""
    behind = [token for token in found[place + 1 : place + 3] if token.kind != "space"]
    before = [token for token in found[max(first, place - 3) : place] if token.kind != "space"]
    if (behind and behind[0].kind != "newline") or not before or before[-1].kind != "number":
        return False
    in_words = any(token.kind in ("word", "cjk") for token in found[max(0, place - 5) : place - 1]) or first > 0
    return in_words and (len(before) < 2 or before[-2].kind in ("word", "cjk", "newline") or before[-2].text in ":：,")


def _word_behind(found: Sequence[Token], place: int) -> str:
    behind = next((token for token in found[place + 1 : place + 5] if token.kind not in ("space", "newline")), None)
    return word_of(behind) if behind else ""


def _capital_behind(found: Sequence[Token], place: int) -> bool:
    """Whether the next token is a word that could begin a sentence."""
    behind = next((token for token in found[place + 1 : place + 5] if token.kind not in ("space", "newline")), None)
    return behind is not None and behind.kind == "word" and len(behind.text) > 1 and behind.text[0].isupper()


def _is_full_stop(found: Sequence[Token], place: int) -> bool:
    """Whether a full stop ends its sentence; it may belong to an abbreviation ("3 p.m. sharp", "approx. 5") or an ellipsis."""
    if place + 1 >= len(found):
        return True
    following = found[place + 1]
    if following.text == "." or (place and found[place - 1].text == "." and following.kind == "sign"):
        return False
    if following.kind == "word":
        return following.text[0].isupper() and place > 0 and found[place - 1].kind in ("number", "formula")
    if following.kind != "space":
        return True
    before = found[place - 1] if place else None
    behind = found[place + 2] if place + 2 < len(found) else None
    if before is None or behind is None:
        return True
    dotted = place >= 2 and found[place - 2].text == "." and len(before.text) == 1
    abbreviated = dotted or word_of(before) in words.ABBREVIATIONS
    return not abbreviated or (behind.kind == "word" and behind.text[0].isupper()) or (dotted and behind.kind != "word")


def explanation(body: Sequence[Token]) -> int:
    """The index at which an answer's explanation begins: ", since ...", " because ...", " (see ...)", " - a prime"."""
    for place in range(1, len(body)):
        token = body[place]
        if token.text in (",", "，", "(", "（") and _explains_behind(body, place):
            return place
        if token.text == ":" and body[place - 1].kind != "space" and len(_next_word(body, place)) > 1:
            return place
        if _names_a_source(body, place):
            return place
        contrasts = word_of(token) == "and" and _word_behind(body, place) == "not"
        explains = (contrasts or word_of(token) in words.EXPLAINING) and body[place - 1].kind in ("space", "formula")
        if explains and (word_of(token) != "as" or _word_behind(body, place) not in ("", "a", "an")):
            return place
        if token.text in ("–", "—", "-") and _sets_off(body, place):
            return place
    return len(body)


def _names_a_source(body: Sequence[Token], place: int) -> bool:
    """Whether "by symmetry", "from the table", "after simplification", "rather than 43" begins at a word."""
    if word_of(body[place]) not in words.SOURCES or body[place - 1].kind != "space" or place < 2:
        return False
    following = _next_word(body, place)
    operates = word_of(body[place - 2]) in words.OPERATED
    return len(following) > 2 and not operates and (following == "than" or following not in words.CHANGING | words.NUMBER_WORDS)


def _explains_behind(body: Sequence[Token], place: int) -> bool:
    word = _word_behind(body, place)
    if body[place].text == "，" and place + 1 < len(body) and body[place + 1].kind == "cjk":
        return body[place + 1].text not in "或和且与及负"
    if body[place].text in "(（":
        described = word in ("a", "an") and len(_next_word(body, place + 1)) > 1
        return described or word in words.EXPLAINING_IN_BRACKETS
    return word in words.EXPLAINING_AFTER_COMMA


def _sets_off(body: Sequence[Token], place: int) -> bool:
    """Whether a dash with spaces around it sets words off, rather than subtracts."""
    spaced = body[place - 1].kind == "space" and place + 1 < len(body) and body[place + 1].kind == "space"
    doubled = place + 1 < len(body) and body[place + 1].text == body[place].text == "-"
    if not spaced and not doubled:
        return False
    behind = [token for token in body[place + 1 : place + 12] if token.kind not in ("space", "newline") and token.text != "-"][
        :5
    ]
    if not behind or behind[0].kind != "word" or word_of(behind[0]) in words.CHANGING | words.CONDITIONS | words.NUMBER_WORDS:
        return False
    return any(len(token.text) >= 3 and word_of(token) not in words.CHANGING for token in behind if token.kind == "word")


def _trimmed(body: list[Token]) -> list[Token]:
    """Without what adds nothing at the end: spaces, commas, "in total"."""
    while body:
        last = word_of(body[-1])
        if body[-1].kind in ("space", "newline", "note") or body[-1].text in (",", "，", ":", "✓", "✔", "☑", "∎", "■", "□"):
            body = body[:-1]
        elif last in words.ADDING_NOTHING and len(body) > 2:
            body = body[:-1]
            while body and (body[-1].kind == "space" or word_of(body[-1]) == "in"):
                body = body[:-1]
        else:
            break
    return body


def is_doubted(before: Sequence[Token]) -> bool:
    """Whether the clause at the end of these tokens denies, doubts or supposes what comes next: "nobody believes that ..."."""
    behind_comma = False
    for place in range(len(before) - 1, -1, -1):
        token, word = before[place], word_of(before[place])
        ends = token.text in ".?!:;。？！；：" or (token.kind == "formula" and token.text.rstrip("$)]\\ ")[-1:] in (".", ";"))
        if ends or token.kind == "newline" or word in words.CONCLUDING:
            return False
        if (word, _next_word(before, place)) in words.HARMLESS_DENIALS or (
            word == "doubt" and _word_before(before, place) == "no"
        ):
            return False
        if word in words.SUPPOSING or (not behind_comma and (word in words.DOUBTING or word.endswith("n't"))):
            return True
        behind_comma |= token.text in ",，"
    return False


def _word_before(found: Sequence[Token], place: int) -> str:
    return word_of(found[place - 2]) if place >= 2 else ""


def is_rejected(found: Sequence[Token]) -> bool:
    """Whether words take an answer back: "which is wrong", "is not the correct answer"."""
    said = [word_of(token) for token in found if token.kind == "word"]
    if any(word in words.REJECTING for word in said):
        return True
    denied = [place for place, word in enumerate(said) if word in words.NEGATIONS or word.endswith("n't")]
    chinese = "".join(token.text for token in found if token.kind == "cjk")
    if any(denial in chinese for denial in ("不是", "不可能", "错", "不对")):
        return True
    accepting = {"correct", "right", "answer", "solution", "true", "valid", "accurate"}
    return any(word in accepting for place in denied[:1] for word in said[place + 1 : place + 5])
