"""A parser of the simple LaTeX that most answers are: numbers, letters, fractions, roots, powers, sums and products.

Some hundred times faster than a general grammar, and linear. It refuses whatever is not plain or could be read in two ways
(`1/2x`, `f(x)`, words); the caller then asks the general parser.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

_TOKEN = re.compile(r"\s*(?:([0-9]+(?:\.[0-9]+)?|\.[0-9]+)|(\\[a-zA-Z]+)|([A-Za-z])|([-+*/^_!(){}\[\]]))")
_GREEK_NAMES = "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi rho sigma tau phi chi psi omega"
_GREEK = frozenset("\\" + name for name in _GREEK_NAMES.split(" "))
_CLOSING = {"(": ")", "[": "]", "{": "}"}
MAX_DIGITS = 400


class NotSimple(Exception):
    """For the general parser."""


#: A tree: ("number", Fraction), ("symbol", name), ("pi",), or (operation, subtree, ...).
Tree = tuple[Any, ...]


def parse_simple(latex: str) -> Tree:
    """The tree of an expression. Raises NotSimple."""
    parser = _Parser(latex)
    tree = parser.sum()
    if parser.token is not None:
        raise NotSimple
    return tree


def symbols(tree: Tree) -> set[str]:
    """Names of all symbols."""
    if tree[0] == "symbol":
        return {tree[1]}
    return set().union(*(symbols(part) for part in tree[1:] if isinstance(part, tuple)))


class _Parser:
    def __init__(self, latex: str) -> None:
        self._tokens: list[str] = []
        place = 0
        latex = latex.rstrip()
        while place < len(latex):
            match = _TOKEN.match(latex, place)
            if match is None or len(match[0]) > MAX_DIGITS:
                raise NotSimple
            self._tokens.append(match[0].strip())
            place = match.end()
        self._tokens.reverse()

    @property
    def token(self) -> str | None:
        return self._tokens[-1] if self._tokens else None

    def take(self, expected: str | None = None) -> str:
        if not self._tokens or (expected is not None and self._tokens[-1] != expected):
            raise NotSimple
        return self._tokens.pop()

    def sum(self) -> Tree:
        terms = [self.term()]
        while self.token in ("+", "-"):
            sign = self.take()
            term = self.term()
            terms.append(("mul", ("number", Fraction(-1)), term) if sign == "-" else term)
        return terms[0] if len(terms) == 1 else ("add", *terms)

    def term(self) -> Tree:
        negative = False
        while self.token in ("+", "-"):
            negative ^= self.take() == "-"
        factors, divided, juxtaposed = [self.power()], False, False
        while self.token is not None and self.token not in ("+", "-", ")", "]", "}"):
            if self.token == "/":
                self.take()
                if juxtaposed and divided:
                    raise NotSimple
                factors.append(("pow", self.signed_power(), ("number", Fraction(-1))))
                divided = True
            elif self.token in ("*", r"\cdot", r"\times"):
                self.take()
                factors.append(self.signed_power())
            else:
                if divided or self.token[0].isdigit() or self.token[0] == ".":
                    raise NotSimple  # 1/2x, 2 3
                juxtaposed = True
                factors.append(self.power())
        if negative:
            factors.insert(0, ("number", Fraction(-1)))
        return factors[0] if len(factors) == 1 else ("mul", *factors)

    def signed_power(self) -> Tree:
        if self.token == "-":
            self.take()
            return ("mul", ("number", Fraction(-1)), self.power())
        return self.power()

    def power(self) -> Tree:
        base = self.atom()
        if self.token == "!":
            self.take()
            base = ("factorial", base)
            if self.token == "!":
                raise NotSimple
        if self.token != "^":
            return base
        self.take()
        if self.token in ("{", "("):
            exponent = self.atom()
        elif self.token == "-":
            exponent = self.signed_power()
        else:
            exponent = self.atom()
        if self.token in ("^", "!"):
            raise NotSimple
        return ("pow", base, exponent)

    def atom(self) -> Tree:
        token = self.take()
        if token[0].isdigit() or token[0] == ".":
            return ("number", Fraction(token))
        if token in _CLOSING:
            inner = self.sum()
            self.take(_CLOSING[token])
            return inner
        if token == r"\frac":
            return ("mul", self.braced(), ("pow", self.braced(), ("number", Fraction(-1))))
        if token == r"\sqrt":
            return self.root()
        if token == r"\pi":
            return ("pi",)
        if token in _GREEK or (len(token) == 1 and token.isalpha()):
            return self.symbol(token.lstrip("\\"))
        raise NotSimple

    def braced(self) -> Tree:
        self.take("{")
        inner = self.sum()
        self.take("}")
        return inner

    def root(self) -> Tree:
        degree: Tree = ("number", Fraction(2))
        if self.token == "[":
            self.take()
            degree = self.sum()
            self.take("]")
        return ("pow", self.braced(), ("pow", degree, ("number", Fraction(-1))))

    def symbol(self, name: str) -> Tree:
        if self.token == "_":
            self.take()
            if self.token == "{":
                self.take()
                subscript = ""
                while self.token is not None and self.token.isalnum():
                    subscript += self.take()
                self.take("}")
            else:
                subscript = self.take()
            if not subscript.isalnum():
                raise NotSimple
            name = f"{name}_{subscript}"
        if self.token in ("(", "["):
            raise NotSimple  # a function's argument, or a factor
        return ("symbol", name)
