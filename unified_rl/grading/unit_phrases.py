"""What follows a number as its unit: cm^2, m/s, miles per hour, square feet, apples. Every token has to belong to it."""

from __future__ import annotations

from fractions import Fraction

from unified_rl.grading.tokens import Token, Unread
from unified_rl.grading.trees import Tree, symbols
from unified_rl.grading.units import NONE, Unit, counted, counted_chinese, known_unit
from unified_rl.grading.words import NOT_COUNTED

_POWERS = {"square": 2, "sq": 2, "cubic": 3, "平方": 2, "立方": 3}


def unit_phrase(tree: Tree, tokens: list[Token]) -> Unit:
    """cm, cm^2, m/s^2, miles per hour, square feet, apples. Raises Unread for anything else."""
    if (phrase := known_phrase(tokens)) is not None:
        return phrase
    if (substance := _substance(tokens)) is not None:
        return unit_phrase(tree, tokens[: -1 - len(substance)]).times(
            Unit(Fraction(1), ((f"'of {' '.join(substance)}'", 1),), known=False)
        )
    if len(tokens) == 1 and tokens[0].kind == "cjk" and (unit := counted_chinese(tokens[0].text)) is not None:
        return unit
    words = tuple(token.text for token in tokens if token.text != "-")
    if all(token.kind == "letters" or token.text == "-" for token in tokens):
        if "per" in words:
            place = words.index("per")
            top, bottom = (_named(part) for part in (words[:place], words[place + 1 :]))
            if top and bottom:
                return top.times(bottom, -1)
        elif (unit := counted(words, one=tree[0] == "num" and abs(tree[1]) <= 1)) is not None and not symbols(tree):
            return unit
    raise Unread


def _substance(tokens: list[Token]) -> tuple[str, ...] | None:
    """The words behind "of": pounds of sugar, boxes of red crayons. They say what it is, and nothing about the number."""
    place = next((place for place, token in enumerate(tokens) if token.text == "of"), 0)
    words = tuple(token.text.lower() for token in tokens[place + 1 :])
    plain = 0 < len(words) <= 3 and all(word.isalpha() and len(word) > 2 and word not in NOT_COUNTED for word in words)
    return words if place and plain else None


def rate(unit: Unit, tokens: list[Token]) -> tuple[Unit, list[Token]]:
    """An amount of money per something: the unit with it, and the tokens before."""
    place = next((place for place, token in enumerate(tokens) if token.text in ("per", "/") and place), None)
    below = known_phrase(tokens[place + 1 :]) if place and place + 1 < len(tokens) else None
    return (unit.times(below, -1), tokens[:place]) if below is not None else (unit, tokens)


def _named(words: tuple[str, ...]) -> Unit | None:
    known = known_unit(words[0]) if len(words) == 1 else None
    return known or counted(words, one=True)


def known_phrase(tokens: list[Token]) -> Unit | None:
    unit, place, sign = NONE, 0, 1
    while place < len(tokens):
        word = tokens[place].text
        if place and word in ("/", "per", "每"):
            sign, place = -1, place + 1
            continue
        if place and word in (r"\cdot", "*", r"\times", "-"):
            place += 1
            continue
        power = 1
        if word.lower() in _POWERS and place + 1 < len(tokens):
            power, place = _POWERS[word.lower()], place + 1
        elif word[:2] in _POWERS and len(word) > 2:
            power, word = _POWERS[word[:2]], word[2:]
            tokens = [*tokens[:place], tokens[place]._replace(text=word), *tokens[place + 1 :]]
        part = (
            known_unit(tokens[place].text)
            if tokens[place].kind in ("letters", "cjk") or tokens[place].text in ("¢", "€")
            else None
        )
        if part is None:
            return None
        place, exponent = _exponent(tokens, place + 1)
        unit = unit.times(part, sign * power * exponent)
    return unit


def _exponent(tokens: list[Token], place: int) -> tuple[int, int]:
    """(next place, exponent) of ^2, ^{-1}, squared."""
    texts = [token.text for token in tokens[place : place + 5]]
    if texts[:1] in (["squared"], ["cubed"]):
        return place + 1, 2 if texts[0] == "squared" else 3
    if texts[:1] != ["^"]:
        return place, 1
    braced = texts[1:2] == ["{"]
    minus = texts[1 + braced : 2 + braced] == ["-"]
    end = 1 + braced + minus
    if end >= len(texts) or not texts[end].isdigit() or len(texts[end]) > 1 or (braced and texts[end + 1 : end + 2] != ["}"]):
        raise Unread
    return place + end + 1 + braced, -int(texts[end]) if minus else int(texts[end])
