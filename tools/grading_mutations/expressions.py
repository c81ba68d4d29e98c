"""A small reader of mathematical expressions, independent of the grader: it says what a change of an answer does to its value.

It knows what stands in ordinary gold answers and refuses everything else, so that nothing is claimed about what it cannot read.
Rational values are exact.
"""

from __future__ import annotations

import cmath
import math
import random
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

Value = Fraction | float | complex
Node = tuple[Any, ...]  # (operator, operands ...)
Point = Callable[[str], Value]  # the value of a name

DEGREE = r"\degree"
_TOKEN = re.compile(
    r"\s+|\\[!,;: ]|~|\\(?:left|right|displaystyle|quad|qquad)(?![A-Za-z])"
    r"|(?P<token>\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\.\d+|[A-Za-z]|[-+*/^_!|(){}\[\]])"
)
_FUNCTIONS: dict[str, Callable[[Any], Value]] = {
    r"\sin": cmath.sin,
    r"\cos": cmath.cos,
    r"\tan": cmath.tan,
    r"\sec": lambda x: 1 / cmath.cos(x),
    r"\csc": lambda x: 1 / cmath.sin(x),
    r"\cot": lambda x: 1 / cmath.tan(x),
    r"\ln": cmath.log,
    r"\log": cmath.log10,
    r"\exp": cmath.exp,
    r"\arcsin": cmath.asin,
    r"\arccos": cmath.acos,
    r"\arctan": cmath.atan,
}
_CONSTANTS: dict[str, Value] = {r"\pi": math.pi, "e": math.e, "i": 1j, DEGREE: math.pi / 180}
_GREEK = {
    "\\" + name for name in ("alpha", "beta", "gamma", "delta", "theta", "lambda", "mu", "phi", "omega", "rho", "sigma", "tau")
}
FUNCTION = re.compile("|".join(rf"\{name}(?![A-Za-z])" for name in _FUNCTIONS))
_FRACTIONS = (r"\frac", r"\dfrac", r"\tfrac", r"\cfrac")
_BEGINS = {"(", "{", r"\pi", r"\sqrt", r"\binom", *_FRACTIONS, *_FUNCTIONS, *_GREEK}
_DIGITS = "0123456789."
_TIMES = ("*", r"\cdot", r"\times")
_WHOLE = set("nmkj")  # letters that stand for whole numbers


class UnreadableError(ValueError):
    """The text is none of what this reader knows, or has no value at a point."""


def tokens_of(text: str) -> list[str]:
    """The tokens of `text`, spaces left out. Raises UnreadableError at a character it does not know."""
    tokens, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise UnreadableError(text)
        if match["token"]:
            tokens.append(match["token"])
        place = match.end()
    return tokens


def parse(text: str) -> Node:
    """The expression in `text`. Raises UnreadableError unless every token is understood."""
    reader = _Reader(tokens_of(text))
    node = reader.sum()
    if reader.place != len(reader.tokens):
        raise UnreadableError(text)
    return node


class _Reader:
    """Recursive descent over tokens."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.place = 0
        self.bars = 0  # open absolute values

    def peek(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.peek()
        if not token or (expected and token != expected):
            raise UnreadableError(f"{token!r} where {expected!r} was expected")
        self.place += 1
        return token

    def sum(self) -> Node:
        node = self.signed_product()
        while self.peek() in ("+", "-"):
            operator = self.take()
            node = (operator, node, self.product())
        return node

    def signed_product(self) -> Node:
        if self.peek() in ("+", "-"):
            return ("neg", self.product()) if self.take() == "-" else self.product()
        return self.product()

    def product(self) -> Node:
        node = self.power()
        while True:
            token = self.peek()
            if token in _TIMES or token == "/":
                self.take()
                node = ("/" if token == "/" else "*", node, self.power())
            elif self._begins_factor(token):
                node = self._beside(node)
            else:
                return node

    def _beside(self, node: Node) -> Node:
        """Factors side by side are a product; a whole number and a fraction of two are a mixed number."""
        if self.peek()[0] in _DIGITS and self.tokens[self.place - 1][0] in _DIGITS:
            raise UnreadableError("numbers side by side")
        factor = self.power()
        whole = node[0] == "number" and node[1].denominator == 1
        plain = factor[0] == "frac" and factor[1][0] == factor[2][0] == "number"
        return ("+" if whole and plain else "*", node, factor)

    def _begins_factor(self, token: str) -> bool:
        if token == "|":
            return self.bars == 0
        return bool(token) and (token[0].isalnum() or token[0] == "." or token in _BEGINS)

    def power(self) -> Node:
        node = self.atom()
        while self.peek() in ("^", "!", DEGREE):
            token = self.take()
            if token == DEGREE:
                node = ("*", node, ("name", DEGREE))
            elif token == "!":
                node = ("!", node)
            else:
                node = ("^", node, self.argument())
        return node

    def argument(self) -> Node:
        """What a command takes: a group, or one token (of a number its first digit)."""
        token = self.peek()
        if token == "{":
            return self.group("{", "}")
        if token and token[0].isdigit() and len(token) > 1:
            self.tokens[self.place : self.place + 1] = [token[0], token[1:]]
        return self.atom()

    def group(self, opening: str, closing: str) -> Node:
        self.take(opening)
        bars, self.bars = self.bars, 0
        node = self.sum()
        self.bars = bars
        self.take(closing)
        return node

    def atom(self) -> Node:
        token = self.peek()
        if token in ("(", "{"):
            return self.group(token, ")" if token == "(" else "}")
        if token == "|":
            return self._absolute()
        token = self.take()
        if token[0].isdigit() or token[0] == ".":
            return ("number", Fraction(token))
        if token in _FRACTIONS or token == r"\binom":
            return (r"\binom" if token == r"\binom" else "frac", self.argument(), self.argument())
        if token == r"\sqrt":
            index = self.group("[", "]") if self.peek() == "[" else ("number", Fraction(2))
            return ("root", self.argument(), index)
        if token in _FUNCTIONS:
            return self._function(token)
        if token in _CONSTANTS or token in _GREEK or (token.isalpha() and len(token) == 1):
            return self._name(token)
        raise UnreadableError(token)

    def _absolute(self) -> Node:
        self.take("|")
        self.bars += 1
        node = ("abs", self.sum())
        self.bars -= 1
        self.take("|")
        return node

    def _name(self, token: str) -> Node:
        if self.peek() != "_":
            return ("name", token)
        self.take()
        return ("name", f"{token}_{self.argument()}")

    def _function(self, token: str) -> Node:
        base = power = None
        while self.peek() in ("_", "^"):
            if self.take() == "_":
                base = self.argument()
            else:
                power = self.argument()
        node: Node = ("call", token, self._operand())
        if base is not None:
            if token != r"\log":
                raise UnreadableError(token)
            node = ("/", ("call", r"\ln", node[2]), ("call", r"\ln", base))
        if power is not None and not (power[0] == "number" and power[1] > 0):
            raise UnreadableError("inverse function or inverse value")
        return node if power is None else ("^", node, power)

    def _operand(self) -> Node:
        """The operand of a function without brackets reaches to the next sign or function."""
        if self.peek() in ("(", "{"):
            return self.atom()
        node = self.power()
        while self._begins_factor(self.peek()) and self.peek() not in _FUNCTIONS and self.peek() not in ("(", "{"):
            node = ("*", node, self.power())
        return node


def evaluate(node: Node, point: Point) -> Value:
    """The value of `node` where names have the values of `point`. Raises UnreadableError where it has none."""
    try:
        value = _evaluate(node, point)
    except (ArithmeticError, ValueError, TypeError) as error:
        raise UnreadableError(str(error)) from error
    if not isinstance(value, Fraction) and not cmath.isfinite(value):
        raise UnreadableError("not finite")
    return value


def _evaluate(node: Node, point: Point) -> Value:
    operator = node[0]
    if operator == "number":
        return node[1]
    if operator == "name":
        return _CONSTANTS[node[1]] if node[1] in _CONSTANTS else point(node[1])
    if operator == "call":
        return _FUNCTIONS[node[1]](_evaluate(node[2], point))
    values = [_evaluate(operand, point) for operand in node[1:]]
    return _OPERATIONS[operator](*values)


def _power(base: Any, exponent: Any) -> Value:
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        if abs(exponent) > 2000:
            raise UnreadableError("large power")
        return base ** int(exponent)
    if base == 0:
        raise UnreadableError("a power of zero")
    return complex(base) ** complex(exponent)


def _root(radicand: Any, index: Any) -> Value:
    if radicand == 0:
        return Fraction(0)
    if isinstance(radicand, Fraction) and radicand < 0 and index % 2 == 1:
        return -(float(-radicand) ** (1 / float(index)))
    return complex(radicand) ** (1 / complex(index))


def _whole(value: Any) -> int:
    if not isinstance(value, Fraction) or value.denominator != 1 or not 0 <= value <= 200:
        raise UnreadableError("not a small whole number")
    return int(value)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "frac": lambda a, b: a / b,
    "neg": lambda a: -a,
    "abs": abs,
    "^": _power,
    "root": _root,
    "!": lambda a: Fraction(math.factorial(_whole(a))),
    r"\binom": lambda a, b: Fraction(math.comb(_whole(a), _whole(b))),
}


def points(seed: int = 0) -> list[Point]:
    """Four points at which expressions are compared: two of positive numbers, two of both signs. Some letters are whole numbers."""
    return [_point(seed, place) for place in range(4)]


def _point(seed: int, place: int) -> Point:
    def value(name: str) -> Value:
        chance = random.Random(f"{seed}/{place}/{name}")
        if name[0] in _WHOLE:
            return Fraction(chance.randint(3, 19))
        number = chance.uniform(0.3, 3.0)
        return number if place < 2 or chance.random() < 0.5 else -number

    return value


def values_differ(left: Value, right: Value) -> bool:
    """Whether two values certainly differ: rational ones exactly, others by more than the error of floating point."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left != right
    left, right = complex(left), complex(right)
    return abs(left - right) > 1e-9 * max(1.0, abs(left), abs(right))


def expressions_differ(left: Node, right: Node) -> bool:
    """Whether two expressions certainly differ: they do at a point where both have a real value (anywhere, without names)."""
    free = not (names(left) | names(right))
    imaginary = "i" in _letters(left) | _letters(right)
    for point in points():
        try:
            values = evaluate(left, point), evaluate(right, point)
        except UnreadableError:
            continue
        real = all(abs(complex(value).imag) < 1e-12 for value in values)
        if (free or real or imaginary) and values_differ(*values):
            return True
    return False


def names(node: Node) -> set[str]:
    """The names in an expression, constants apart."""
    return _letters(node) - set(_CONSTANTS)


def _letters(node: Node) -> set[str]:
    if node[0] == "name":
        return {node[1]}
    return {letter for operand in node[1:] if isinstance(operand, tuple) for letter in _letters(operand)}
