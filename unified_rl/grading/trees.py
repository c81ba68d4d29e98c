"""Trees of expressions: nested tuples, the operation first; how they are built and what is in them."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from unified_rl.grading.numbers import MAX_EXPONENT, Number
from unified_rl.grading.tokens import Unread

#: ("num", Fraction, digits) | ("sym", name) | ("const", "pi" | "e" | "i" | "inf") | ("add", *trees) | ("mul", *trees) |
#: ("pow", base, exponent) | ("fn", name, *trees) | ("big", operation, variable, lower, upper, body).
#: `digits` of a decimal: how many significant ones it was written with, and how many after the point; None for integers.
Tree = tuple[Any, ...]

MAX_DIGITS = 1500
MINUS_ONE: Tree = ("num", Fraction(-1), None)
HALF: Tree = ("num", Fraction(1, 2), None)
TWO: Tree = ("num", Fraction(2), None)
DEGREE: Tree = ("mul", ("const", "pi"), ("num", Fraction(1, 180), None))


def are_thousands(texts: list[str]) -> bool:
    """Whether numbers and commas between them are the groups of one number: 1 , 234 , 567.8"""
    groups, commas = texts[::2], texts[1::2]
    if len(groups) != len(commas) + 1 or any(comma != "," for comma in commas):
        return False
    inner = all(len(group) == 3 and group.isdigit() for group in groups[1:-1])
    whole = groups[-1].partition(".")[0]
    return (
        inner
        and groups[0].isdigit()
        and 0 < len(groups[0]) <= 3
        and groups[0][0] != "0"
        and len(whole) == 3
        and whole.isdigit()
    )


def literal(text: str) -> Tree:
    """A number as written, commas between thousands allowed. Raises Unread where it is too long."""
    text = text.replace(",", "").removesuffix(".")
    if len(text) > MAX_DIGITS:
        raise Unread
    if "." not in text:
        return ("num", Fraction(int(text)), None)
    digits = (len(text.replace(".", "").lstrip("0")), len(text.partition(".")[2]))
    return ("num", Fraction(text if text[0] != "." else "0" + text), digits)


def written(tree: Tree) -> Number | None:
    """The decimal or whole number that a whole expression is, powers of ten among it; None for anything else."""
    if tree[0] == "mul" and tree[1] == MINUS_ONE and len(tree) == 3:
        number = written(tree[2])
        return number and number._replace(value=-number.value)
    shift = 0
    if tree[0] == "mul" and len(tree) == 3 and tree[2][0] == "pow" and tree[2][1] == ("num", Fraction(10), None):
        exponent = tree[2][2]
        if exponent[0] != "num" or exponent[1].denominator != 1 or abs(exponent[1]) > MAX_EXPONENT:
            return None
        tree, shift = tree[1], int(exponent[1])
    if tree[0] != "num" or (tree[2] is None and (shift or tree[1].denominator != 1)):
        return None
    digits, places = tree[2] or (None, 0)
    return Number(tree[1] * Fraction(10) ** shift, digits, places - shift)


def negative(tree: Tree) -> Tree:
    if tree[0] == "num":
        return ("num", -tree[1], tree[2])
    return ("mul", MINUS_ONE, tree)


def product_of(factors: list[Tree]) -> Tree:
    return factors[0] if len(factors) == 1 else ("mul", *factors)


def apply(name: str, arguments: list[Tree]) -> Tree:
    """A function of its arguments, spelled with powers where it is one. Raises Unread."""
    if name == "sqrt" and len(arguments) == 1:
        return ("pow", arguments[0], HALF)
    if name == "cbrt":
        return ("pow", arguments[0], ("num", Fraction(1, 3), None))
    if name == "exp":
        return ("pow", ("const", "e"), arguments[0])
    if name == "lg":
        return ("fn", "log", arguments[0], ("num", Fraction(10), None))
    if name == "ratio":
        return arguments[0] if len(arguments) == 1 else ("mul", arguments[0], ("pow", arguments[1], MINUS_ONE))
    return ("fn", name, *arguments)


def symbols(tree: Tree) -> frozenset[str]:
    """Names of all free symbols, unknown functions among them."""
    if tree[0] == "sym":
        return frozenset((tree[1],))
    found = frozenset((tree[1],)) if tree[0] == "fn" and tree[1][0] == "@" else frozenset()
    inner = found.union(*(symbols(part) for part in tree[1:] if isinstance(part, tuple)))
    return inner - {tree[2]} if tree[0] == "big" else inner


def indices(name: str) -> list[str]:
    """The letters in the index of a symbol: n and k for F_{n-k-1}."""
    return re.findall(r"[A-Za-z]+", name.partition("_")[2])


def is_integer(tree: Tree) -> bool:
    return tree[0] == "num" and tree[1].denominator == 1 and tree[2] is None


def is_number(tree: Tree) -> bool:
    return tree[0] == "num" or (tree[0] == "pow" and tree[2] == MINUS_ONE and tree[1][0] == "num")


def repeating(whole: str, fixed: str, block: str) -> Fraction:
    if len(fixed) + len(block) > 200:
        raise Unread
    bottom = 10 ** len(fixed) * (10 ** len(block) - 1)
    return int(whole or 0) + Fraction(int(fixed + block) - int(fixed or 0), bottom)
