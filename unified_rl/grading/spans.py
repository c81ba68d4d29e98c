"""The whole expression that a number or formula in running text belongs to: 2^10 and not 10, "5 million" and not 5."""

from __future__ import annotations

from collections.abc import Sequence

from unified_rl.grading import vocabulary as words
from unified_rl.grading.scan import Token
from unified_rl.grading.sentences import word_of

_OPERATORS = frozenset("+-−–*/^_=<>≤≥≠≈×·⋅÷±∓√∛π∞°%‰!|(){}[]²³⁰¹⁴⁵⁶⁷⁸⁹⁻₀₁₂₃₄₅₆₇₈₉½⅓¼¾⅔⅕⅛∪∩∈∠'′$€£¥￥~θ")
_RELATIONS = frozenset({"=", "≈", r"\approx"})
_NO_EXPRESSION = frozenset(
    {r"\n", r"\item", r"\begin", r"\end", r"\label", r"\section", "\\\\", r"\boxed", r"\fbox", r"\quad", r"\qquad"}
)
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def around(found: Sequence[Token], pivot: int) -> tuple[int, int]:
    """[first, last) of the expression around a token."""
    first, last = pivot, pivot + 1
    while (step := _step_left(found, first, pivot)) != first:
        first = step
    while (step := _step_right(found, last)) != last:
        last = step
    return _tidied(found, first, last, pivot)


def _belongs(token: Token) -> bool:
    if token.kind in ("number", "formula"):
        return True
    if token.kind == "command":
        return token.text not in _NO_EXPRESSION
    if token.kind == "word":
        word = word_of(token)
        return word in words.CHANGING or word in words.NUMBER_WORDS or word.endswith("n't") or _is_variable(token)
    return token.text in _OPERATORS


def _is_variable(token: Token) -> bool:
    return len(token.text) == 1 and token.text not in ("I", "a")


def _step_left(found: Sequence[Token], first: int, pivot: int) -> int:
    """The new beginning, one piece further left; the same where the expression begins there."""
    place = first - 1
    while place >= 0 and found[place].kind in ("space", "note"):
        place -= 1
    if place < 0:
        return first
    token = found[place]
    if token.text in ",:" and place + 1 < len(found):
        near = place > 0 and _belongs(found[place - 1])
        tight = token.text == "," or found[place + 1].kind == "number"
        return place if near and tight and _is_joined(found, place, first) else first
    if token.kind == "cjk":
        return place if place == first - 1 and token.text in words.CJK_BEFORE else first
    if token.text in ("-", "*", "(") and first - place > 1 and _begins_line(found, place) and token.text != "(":
        return first  # the mark of a list's item
    if token.kind == "word" and found[place + 1].text in "^_" and (token.text == "a" or found[place + 1].text == "^"):
        return place  # cm^2, a_1
    return place if _belongs(token) else first


def _is_joined(found: Sequence[Token], comma: int, first: int) -> bool:
    """Whether what stands behind a comma is a value, not the beginning of a sentence of its own ("then 5")."""
    return word_of(found[first]) not in words.CHANGING or word_of(found[first]) in ("and", "or", "negative", "minus")


def _begins_line(found: Sequence[Token], place: int) -> bool:
    before = [token for token in found[max(0, place - 2) : place] if token.kind != "space"]
    return not before or before[-1].kind == "newline"


def _step_right(found: Sequence[Token], last: int) -> int:
    place = last
    while place < len(found) and found[place].kind in ("space", "note"):
        place += 1
    if place >= len(found):
        return last
    token = found[place]
    behind = place + 1
    while behind < len(found) and found[behind].kind == "space":
        behind += 1
    following = found[behind] if behind < len(found) else None
    if token.text in (",", ":", "."):
        if token.text == "." or following is None or (token.text == ":" and behind != place + 1):
            return last
        return behind + 1 if following.kind in ("number", "formula") or word_of(following) in ("and", "or") else last
    if token.kind == "cjk":
        tail = "".join(one.text for one in found[place : place + 4])
        phrase = next((phrase for phrase in words.CJK_AFTER_PHRASES if tail.startswith(phrase)), "")
        return place + len(phrase) if phrase else place + 1 if token.text in words.CJK_AFTER else last
    if token.kind == "word" and not _belongs(token):
        return place + 1 if _is_unit(found, token, last) else last
    return place + 1 if _belongs(token) else last


def _is_unit(found: Sequence[Token], token: Token, last: int) -> bool:
    if found[last - 1].kind == "word" and word_of(found[last - 1]) not in words.CHANGING:
        return False  # one unit is enough
    word = word_of(token)
    return word in words.UNITS or (len(word) <= 3 and word not in words.FUNCTION_WORDS and word not in ("a", "i"))


def _tidied(found: Sequence[Token], first: int, last: int, pivot: int) -> tuple[int, int]:
    """Without what joins nothing at either end, without brackets that lack their partner, and behind the last equals sign."""
    first, last = _balanced(found, first, last, pivot)
    while first < pivot and _hangs_before(found[first]) and not _opens_a_bound(found, first):
        first += 1
    while last > pivot + 1 and _hangs_behind(found[last - 1]):
        last -= 1
    equals = [place for place in range(first, pivot + 1) if found[place].text in _RELATIONS]
    if equals and not _are_assignments(found, first, equals):
        first = equals[-1] + 1
        while first < pivot and found[first].kind in ("space", "note"):
            first += 1
    return first, last


def _opens_a_bound(found: Sequence[Token], place: int) -> bool:
    """ "at most", "up to", "over": they change the value, although their words also join."""
    following = word_of(found[place + 2]) if place + 2 < len(found) else ""
    return (word_of(found[place]), following) in words.BOUNDS or word_of(found[place]) == "over"


def _hangs_before(token: Token) -> bool:
    return (
        token.kind in ("space", "note")
        or token.text in (",", ":", "=", "≈", "*", "/", "^", "_", ")", "]", "}", "%", "!", "'", "|", "~", ">", "+", "×")
        or word_of(token) in words.JOINING
    )


def _hangs_behind(token: Token) -> bool:
    return (
        token.kind in ("space", "note")
        or token.text in (",", ":", "=", "*", "(", "[", "{", "'", "|", "-", "–", "<", "~", "+", "/")
        or word_of(token) in words.JOINING | {"more"}
    )


def _balanced(found: Sequence[Token], first: int, last: int, pivot: int) -> tuple[int, int]:
    """The part around the pivot in which every bracket has a partner."""
    opened: list[int] = []
    for place in range(first, last):
        text = found[place].text
        if text in _PAIRS:
            opened.append(place)
        elif text in (")", "]", "}"):
            if opened:
                opened.pop()
            elif place < pivot:
                first = place + 1
            else:
                last = place
                break
    left = [place for place in opened if place < pivot]
    right = [place for place in opened if pivot < place < last]
    return (left[-1] + 1 if left else first), (right[0] if right else last)


def _are_assignments(found: Sequence[Token], first: int, equals: list[int]) -> bool:
    """Whether every equals sign follows the name of what it gives a value to: x = 1 or x = 3."""
    for place in equals:
        before = place - 1
        while before >= first and found[before].kind == "space":
            before -= 1
        if before < first or not (found[before].kind == "word" and _is_variable(found[before])):
            return False
        while before > first and found[before - 1].kind == "space":
            before -= 1
        if before > first and not (found[before - 1].text == "," or word_of(found[before - 1]) in ("and", "or")):
            return False
    return True
