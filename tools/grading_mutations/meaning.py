"""What an answer means: a value, a list, a tuple, a region, a relation or a word; and whether two answers certainly differ.

"Differ" is claimed only with a proof (a point at which the values differ, a solution of one equation that does not solve the
other). Answers that cannot be told apart so are not said to be equal.
"""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tools.grading_mutations.expressions import (
    DEGREE,
    FUNCTION,
    UnreadableError,
    evaluate,
    expressions_differ,
    names,
    parse,
    points,
    values_differ,
)

_RELATIONS = {
    r"\le": "<=", r"\leq": "<=", r"\leqslant": "<=", r"\ge": ">=", r"\geq": ">=", r"\geqslant": ">=",
    r"\ne": "!=", r"\neq": "!=", "<": "<", ">": ">", "=": "=", r"\lt": "<", r"\gt": ">",
}  # fmt: skip
_RELATION = re.compile(r"(\\(?:leqslant|leq|le|geqslant|geq|ge|neq|ne|lt|gt)(?![A-Za-z])|[<>=])")
_THOUSANDS = re.compile(r"(?<![\d.])\d{1,3}(?:(?:\{,\}|,\\!) ?\d{3})+(?!\d)")
_THOUSANDS_ALONE = re.compile(r"-?(?:\\\$)?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_UNIT = re.compile(r"(?:\\[ ,;]|\s|~)*\\(?:text|mbox|mathrm|textrm) ?\{([^{}]*)\}(?:\^\{?(\d)\}?)?\s*$")
_WORD = re.compile(r"\\(?:text|textbf|mathrm|mbox)\{([^{}]*)\}|[A-Za-z]{2,}(?:[ -][A-Za-z]+)*")
#: Units that measure different things or differ in size, one group a line; spellings of one unit side by side.
UNITS = (
    "cm|centimeters", "m|meters", "km|kilometers", "mm|millimeters", "inches|inch|in", "feet|ft|foot", "miles|mi",
    "cm 2|square centimeters", "square meters|m 2", "square inches|in 2", "square feet|ft 2",
    "cm 3|cubic centimeters", "m 3|cubic meters", "cubic inches|in 3", "cubic feet|ft 3",
    "seconds|s|sec", "minutes|min", "hours|h|hr", "days|day", "weeks", "years", "kg", "g|grams", "pounds|lb", "ounces|oz",
    "mph|miles per hour", "km/h", "m/s", "cents", "dollars|$", "liters|L", "mL|milliliters", "gallons", "degrees|degree", "radians",
)  # fmt: skip
_SORT = {name: number for number, group in enumerate(UNITS) for name in group.split("|")}
_PROSE = re.compile(  # words, units, and the e of computers are no products
    r"(?<![\\A-Za-z])(?:[A-Z]{2,}|[A-Za-z]{3,}|pi(?![A-Za-z]))|\d[eE][+-]?\d|\d ?(?:[cmk]m|kg|ft|lb|oz|in)(?![A-Za-z])"
)
_BASE = re.compile(r"([0-9A-F]+)_\{?(\d+)\}?")
_INFINITY = re.compile(r"[+-]?\s*\\infty")
_MATRIX = re.compile(r"\\begin\{([pbv]?matrix)\}(.*)\\end\{\1\}", re.S)


@dataclass(frozen=True, slots=True)
class Meaning:
    """One reading of an answer: `form` names it, `parts` are its members, `mark` is compared as text (brackets, unit, signs)."""

    form: str
    parts: tuple[Any, ...]
    mark: str = ""


@lru_cache(maxsize=100_000)
def read(text: str) -> Meaning | None:
    """What `text` means, None where this reader does not know."""
    try:
        return _read(text.strip().removesuffix(".").strip())
    except (UnreadableError, RecursionError):
        return None


def _read(text: str) -> Meaning:
    text = text.replace(r"\left", "").replace(r"\right", "").strip()
    text = _THOUSANDS.sub(lambda match: re.sub(r"\D", "", match[0]), text)
    if _THOUSANDS_ALONE.fullmatch(text):
        text = text.replace(",", "")
    if r"\cap" in text:
        return Meaning("intersection", tuple(_read(part.strip()) for part in text.split(r"\cap")))
    if r"\cup" in text:
        return Meaning("union", tuple(_read(part.strip()) for part in text.split(r"\cup")))
    if match := _MATRIX.fullmatch(text):
        rows = [row.split("&") for row in re.split(r"\\\\", match[2]) if row.strip()]
        return Meaning("tuple", tuple(_value(cell) for row in rows for cell in row), _shape(match[1], rows))
    if len(parts := _split(re.sub(r"\\text\{,? ?(?:and|or) ?\}", ",", text))) > 1:
        return Meaning("list", tuple(_read(part) for part in parts if part.strip()))
    if _RELATION.search(text):
        if _PROSE.search(text):
            raise UnreadableError(text)
        pieces = _RELATION.split(text)
        return Meaning(
            "relation", tuple(parse(side) for side in pieces[::2]), " ".join(_RELATIONS[sign] for sign in pieces[1::2])
        )
    if bracketed := _bracketed(text):
        return bracketed
    if re.fullmatch(r"[\d.]+(?: ?: ?[\d.]+)+", text):
        return Meaning("tuple", tuple(_value(part) for part in text.split(":")), "ratio")
    if match := _BASE.fullmatch(text):
        return Meaning("word", (f"{match[1]} in base {match[2]}",))
    if (match := _WORD.fullmatch(text)) and not re.fullmatch(r"[a-z]{2}|[A-Z]{2,}", text):
        return Meaning("word", (re.sub(r"[^0-9a-z]+", " ", (match[1] or text).lower()).strip(),))
    return _value(text)


def _shape(name: str, rows: list[list[str]]) -> str:
    """Round and square brackets make one matrix, bars a determinant."""
    return f"{name if name == 'vmatrix' else 'matrix'} of {[len(row) for row in rows]}"


def _bracketed(text: str) -> Meaning | None:
    """A point, an interval or a set: brackets around items."""
    opening, closing = text[:1], text[-1:]
    if text.startswith(r"\{") and text.endswith(r"\}"):
        return Meaning("set", tuple(_read(part) for part in _split(text[2:-2]) if part.strip()))
    if opening in ("(", "[") and closing in (")", "]") and len(parts := _split(text[1:-1])) > 1:
        return Meaning("tuple", tuple(_value(part) for part in parts), opening + closing)
    return None


def _value(text: str) -> Meaning:
    """A value with what belongs to it: currency, percent, degrees, a unit."""
    text = text.strip()
    if _INFINITY.fullmatch(text):
        return Meaning("word", ("-infinity" if "-" in text else "infinity",))
    if FUNCTION.search(text):
        text = re.sub(r"\^\{\\circ\}|\^\\circ(?![A-Za-z])", lambda _: DEGREE + " ", text)
    mark, minus = "", text.startswith("-\\$")
    text = text[1:] if minus else text
    for sign, name in ((r"\$", "$"), (r"\%", "%"), (r"^\circ", "degree"), (r"^{\circ}", "degree")):
        if text.startswith(sign) or text.endswith(sign):
            text, mark = text.removeprefix(sign).removesuffix(sign), name
    if match := _UNIT.search(text):
        text, mark = text[: match.start()], f"{match[1].strip()} {match[2] or ''}".strip()
    if _PROSE.search(text):
        raise UnreadableError(text)
    if r"\pm" in text:
        return Meaning("list", tuple(Meaning("value", (parse(text.replace(r"\pm", sign)),)) for sign in "+-"))
    return Meaning("value", (parse("-" * minus + text),), mark)


def _split(text: str) -> list[str]:
    """Parts between commas outside brackets."""
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0 and text[place - 1 : place] != "\\":
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def differ(left: Meaning, right: Meaning) -> bool:
    """Whether two answers certainly mean different things."""
    try:
        return _differ(left, right)
    except UnreadableError:
        return False


def _differ(left: Meaning, right: Meaning) -> bool:
    if left.form != right.form:
        pair = {left.form: left, right.form: right}
        if set(pair) == {"union", "intersection"}:
            return pair["union"].parts == pair["intersection"].parts and _separate(pair["union"])
        return set(pair) == {"list", "value"} and _two_values(pair["list"])
    return _BY_FORM[left.form](left, right)


def _two_values(meaning: Meaning) -> bool:
    """Whether a list holds two values that differ: it is then no single value."""
    return any(differ(one, other) for place, one in enumerate(meaning.parts) for other in meaning.parts[:place])


def _values(left: Meaning, right: Meaning) -> bool:
    """Two known units of different sorts differ, whatever the numbers; with units that may agree nothing is claimed."""
    if left.mark != right.mark:
        return left.mark in _SORT and right.mark in _SORT and _SORT[left.mark] != _SORT[right.mark]
    return expressions_differ(left.parts[0], right.parts[0])


def _words(left: Meaning, right: Meaning) -> bool:
    return left.parts != right.parts


def _tuples(left: Meaning, right: Meaning) -> bool:
    """Entries differ, or a half-open interval stands against other brackets, or a determinant against a matrix."""
    marks = {left.mark, right.mark}
    interval = len(left.parts) == 2 and bool(marks & {"(]", "[)"})
    if len(marks) == 2 and (interval or any(mark.startswith("vmatrix") for mark in marks)):
        return True
    return len(left.parts) != len(right.parts) or any(map(differ, left.parts, right.parts))


def _collections(left: Meaning, right: Meaning) -> bool:
    """Without order, and repeats do not count: one has a member that differs from every member of the other."""
    return any(
        all(differ(member, other) for other in others.parts)
        for members, others in ((left, right), (right, left))
        for member in members.parts
    )


def _unions(left: Meaning, right: Meaning) -> bool:
    """Unions of separate intervals in rising order are written in one way only."""
    return _separate(left) and _separate(right) and _tuples(left, right)


def _separate(union: Meaning) -> bool:
    last, last_bracket = -math.inf, "("
    for number, part in enumerate(union.parts):
        if part.form != "tuple" or len(part.parts) != 2:
            return False
        low, high = _end(part.parts[0]), _end(part.parts[1])
        touching = number > 0 and low == last and (last_bracket, part.mark[0]) != (")", "(")
        if low is None or high is None or low < last or touching or high <= low:
            return False
        last, last_bracket = high, part.mark[1]
    return True


def _end(meaning: Meaning) -> float | None:
    if meaning.form == "word":
        return -math.inf if meaning.parts[0].startswith("-") else math.inf
    if names(meaning.parts[0]):
        return None
    value = complex(evaluate(meaning.parts[0], points()[0]))
    return value.real if abs(value.imag) < 1e-12 else None


def _relations(left: Meaning, right: Meaning) -> bool:
    if left.mark == right.mark == "=":
        return _solution_differs(left, right) or _solution_differs(right, left)
    if left.parts == right.parts and "=" in (left.mark, right.mark):
        return bool(_solution(left))
    return _truth_differs(left, right)


def _gap(relation: Meaning, point: dict[str, float]) -> float:
    """Left side minus right side."""
    first, second = (complex(evaluate(side, point.__getitem__)) for side in relation.parts)
    if abs((first - second).imag) > 1e-12:
        raise UnreadableError("not real")
    return (first - second).real


def _solution(relation: Meaning) -> list[dict[str, float]]:
    """Points on an equation: all letters but one at random, that one by Newton's method."""
    letters = sorted(set().union(*(names(side) for side in relation.parts)))
    found = []
    for trial in range(12 * len(letters)):
        chance = random.Random(trial)
        point = {letter: chance.uniform(-4, 4) for letter in letters}
        try:
            if _newton(relation, point, letters[trial % len(letters)]):
                found.append(point)
        except (UnreadableError, ZeroDivisionError, OverflowError):
            continue
    return found


def _newton(relation: Meaning, point: dict[str, float], letter: str) -> bool:
    for _ in range(60):
        gap = _gap(relation, point)
        slope = (_gap(relation, point | {letter: point[letter] + 1e-6}) - gap) / 1e-6
        if abs(gap) < 1e-10:
            return abs(slope) > 1e-3  # else the point may be far from the solution
        point[letter] -= gap / slope
    return False


def _solution_differs(left: Meaning, right: Meaning) -> bool:
    """Whether some solution of `left` does not solve `right`."""
    extra = set().union(*(names(side) for side in right.parts)) - set().union(*(names(side) for side in left.parts))
    for point in _solution(left):
        try:
            if abs(_gap(right, point | dict.fromkeys(extra, 0.731))) > 1e-4:
                return True
        except UnreadableError:
            continue
    return False


_HOLDS = {
    "<": lambda a, b: a < b - 1e-9,
    "<=": lambda a, b: a <= b + 1e-9,
    ">": lambda a, b: a > b + 1e-9,
    ">=": lambda a, b: a >= b - 1e-9,
    "=": lambda a, b: not values_differ(a, b),
    "!=": values_differ,
}


def _truth(relation: Meaning, point: dict[str, float]) -> bool:
    sides = [complex(evaluate(side, point.__getitem__)).real for side in relation.parts]
    return all(_HOLDS[sign](*sides[place : place + 2]) for place, sign in enumerate(relation.mark.split()))


def _truth_differs(left: Meaning, right: Meaning) -> bool:
    """Whether one holds and the other does not, at a whole or half number or at one of the numbers that they name."""
    letters = sorted(set().union(*(names(side) for side in (*left.parts, *right.parts))))
    sides = [side for side in (*left.parts, *right.parts) if not names(side)]
    constants = [complex(evaluate(side, points()[0])).real for side in sides]
    chance = random.Random(0)
    for trial in range(400):
        grid = [*constants, *(value + shift for value in constants for shift in (-1e-3, 1e-3)), chance.randint(-60, 60) / 2]
        point = {letter: grid[trial % len(grid)] if trial < 2 * len(grid) else chance.choice(grid) for letter in letters}
        try:
            if _truth(left, point) != _truth(right, point):
                return True
        except UnreadableError:
            continue
    return False


_BY_FORM = {
    "value": _values,
    "word": _words,
    "tuple": _tuples,
    "list": _collections,
    "set": _collections,
    "union": _unions,
    "relation": _relations,
}
