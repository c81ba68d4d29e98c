r"""Expressions: from tokens to a tree, by recursive descent. A token that is not understood raises; none is left out.

Here are the atoms: fractions, roots, sums over an index. Trees are nested tuples, the operation first (see `Tree`).
"""

from __future__ import annotations

from collections.abc import Callable

from unified_rl.grading.function_parser import FunctionParser
from unified_rl.grading.functions import DECORATIONS, FUNCTIONS, GREEK
from unified_rl.grading.number_parser import NumberParser
from unified_rl.grading.operator_parser import CLOSING, ROUNDING
from unified_rl.grading.tokens import Token, Unread
from unified_rl.grading.trees import MINUS_ONE, TWO, Tree, is_integer, literal


def parse(tokens: list[Token]) -> Tree:
    """The tree of an expression that takes every token. Raises Unread."""
    parser = Parser(tokens)
    tree = parser.sum()
    if parser.place < len(tokens):
        raise Unread
    return tree


class Parser(FunctionParser, NumberParser):
    """Reads from `tokens[place:]`; `place` then stands behind what was read."""

    def starts_atom(self, command: str) -> bool:
        return command in GREEK or command in DECORATIONS or command in _STARTS

    def atom(self) -> Tree:
        if self.place >= len(self.tokens):
            raise Unread
        token = self.tokens[self.place]
        if token.kind == "number":
            return self.number()
        if (token.text == "{" and self.peek(1) == "}") or token.text in ("_", "^"):
            return self.arrangements()
        if token.text in CLOSING and token.text != r"\{":
            return self.bracketed()
        if token.text == "|":
            return self.absolute()
        if token.kind == "letters":
            return self.letters()
        special = _SPECIAL.get(token.text)
        if special is not None:
            return special(self)
        if token.text in GREEK or token.text in DECORATIONS:
            return self.symbol()
        if token.text.lstrip("\\") in FUNCTIONS and token.kind == "command":
            self.place += 1
            return self.function(FUNCTIONS[token.text[1:]])
        raise Unread

    def absolute(self) -> Tree:
        self.take("|")
        self.bars += 1
        inner = self.nested(self.sum)
        self.bars -= 1
        self.take("|")
        return ("fn", "abs", inner)

    def fraction(self) -> Tree:
        differential = self._is_derivative()
        top, bottom = self.fraction_parts()
        if differential:
            return ("fn", "@derivative", top, bottom)
        if is_integer(top) and is_integer(bottom) and bottom[1]:
            return ("num", top[1] / bottom[1], None)
        return ("mul", top, ("pow", bottom, MINUS_ONE))

    def _is_derivative(self) -> bool:
        r"""Whether a d begins both parts of a fraction: dy/dx is no quotient of products."""
        texts = [token.text for token in self.tokens[self.place + 1 : self.place + 40]]
        if len(texts) < 4 or texts[0] != "{" or "}" not in texts:
            return False
        end = texts.index("}")
        return texts[1][0] == "d" and texts[1].isalpha() and [text[:1] for text in texts[end + 1 : end + 3]] == ["{", "d"]

    def root(self) -> Tree:
        self.take(r"\sqrt")
        degree = TWO
        if self.peek() == "{" and self.peek(1) == "}":
            self.place += 2  # \sqrt{}5
        if self.peek() == "[":
            degree = self.bracketed()
        if self.place < len(self.tokens) and self.tokens[self.place].kind == "number":
            inner = literal(self.take().text)  # √12
        else:
            inner = self.bracketed() if self.peek() == "(" else self.argument()
        return ("pow", inner, ("pow", degree, MINUS_ONE))

    def binomial(self) -> Tree:
        self.take(r"\binom")
        return ("fn", "binom", self.argument(), self.argument())

    def constant(self) -> Tree:
        return ("const", {r"\pi": "pi", r"\infty": "inf"}[self.take().text])

    def big(self) -> Tree:
        r"""`\sum_{k=a}^{b} body` and `\prod`: the body goes to the end of its term."""
        operation = self.take().text[1:]
        self.take("_")
        self.take("{")
        variable = self.symbol()
        self.take("=")
        lower = self.nested(self.sum)
        self.take("}")
        self.take("^")
        upper = self.nested(self.script)
        return ("big", operation, variable[1], lower, upper, _freed(self.nested(self.product), variable))

    def arrangements(self) -> Tree:
        r"""{}_5C_2, {}^5P_2."""
        if self.peek() == "{":
            self.place += 2
        self.take("_", "^")
        top = self.nested(self.script)
        name = self.take("C", "P").text
        self.take("_")
        bottom = self.nested(self.script)
        binomial: Tree = ("fn", "binom", top, bottom)
        return binomial if name == "C" else ("mul", binomial, ("fn", "factorial", bottom))


def _freed(tree: Tree, variable: Tree) -> Tree:
    """A body in which an index i or e is a letter like any other."""
    if tree == variable:
        return ("sym", variable[1])
    return tuple(_freed(part, variable) if isinstance(part, tuple) else part for part in tree)


_SPECIAL: dict[str, Callable[[Parser], Tree]] = {
    r"\frac": Parser.fraction,
    r"\sqrt": Parser.root,
    r"\binom": Parser.binomial,
    r"\pi": Parser.constant,
    r"\infty": Parser.constant,
    r"\sum": Parser.big,
    r"\prod": Parser.big,
}
_STARTS = frozenset(_SPECIAL) | frozenset("\\" + name for name in FUNCTIONS) | frozenset(ROUNDING)
