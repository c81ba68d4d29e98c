r"""Letters and functions in an expression: f(x), P(A), `\sin^2 x`, `\log_2 8`, runs of letters that are products.

`\sin 2x` takes the product that follows, as the field reads it.
"""

from __future__ import annotations

from unified_rl.grading.functions import FUNCTIONS, INVERSES, SEVERAL, pieces, splits
from unified_rl.grading.name_parser import NameParser
from unified_rl.grading.operator_parser import CLOSING, OperatorParser
from unified_rl.grading.tokens import Token, Unread
from unified_rl.grading.trees import MINUS_ONE, Tree, apply, product_of
from unified_rl.grading.words import SHORT_WORDS

#: Letters that are functions where brackets follow them: f(x) is no product.
_APPLIED = frozenset("fghFGHΓ") | {r"\phi", r"\psi", r"\Phi", r"\Psi", r"\Gamma", r"\zeta"}


class FunctionParser(OperatorParser, NameParser):
    """What begins with a letter or with the name of a function."""

    def letters(self) -> Tree:
        token = self.tokens[self.place]
        if token.text in FUNCTIONS and len(token.text) > 1:
            self.place += 1
            return self.function(FUNCTIONS[token.text])
        if token.text == "pi":
            self.place += 1
            return ("const", "pi")
        if token.text in ("oo", "inf", "infinity", "Infinity"):
            self.place += 1
            return ("const", "inf")
        if len(token.text) == 1 or token.text.isupper():
            return self.symbol()
        if token.upright or token.text.lower() in SHORT_WORDS or not (splits(token.text) or len(token.text) <= 3):
            raise Unread
        return self._letter_product(token)

    def _letter_product(self, token: Token) -> Tree:
        """A run of letters is their product; a function's name may end it (x sin x without spaces)."""
        letters = [Token("letters", piece, token.spaced and not place) for place, piece in enumerate(pieces(token.text))]
        self.tokens = [*self.tokens[: self.place], *letters, *self.tokens[self.place + 1 :]]
        return self.symbol()

    def symbol(self) -> Tree:
        """A letter with all that belongs to its name: decoration, index, primes."""
        name = self.name()
        if name in ("e", "i") and self.tokens[self.place - 1].text in ("e", "i"):
            return ("const", name)
        if name == "I" and self.tokens[self.place - 1].text == "I":
            return ("sym", "I")
        if self.peek() == "(" and (name in _APPLIED or self._bound_arguments(name)):
            return self._applied(name)
        return ("sym", name)

    def _bound_arguments(self, name: str) -> bool:
        """Whether capital letters stand in brackets behind a capital: P(A), E(X)."""
        if not (name[0].isupper() and len(name) == 1):
            return False
        ahead = [token.text for token in self.tokens[self.place + 1 : self.place + 3]]
        return len(ahead) == 2 and ahead[0].isupper() and ahead[1] in (")", "|", ",", r"\cap", r"\cup")

    def _applied(self, name: str) -> Tree:
        self.take("(")
        arguments = [self.nested(self.sum_in_brackets)]
        while self.peek() == ",":
            self.take()
            arguments.append(self.nested(self.sum_in_brackets))
        self.take(")")
        return ("fn", f"@{name}", *arguments)

    # --- functions

    def function(self, name: str) -> Tree:
        exponent = base = None
        for _ in range(2):
            if self.peek() == "^" and exponent is None and name not in ("sqrt", "max", "min"):
                self.take()
                exponent = self.nested(self.script)
            elif self.peek() == "_" and name == "log" and base is None:
                self.take()
                base = self.nested(self.script)
        if exponent == MINUS_ONE and name in INVERSES:
            name, exponent = INVERSES[name], None
        elif exponent is not None and exponent[0] == "num" and exponent[1] < 0:
            raise Unread
        arguments = self._arguments(name)
        if name == "log" and base is not None:
            arguments = [*arguments, base]
        tree = apply(name, arguments)
        return tree if exponent is None else ("pow", tree, exponent)

    def _arguments(self, name: str) -> list[Tree]:
        """In brackets, or the product that follows, up to a sum or another function."""
        opening = self.peek()
        if opening in ("(", "{", "["):
            self.take()
            arguments = [self.nested(self.sum_in_brackets)]
            while self.peek() == "," and name in SEVERAL:
                self.take()
                arguments.append(self.nested(self.sum_in_brackets))
            self.take(CLOSING[opening])
            return arguments
        if name in SEVERAL - {"log"} or name in ("sqrt", "exp", "abs", "floor", "ceil", "ratio", "factorial"):
            raise Unread
        factors = [self.nested(self.power)]
        while self._starts_factor() and not self._is_function() and self.peek() not in ("(", "["):
            factors.append(self.nested(self.power))
        if self.peek() == "/" and self.place + 1 < len(self.tokens) and self.tokens[self.place + 1].kind == "number":
            self.take()
            factors.append(("pow", self.power(), MINUS_ONE))
        return [product_of(factors)]

    def _is_function(self) -> bool:
        return self.peek().lstrip("\\") in FUNCTIONS and len(self.peek()) > 1
