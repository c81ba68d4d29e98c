r"""Expressions: from tokens to a tree, by recursive descent. A token that is not understood raises; none is left out.

What can be read in two ways is refused (`a/bc`, `2 3`), except where the field agrees: `2\frac13` is a mixed number, `2/3 x` is two
thirds of x, `\sin 2x` takes the product. Trees are nested tuples, the operation first (see `Tree`).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from unified_rl.grading.cursor import MAX_DEPTH
from unified_rl.grading.functions import DECORATIONS, FUNCTIONS, GREEK, INVERSES, SEVERAL, pieces, splits
from unified_rl.grading.name_parser import NameParser
from unified_rl.grading.number_parser import NumberParser
from unified_rl.grading.tokens import Token, Unread
from unified_rl.grading.trees import (
    DEGREE,
    MINUS_ONE,
    TWO,
    Tree,
    apply,
    are_thousands,
    is_integer,
    is_number,
    literal,
    negative,
    product_of,
)
from unified_rl.grading.words import OPERATORS, SHORT_WORDS

_CLOSING = {"(": ")", "[": "]", "{": "}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil", r"\{": r"\}"}
_ROUNDING = {r"\lfloor": "floor", r"\lceil": "ceil"}
#: Letters that are functions where brackets follow them: f(x) is no product.
_APPLIED = frozenset("fghFGHΓ") | {r"\phi", r"\psi", r"\Phi", r"\Psi", r"\Gamma", r"\zeta"}
_ENDS = frozenset((")", "]", "}", r"\}", "|", r"\rfloor", r"\rceil", ",", ";", "=", "<", ">", r"\le", r"\ge", "&", r"\rangle"))


def parse(tokens: list[Token]) -> Tree:
    """The tree of an expression that takes every token. Raises Unread."""
    parser = Parser(tokens)
    tree = parser.sum()
    if parser.place < len(tokens):
        raise Unread
    return tree


class Parser(NumberParser, NameParser):
    """Reads from `tokens[place:]`; `place` then stands behind what was read."""

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
        return token.text in ("(", "[", "{") or (
            token.kind == "command" and (token.text in GREEK or token.text in DECORATIONS or token.text in _STARTS)
        )

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

    # --- atoms

    def atom(self) -> Tree:
        if self.place >= len(self.tokens):
            raise Unread
        token = self.tokens[self.place]
        if token.kind == "number":
            return self.number()
        if (token.text == "{" and self.peek(1) == "}") or token.text in ("_", "^"):
            return self.arrangements()
        if token.text in _CLOSING and token.text != r"\{":
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

    def bracketed(self) -> Tree:
        opening = self.take().text
        inner = self.nested(self.sum_in_brackets)
        if self.take().text != _CLOSING[opening]:
            raise Unread
        return ("fn", _ROUNDING[opening], inner) if opening in _ROUNDING else inner

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

    # --- letters

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
            self.take(_CLOSING[opening])
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
_STARTS = frozenset(_SPECIAL) | frozenset("\\" + name for name in FUNCTIONS) | frozenset(_ROUNDING)
