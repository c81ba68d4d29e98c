r"""One number or expression with its unit, percent sign, degrees or base, from tokens. Every token has to belong to one of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from unified_rl.grading.expression import Parser
from unified_rl.grading.functions import FUNCTIONS
from unified_rl.grading.nodes import Scalar
from unified_rl.grading.tokens import Token, Unread
from unified_rl.grading.trees import DEGREE, MINUS_ONE, Tree, negative, symbols
from unified_rl.grading.unit_phrases import rate, unit_phrase
from unified_rl.grading.units import NONE, UNITS, Unit, counted_chinese, known_unit
from unified_rl.grading.words import (
    CHINESE_DIGITS,
    CHINESE_MAGNITUDES,
    FRACTIONS,
    MAGNITUDES,
    MAX_CHINESE,
    OPERATORS,
    SIGNS,
    chinese_number,
    number_in_words,
)

MAX_MAGNITUDES = 8  # million, dozen, squared ..., one behind the other
MAX_BASED = 400  # digits of a number in a base
_CURRENCY = {
    r"\$": "dollar",
    "€": "euro",
    "£": "£",
    "¥": "yuan",
    "¢": "cent",
    "USD": "dollar",
    "EUR": "euro",
    "GBP": "£",
    "CNY": "yuan",
}
_BESIDE_NUMBERS = """
cm mm km kg ml mL ft lb lbs yd hr hrs min mins sec mph kph dm oz kW kJ Hz kHz MHz GHz Pa kPa MPa eV keV MeV GeV mol
rad
"""
_BESIDE = frozenset(_BESIDE_NUMBERS.split())
_TEMPERATURES = {"C": "degC", "F": "degF", "celsius": "degC", "fahrenheit": "degF", "centigrade": "degC"}
_BASES = {
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "twelve": 12,
    "sixteen": 16,
}
_ORDINALS = {"th": "4567890", "st": "1", "nd": "2", "rd": "3"}


def read_scalar(tokens: list[Token]) -> Scalar:
    """Raises Unread."""
    if not tokens:
        raise Unread
    if (based := _based(tokens)) is not None:
        return based
    if (spelled := _spelled(tokens)) is not None:
        return spelled
    scalar = _written(tokens, _is_unit)
    if any(len(token.text) == 1 and token.kind == "letters" and token.text in UNITS for token in tokens[1:]):
        try:
            quantity = _written(tokens, _may_be_unit)
        except Unread:
            return scalar
        if quantity.unit.dimensions and not symbols(quantity.tree):
            if len(quantity.unit.dimensions) > 1 and _has_spaced_unit(tokens):
                return quantity  # 5 m/s
            return Scalar(**{**vars(scalar), "as_quantity": quantity})
    return scalar


def _has_spaced_unit(tokens: list[Token]) -> bool:
    place = next(place for place, token in enumerate(tokens) if token.text in UNITS and token.kind == "letters")
    return tokens[place].spaced


def _is_unit(token: Token) -> bool:
    """Whether letters after a number are surely its unit: set upright, or a longer abbreviation."""
    if token.upright:
        return known_unit(token.text) is not None and token.text != "e"
    return (
        len(token.text) > 1
        and token.text not in FUNCTIONS
        and ((token.spaced and (known_unit(token.text) is not None or token.text == "sq")) or token.text in _BESIDE)
    )


def _may_be_unit(token: Token) -> bool:
    return known_unit(token.text) is not None


# --- numbers with a base, numbers in words


def _based(tokens: list[Token]) -> Scalar | None:
    """1011_2, B7_{12}, 1011 (base 2), 1011 in base two; None without a base."""
    place = next((place for place, token in enumerate(tokens) if token.text in ("_", "base")), None)
    if place is None or place == 0:
        return None
    rest = [token.text for token in tokens[place + 1 :] if token.text not in ("{", "}")]
    head = tokens[:place]
    if tokens[place].text == "base":
        if rest[-1:] == [")"] and head[-1].text == "(":
            rest, head = rest[:-1], head[:-1]
        elif head[-1].text == "in":
            head = head[:-1]
    if len(rest) != 1 or not head:
        return None
    base = int(rest[0]) if rest[0].isdigit() and len(rest[0]) <= 2 else _BASES.get(rest[0].lower(), 0)
    minus = head[0].text == "-"
    if head[0].text == "(" and head[-1].text == ")":
        head = head[1:-1]
    if not head:
        return None
    digits = "".join(token.text for token in head[minus:]).upper()
    if not 2 <= base <= 36 or not _are_digits(digits, base) or any(token.spaced for token in head[minus + 1 :]):
        return None
    digits = digits.lstrip("0") or "0"
    sign = -1 if minus else 1
    whole, _, places = digits.partition(".")
    value = Fraction(int(whole + places or "0", base), base ** len(places))
    return Scalar(("num", sign * value, None), base=base, digits=("-" if minus else "") + digits)


def _are_digits(text: str, base: int) -> bool:
    """Whether a text is a number in a base: at least one figure from 0 to 9 tells it from a word."""
    plain = text.replace(".", "", 1)
    if not (plain.isascii() and plain.isalnum()) or len(plain) > MAX_BASED or not any(letter.isdigit() for letter in plain):
        return False
    return all(int(letter, 36) < base for letter in plain)


def _spelled(tokens: list[Token]) -> Scalar | None:
    """A number in words, with a unit or without: twenty-one, negative four, three quarters, 二十五 ."""
    if tokens[0].kind == "cjk":
        return _spelled_chinese(tokens)
    if tokens[0].kind != "letters" or (len(tokens[0].text) < 3 and tokens[0].text != "a"):
        return None
    sign, start = SIGNS.get(tokens[0].text.lower(), 0), 0
    if sign:
        start = 1
    words: list[str] = []
    end = start
    while end < len(tokens) and (
        tokens[end].kind == "letters" or (tokens[end].text == "-" and words and not tokens[end].spaced)
    ):
        if tokens[end].kind == "letters":
            words.append(tokens[end].text.lower())
        end += 1
    for size in range(len(words), 0, -1):
        value = number_in_words(words[:size])
        if value is not None:
            rest = tokens[_place_after(tokens, start, size) :]
            return _with_suffix(("num", (sign or 1) * value, None), rest)
    return None


def _place_after(tokens: list[Token], start: int, words: int) -> int:
    while words:
        words -= tokens[start].kind == "letters"
        start += 1
    return start


def _spelled_chinese(tokens: list[Token]) -> Scalar | None:
    text = tokens[0].text
    minus = text.startswith("负")
    text = text[minus:]
    if not text:  # 负 before digits
        scalar = _written(tokens[1:], _is_unit)
        return Scalar(**{**vars(scalar), "tree": negative(scalar.tree)})
    if text == "根号" and not minus and len(tokens) > 1:
        scalar = read_scalar(tokens[1:])
        if scalar.unit.dimensions or scalar.percent or scalar.degree or scalar.base:
            raise Unread
        return Scalar(("pow", scalar.tree, ("num", Fraction(1, 2), None)))
    if text == "百分之" and len(tokens) == 2 and tokens[1].kind == "number":
        return _percent(Scalar(Parser(tokens[1:]).sum()))
    if text.startswith("百分之") and len(tokens) == 1 and (value := chinese_number(text[3:])) is not None:
        return _percent(Scalar(("num", -value if minus else value, None)))
    for size in range(min(len(text), MAX_CHINESE), 0, -1):
        if not all(letter in CHINESE_DIGITS or letter in "分之又" for letter in text[:size]):
            continue
        value = chinese_number(text[:size])
        if value is not None:
            rest = [tokens[0]._replace(text=text[size:]), *tokens[1:]] if size < len(text) else tokens[1:]
            return _with_suffix(("num", -value if minus else value, None), rest)
    return None


def _percent(scalar: Scalar) -> Scalar:
    return Scalar(**{**vars(scalar), "percent": True})


# --- numbers and expressions in signs


def _written(tokens: list[Token], is_unit: Callable[[Token], bool]) -> Scalar:
    if len(tokens) > 1 and tokens[-1].text == "min" and tokens[-2].kind == "number":
        tokens = [*tokens[:-1], tokens[-1]._replace(upright=True)]  # minutes, not a minimum
    unit, tokens = _money(tokens)
    if unit.dimensions:
        unit, tokens = rate(unit, tokens)
    bracketed = _bracketed_unit(tokens)
    if bracketed is not None:
        unit, tokens = bracketed
    tokens = _chinese_fraction(_spaced_groups(tokens))
    parser = Parser(tokens, is_unit)
    tree = parser.sum()
    rest = parser.tokens[parser.place :]
    scalar = _with_suffix(tree, rest, unit)
    numbers = [token.text for token in tokens if "," in token.text and token.kind == "number"]
    return Scalar(**{**vars(scalar), "groups": tuple(tokens[0].text.split(","))}) if numbers and len(tokens) == 1 else scalar


def _money(tokens: list[Token]) -> tuple[Unit, list[Token]]:
    for place in (0, 1):
        if len(tokens) > place + 1 and tokens[place].text in _CURRENCY and (place == 0 or tokens[0].text in ("-", "+")):
            return UNITS[_CURRENCY[tokens[place].text]], tokens[:place] + tokens[place + 1 :]
    return NONE, tokens


def _bracketed_unit(tokens: list[Token]) -> tuple[Unit, list[Token]] | None:
    """12(cm), 18(元)."""
    if len(tokens) < 4 or tokens[-1].text != ")" or tokens[-3].text != "(" or tokens[-2].kind not in ("letters", "cjk"):
        return None
    unit = known_unit(tokens[-2].text) or (counted_chinese(tokens[-2].text) if tokens[-2].kind == "cjk" else None)
    number = tokens[-4].kind == "number" or tokens[-4].text in ("}", ")")
    return (unit, tokens[:-3]) if unit and number and len(tokens[-2].text) + (tokens[-2].kind == "cjk") > 1 else None


def _spaced_groups(tokens: list[Token]) -> list[Token]:
    """1 234 567: at least two groups of three digits after spaces are one number."""
    if len(tokens) < 3 or any(token.kind != "number" for token in tokens[:3]):
        return tokens
    end = 1
    while (
        end < len(tokens)
        and tokens[end].kind == "number"
        and tokens[end].spaced
        and re.fullmatch(r"[0-9]{3}", tokens[end].text)
    ):
        end += 1
    if (
        end < 3
        or len(tokens[0].text) > 3
        or not tokens[0].text.isdigit()
        or (end < len(tokens) and tokens[end].kind == "number")
    ):
        return tokens
    return [Token("number", "".join(token.text for token in tokens[:end]), tokens[0].spaced), *tokens[end:]]


def _chinese_fraction(tokens: list[Token]) -> list[Token]:
    """5分之3 with digits."""
    if len(tokens) >= 3 and tokens[0].kind == tokens[2].kind == "number" and tokens[1].text == "分之":
        return [tokens[2], Token("sign", "/"), tokens[0], *tokens[3:]]
    return tokens


# --- what follows the number


def _with_suffix(tree: Tree, rest: list[Token], unit: Unit = NONE) -> Scalar:
    tree, degree = _without_degree(tree)
    rest = [
        token for place, token in enumerate(rest) if not (token.text == "." and place and rest[place - 1].kind == "letters")
    ]
    if rest:
        tree, rest = _magnitude(tree, rest)
    percent = False
    if rest and OPERATORS.get(rest[0].text.lower(), rest[0].text) == "%":
        percent, rest = True, rest[1:]
    if rest and OPERATORS.get(rest[0].text.lower(), rest[0].text) == r"\circ" and not degree:
        degree, rest = True, rest[1:]
    if degree and len(rest) == 1 and (name := _TEMPERATURES.get(rest[0].text) or _TEMPERATURES.get(rest[0].text.lower())):
        degree, rest, unit = False, [], UNITS[name]
    if rest and not percent:
        named = unit_phrase(tree, rest)
        if unit.dimensions and unit.dimensions != named.dimensions and named.known:
            raise Unread  # $5 km
        unit = named if not unit.dimensions else unit
        rest = []
    if rest or (percent and (unit.dimensions or degree)):
        raise Unread
    return Scalar(tree, unit, percent, degree)


def _without_degree(tree: Tree) -> tuple[Tree, bool]:
    if tree[0] == "mul" and len(tree) == 3:
        if tree[2] == DEGREE:
            return tree[1], True
        if tree[1] == MINUS_ONE and tree[2][0] == "mul" and tree[2][-1] == DEGREE:
            return negative(tree[2][1]), True
    return tree, False


def _magnitude(tree: Tree, rest: list[Token]) -> tuple[Tree, list[Token]]:
    """3 million, 5 dozen, 3 quarters, 4千: the number it is; also 4的平方, 4th, 5 squared (which the expression reads)."""
    changed = False
    for _ in range(MAX_MAGNITUDES):
        if not rest:
            return tree, rest
        token, word = rest[0], rest[0].text.lower()
        if token.kind == "cjk":
            size = max((size for size in (1, 2) if token.text[:size] in CHINESE_MAGNITUDES), default=0)
            if token.text.startswith(("的平方", "的立方")):
                power = 2 if token.text[1] == "平" else 3
                tree, used = ("pow", tree, ("num", Fraction(power), None)), 3
            elif size and known_unit(token.text) is None and token.text[:2] not in UNITS:
                tree, used = _scaled(tree, Fraction(CHINESE_MAGNITUDES[token.text[:size]])), size
            else:
                return tree, rest
            rest = [token._replace(text=token.text[used:]), *rest[1:]] if len(token.text) > used else rest[1:]
        elif token.kind == "letters" and (word in MAGNITUDES or word.removesuffix("s") in ("million", "billion", "trillion")):
            tree, rest = _scaled(tree, Fraction(MAGNITUDES.get(word) or MAGNITUDES[word.removesuffix("s")])), rest[1:]
        elif token.kind == "letters" and word in FRACTIONS and not changed:
            tree, rest = _scaled(tree, Fraction(1, FRACTIONS[word])), rest[1:]
        elif token.kind == "letters" and word in _ORDINALS and tree[0] == "num" and _ordinal(tree[1], word):
            rest = rest[1:]
        else:
            return tree, rest
        changed = True
    raise Unread


def _ordinal(number: Fraction, word: str) -> bool:
    if number.denominator != 1 or number < 0:
        return False
    teen = number % 100 in (11, 12, 13)
    return word == "th" if teen else str(number)[-1] in _ORDINALS[word]


def _scaled(tree: Tree, factor: Fraction) -> Tree:
    if symbols(tree):
        raise Unread
    return ("num", tree[1] * factor, None) if tree[0] == "num" else ("mul", tree, ("num", factor, None))
