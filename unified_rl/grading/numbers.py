"""Plain numbers, read in linear time in the grader's own process: most answers never need more."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

MAX_DIGITS = 60
MAX_EXPONENT = 300

_NUMBER = re.compile(
    r"(?P<sign>[+-]?)\s{0,2}(?:"
    r"(?P<top>[0-9]{1,60})\s{0,2}/\s{0,2}(?P<bottom>-?[0-9]{1,60})"
    r"|\\frac\{(?P<ftop>-?[0-9]{1,60})\}\{(?P<fbottom>-?[0-9]{1,60})\}"
    r"|(?P<whole>[0-9]{1,3}(?:,[0-9]{3}){1,19}|[0-9]{0,60})(?P<point>\.[0-9]{0,60})?"
    r"(?:[eE](?P<exponent>[+-]?[0-9]{1,3}))?)"
)


class Number(NamedTuple):
    """A rational number as it was written. `digits`: significant digits of a decimal (with a point), else None."""

    value: Fraction
    digits: int | None
    places: int


def read_number(text: str) -> Number | None:
    """An integer, decimal, `a/b` or `\\frac{a}{b}`, thousands commas allowed; None for anything else."""
    if len(text) > 2 * MAX_DIGITS + 20:
        return None
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    sign = -1 if match["sign"] == "-" else 1
    top, bottom = match["top"] or match["ftop"], match["bottom"] or match["fbottom"]
    if top:
        if int(bottom) == 0:
            return None
        return Number(sign * Fraction(int(top), int(bottom)), None, 0)
    whole, point = (match["whole"] or "").replace(",", ""), match["point"] or ""
    if not (whole or len(point) > 1):
        return None
    exponent = int(match["exponent"] or 0)
    if abs(exponent) > MAX_EXPONENT:
        return None
    value = Fraction(f"{whole or '0'}{point if len(point) > 1 else ''}") * Fraction(10) ** exponent
    if len(point) < 2:
        return Number(sign * value, None, 0)
    return Number(sign * value, len((whole + point[1:]).lstrip("0")), len(point) - 1 - exponent)


def rounds_to(exact: Fraction, literal: Number) -> bool:
    """Whether a decimal literal is an exact real value rounded, or cut off, at the literal's last place."""
    scale = Fraction(10) ** literal.places
    target = literal.value * scale
    scaled = abs(Fraction(exact)) * scale
    if (exact < 0) != (literal.value < 0):
        return False
    whole = scaled.numerator // scaled.denominator
    return abs(target) in (whole, (2 * scaled + 1).__floor__() // 2)
