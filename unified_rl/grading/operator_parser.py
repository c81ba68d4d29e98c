"""Sums, products and powers of an expression, and brackets around one: what is done before what, and between which marks.

What can be read in two ways is refused (`a/bc`, `2 3`), except where the field agrees: `2/3 x` is two thirds of x.
"""

from __future__ import annotations

from fractions import Fraction

from unified_rl.grading.cursor import MAX_DEPTH, Cursor
from unified_rl.grading.functions import FUNCTIONS, splits
from unified_rl.grading.tokens import Token, Unread
from unified_rl.grading.trees import DEGREE, MINUS_ONE, Tree, are_thousands, is_number, literal, negative, product_of
from unified_rl.grading.words import OPERATORS, SHORT_WORDS

CLOSING = {"(": ")", "[": "]", "{": "}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil", r"\{": r"\}"}
ROUNDING = {r"\lfloor": "floor", r"\lceil": "ceil"}
_ENDS = frozenset((")", "]", "}", r"\}", "|", r"\rfloor", r"\rceil", ",", ";", "=", "<", ">", r"\le", r"\ge", "&", r"\rangle"))


class OperatorParser(Cursor):
    """What stands between atoms and around expressions; the atoms themselves are read by who inherits."""

    def starts_atom(self, command: str) -> bool:
        """Whether an atom, and so a factor, may begin with this command."""
        raise NotImplementedError

    def operator(self) -> str:
        """The sign of an operation at this place, words for it among them."""
        if self.place >= len(self.tokens):
            return ""
        token = self.tokens[self.place]
        return OPERATORS.get(token.text.lower(), "") if token.kind == "letters" and len(token.text) > 1 else token.text

    # --- sums, products, powers

    def sum(self) -> Tree:
        terms = [self.term()]
        while (sign := self.operator()) in ("+", "-"):
            self.place += 1
            term = self.term()
            terms.append(negative(term) if sign == "-" else term)
        return terms[0] if len(terms) == 1 else ("add", *terms)

    def term(self) -> Tree:
        minus = False
        signs = 0
        while (sign := self.operator()) in ("+", "-") or (sign := self._sign_word()):
            minus ^= sign == "-"
            self.place += 1
            signs += 1
            if signs > 2:
                raise Unread
        product = self.product()
        return negative(product) if minus else product

    def _sign_word(self) -> str:
        word = self.peek().lower()
        return {"negative": "-", "positive": "+"}.get(word, "")

    def product(self) -> Tree:
        factors = [self.power()]
        slashed = beside = False  # a division by a slash; factors side by side
        while True:
            sign = self.operator()
            if sign in ("*", r"\cdot", r"\times", "x") and self._multiplies(sign):
                self.place += 1
                factors.append(self.signed_power())
            elif sign == "/":
                if slashed and beside:
                    raise Unread
                self.place += 1
                factors.append(("pow", self.signed_power(), MINUS_ONE))
                slashed = True
                beside = False
            elif sign == r"\bmod":
                self.place += 1
                factors = [("fn", "mod", product_of(factors), self.signed_power())]
            elif self._starts_factor():
                if slashed and not all(is_number(factor) for factor in factors):
                    raise Unread  # a/bc
                slashed = False  # 2/3 x
                factors.append(self.power())
                beside = True
            else:
                return product_of(factors)

    def _multiplies(self, sign: str) -> bool:
        """A letter x between two numbers, set apart by spaces, is a multiplication sign: 3 x 10^8."""
        if sign != "x":
            return True
        if not 0 < self.place < len(self.tokens) - 1:
            return False
        before, token, after = self.tokens[self.place - 1 : self.place + 2]
        return before.kind == after.kind == "number" and token.spaced == after.spaced

    def signed_power(self) -> Tree:
        if self.operator() in ("-", "+"):
            sign = self.operator()
            self.place += 1
            return negative(self.power()) if sign == "-" else self.power()
        return self.power()

    def _starts_factor(self) -> bool:
        if self.place >= len(self.tokens):
            return False
        token = self.tokens[self.place]
        if token.kind == "number":
            return self.peek(-1) == "!"  # 5!5!
        if token.text in _ENDS:
            return token.text == "|" and not self.bars and self.place + 1 < len(self.tokens) and self._bar_opens()
        if token.kind == "letters":
            if self.is_unit is not None and not self.depth and not self.bars and self.is_unit(token):
                return False
            return not (token.upright and len(token.text) > 1) and self._is_mathematical(token)
        return token.text in ("(", "[", "{") or (token.kind == "command" and self.starts_atom(token.text))

    def _bar_opens(self) -> bool:
        return any(token.text == "|" for token in self.tokens[self.place + 1 : self.place + 60])

    def _is_mathematical(self, token: Token) -> bool:
        text = token.text
        if text.lower() in SHORT_WORDS or OPERATORS.get(text.lower()) == "%":
            return False
        return text in FUNCTIONS or text in ("pi", "oo") or len(text) <= 3 or text.isupper() or splits(text)

    def power(self) -> Tree:
        base = self.nested(self.atom)
        for _ in range(MAX_DEPTH):  # each power makes the tree one deeper
            sign = self.operator()
            if sign == "!":
                self.place += 1
                base = ("fn", "factorial", base)
                if self.peek() == "!":
                    raise Unread
            elif sign in ("^2", "^3"):
                self.place += 1
                base = ("pow", base, ("num", Fraction(int(sign[1])), None))
            elif sign == "^":
                if self._degree():
                    base = ("mul", base, DEGREE)
                    continue
                self.place += 1
                base = ("pow", base, self.nested(self.script))
            elif sign == r"\circ" and base[0] == "num":
                self.place += 1
                base = ("mul", base, DEGREE)
            elif sign == r"\choose":
                self.place += 1
                base = ("fn", "binom", base, self.power())
            else:
                return base
        raise Unread

    def _degree(self) -> bool:
        r"""`^\circ` and `^{\circ}`; takes them where they are next."""
        for mark in (["^", r"\circ"], ["^", "{", r"\circ", "}"]):
            if [token.text for token in self.tokens[self.place : self.place + len(mark)]] == mark:
                self.place += len(mark)
                return True
        return False

    def script(self) -> Tree:
        """An exponent: in braces, or one number, letter or command with its sign."""
        if self.peek() == "{":
            return self.braced()
        if self.peek() == "(":
            return self.bracketed()
        if self.peek() in ("-", "+"):
            return negative(self.script()) if self.take().text == "-" else self.script()
        token = self.tokens[self.place] if self.place < len(self.tokens) else self.take()
        if token.kind == "letters" and 1 < len(token.text) <= 3 and not token.upright and token.text not in FUNCTIONS:
            rest = Token("letters", token.text[1:])  # a^nb^n
            self.tokens = [*self.tokens[: self.place], token._replace(text=token.text[0]), rest, *self.tokens[self.place + 1 :]]
        base = literal(self.take().text) if token.kind == "number" else self.nested(self.atom)
        if self.peek() == "^":
            self.take()
            return ("pow", base, self.nested(self.script))
        return base

    # --- brackets

    def bracketed(self) -> Tree:
        opening = self.take().text
        inner = self.nested(self.sum_in_brackets)
        if self.take().text != CLOSING[opening]:
            raise Unread
        return ("fn", ROUNDING[opening], inner) if opening in ROUNDING else inner

    def sum_in_brackets(self) -> Tree:
        bars, self.bars = self.bars, 0
        tree = self.sum()
        self.bars = bars
        return tree

    def braced(self) -> Tree:
        self.take("{")
        self._join_thousands()
        inner = self.nested(self.sum_in_brackets)
        self.take("}")
        return inner

    def _join_thousands(self) -> None:
        r"""1,234 in braces of its own, as in \frac{1,234}{5}, is one number."""
        end = self.place
        while end < len(self.tokens) and (self.tokens[end].kind == "number" or self.tokens[end].text == ","):
            end += 1
        texts = [token.text for token in self.tokens[self.place : end]]
        if len(texts) > 2 and end < len(self.tokens) and self.tokens[end].text == "}" and are_thousands(texts):
            self.tokens = [*self.tokens[: self.place], Token("number", "".join(texts)), *self.tokens[end:]]
