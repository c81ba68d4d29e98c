r"""Expressions: from tokens to a tree, by recursive descent. A token that is not understood raises; none is left out.

What can be read in two ways is refused (`a/bc`, `2 3`), except where the field agrees: `2\frac13` is a mixed number, `2/3 x` is two
thirds of x, `\sin 2x` takes the product. Trees are nested tuples, the operation first (see `Tree`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NoReturn

from unified_rl.grading.numbers import MAX_EXPONENT, Number
from unified_rl.grading.tokens import Token, Unread
from unified_rl.grading.words import OPERATORS, SHORT_WORDS

#: ("num", Fraction, digits) | ("sym", name) | ("const", "pi" | "e" | "i" | "inf") | ("add", *trees) | ("mul", *trees) |
#: ("pow", base, exponent) | ("fn", name, *trees) | ("big", operation, variable, lower, upper, body).
#: `digits` of a decimal: how many significant ones it was written with, and how many after the point; None for integers.
Tree = tuple[Any, ...]

MAX_DEPTH = 40
MAX_DIGITS = 1500
MINUS_ONE: Tree = ("num", Fraction(-1), None)
HALF: Tree = ("num", Fraction(1, 2), None)
TWO: Tree = ("num", Fraction(2), None)
DEGREE: Tree = ("mul", ("const", "pi"), ("num", Fraction(1, 180), None))

_CLOSING = {"(": ")", "[": "]", "{": "}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil", r"\{": r"\}"}
_ROUNDING = {r"\lfloor": "floor", r"\lceil": "ceil"}
FUNCTIONS = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc", "arcsin": "asin", "arccos": "acos",
    "arctan": "atan", "asin": "asin", "acos": "acos", "atan": "atan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh",
    "coth": "coth",
    "ln": "ln", "log": "log", "lg": "lg", "exp": "exp", "max": "max", "min": "min", "gcd": "gcd", "lcm": "lcm", "abs": "abs",
    "floor": "floor", "ceil": "ceil", "sgn": "sgn", "sign": "sgn", "sqrt": "sqrt", "cbrt": "cbrt", "det": "det", "Re": "Re",
    "Im": "Im",
    "arccot": "acot", "arcsec": "asec", "arccsc": "acsc", "tg": "tan", "ctg": "cot", "binomial": "binom", "factorial": "factorial",
    "Rational": "ratio", "Fraction": "ratio", "deg": "deg", "dim": "dim", "rank": "rank", "tr": "tr", "cis": "cis", "arg": "arg",
}  # fmt: skip
TRIGONOMETRIC = frozenset(("sin", "cos", "tan", "cot", "sec", "csc"))
INVERSES = {
    "sin": "asin",
    "cos": "acos",
    "tan": "atan",
    "cot": "acot",
    "sec": "asec",
    "csc": "acsc",
    "sinh": "asinh",
    "cosh": "acosh",
    "tanh": "atanh",
}
_SEVERAL = frozenset(("max", "min", "gcd", "lcm", "log", "binom", "ratio"))
_GREEK_NAMES = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega Gamma
Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega hbar ell aleph omicron
"""
_GREEK = frozenset("\\" + name for name in _GREEK_NAMES.split())
_DECORATIONS = frozenset(
    (r"\overline", r"\vec", r"\hat", r"\tilde", r"\dot", r"\ddot", r"\underline", r"\mathring", r"\leftvec")
)
_IN_INDEX = _GREEK | frozenset(
    (r"\triangle", r"\odot", r"\oplus", r"\star", r"\infty", r"\pi", r"\max", r"\min", r"\parallel", r"\perp", r"\circ")
)
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


class Parser:
    """Reads from `tokens[place:]`; `place` then stands behind what was read."""

    def __init__(self, tokens: list[Token], is_unit: Callable[[Token], bool] | None = None) -> None:
        self.tokens, self.place = tokens, 0
        self.depth = self.bars = 0
        self.is_unit = is_unit  # whether a token outside all brackets begins the unit of what stands before it

    def peek(self, ahead: int = 0) -> str:
        place = self.place + ahead
        return self.tokens[place].text if place < len(self.tokens) else ""

    def take(self, *expected: str) -> Token:
        if self.place >= len(self.tokens) or (expected and self.tokens[self.place].text not in expected):
            raise Unread
        self.place += 1
        return self.tokens[self.place - 1]

    def nested(self, reader: Callable[[], Tree]) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unread
        tree = reader()
        self.depth -= 1
        return tree

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
                if slashed and not all(_is_number(factor) for factor in factors):
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
            token.kind == "command" and (token.text in _GREEK or token.text in _DECORATIONS or token.text in _STARTS)
        )

    def _bar_opens(self) -> bool:
        return any(token.text == "|" for token in self.tokens[self.place + 1 : self.place + 60])

    def _is_mathematical(self, token: Token) -> bool:
        text = token.text
        if text.lower() in SHORT_WORDS:
            return False
        return text in FUNCTIONS or text in ("pi", "oo") or len(text) <= 3 or text.isupper() or _splits(text)

    def power(self) -> Tree:
        base = self.nested(self.atom)
        while self.place < len(self.tokens):
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
        return base

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
        token = self.tokens[self.place] if self.place < len(self.tokens) else self.fail()
        if token.kind == "letters" and 1 < len(token.text) <= 3 and not token.upright and token.text not in FUNCTIONS:
            rest = Token("letters", token.text[1:])  # a^nb^n
            self.tokens = [*self.tokens[: self.place], token._replace(text=token.text[0]), rest, *self.tokens[self.place + 1 :]]
        base = self.nested(self.atom)
        if self.peek() == "^":
            self.take()
            return ("pow", base, self.nested(self.script))
        return base

    def fail(self) -> NoReturn:
        raise Unread

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
        if token.text in _GREEK or token.text in _DECORATIONS:
            return self.symbol()
        if token.text.lstrip("\\") in FUNCTIONS and token.kind == "command":
            self.place += 1
            return self.function(FUNCTIONS[token.text[1:]])
        raise Unread

    def number(self) -> Tree:
        digits = self.take().text
        tree = literal(digits)
        repeated = self._repeated(digits)
        if repeated is not None:
            return repeated
        if self.peek() == "_":
            raise Unread  # a base: the caller reads it
        if digits.isdigit():
            return self._mixed(tree)
        return self._exponent(tree)

    def _exponent(self, tree: Tree) -> Tree:
        """1.5e-3, where the letter touches the digits on both sides."""
        ahead = self.tokens[self.place : self.place + 3]
        if ahead and ahead[0].text in ("e", "E") and not ahead[0].spaced:
            sign = len(ahead) > 1 and ahead[1].text in ("-", "+")
            power = ahead[1 + sign] if len(ahead) > 1 + sign else None
            if (
                power
                and power.kind == "number"
                and power.text.isdigit()
                and not power.spaced
                and int(power.text[:4]) <= MAX_EXPONENT
                and len(power.text) <= 4
            ):
                self.place += 2 + sign
                shift = int(power.text) * (-1 if sign and ahead[1].text == "-" else 1)
                digits = tree[2] and (tree[2][0], tree[2][1] - shift)
                return ("num", tree[1] * Fraction(10) ** shift, digits)
        return tree

    def _mixed(self, tree: Tree) -> Tree:
        r"""2\frac13 and 2 1/3 are mixed numbers, where the fraction is proper."""
        ahead = self.tokens[self.place : self.place + 3]
        if ahead and ahead[0].text == r"\frac":
            start = self.place
            top, bottom = self._fraction()
            if _is_integer(top) and _is_integer(bottom) and 0 < top[1] < bottom[1]:
                return ("num", tree[1] + top[1] / bottom[1], None)
            self.place = start
        elif len(ahead) == 3 and ahead[0].kind == ahead[2].kind == "number" and ahead[1].text == "/" and ahead[0].spaced:
            if not (ahead[0].text.isdigit() and ahead[2].text.isdigit()) or not 0 < int(ahead[0].text) < int(ahead[2].text):
                raise Unread
            self.place += 3
            return ("num", tree[1] + Fraction(int(ahead[0].text), int(ahead[2].text)), None)
        return self._exponent(tree)

    def _repeated(self, digits: str) -> Tree | None:
        r"""0.1\overline{6}, 0.\dot{3}, 0.1(6) and 0.333\ldots as fractions."""
        if "." not in digits:
            if self.peek() in (r"\overline", r"\dot") and self.peek(2).isdigit():
                raise Unread  # 3\overline{4}
            return None
        if self.peek() == r"\ldots":
            return self._ellipsis(digits)
        block, length = self._block()
        if not block:
            if digits.endswith("."):
                raise Unread
            return None
        self.place += length
        whole, _, fixed = digits.partition(".")
        return ("num", _repeating(whole, fixed, block), None)

    def _block(self) -> tuple[str, int]:
        """The repeated digits that are next, and how many tokens they take; dots stand over the first and the last digit."""
        if self.peek() in (r"\overline", r"\dot") and self.peek(1) == "{" and self.peek(3) == "}" and self.peek(2).isdigit():
            block, length = self.peek(2), 4
            while self.peek() == r"\dot" and self.peek(length) == r"\dot" and self.peek(length + 2).isdigit():
                block, length = block + self.peek(length + 2), length + 4
            middle = self.peek(4) if self.peek() == r"\dot" else ""
            if middle.isdigit() and self.peek(5) == r"\dot" and self.peek(7).isdigit():  # 0.\dot{1}4285\dot{7}
                return self.peek(2) + middle + self.peek(7), 9
            return block, length
        if self.peek() == "(" and self.peek(2) == ")" and self.peek(1).isdigit() and not self.tokens[self.place].spaced:
            return self.peek(1), 3
        return "", 0

    def _ellipsis(self, digits: str) -> Tree | None:
        """A block that is written three times is repeated for ever."""
        whole, _, fixed = digits.partition(".")
        for size in range(1, len(fixed) // 2 + 1):
            block = fixed[-size:]
            times = 0
            while fixed.endswith(block * (times + 1)):
                times += 1
            if times >= 3:
                self.place += 1
                return ("num", _repeating(whole, fixed[: len(fixed) - times * size], block), None)
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

    def argument(self) -> Tree:
        """What `\\frac` and `\\sqrt` take: braces, or one digit, letter or command."""
        if self.peek() == "{":
            return self.braced()
        if self.place < len(self.tokens) and self.tokens[self.place].kind == "number":
            return self._digit()
        return self.nested(self.atom)

    def _digit(self) -> Tree:
        token = self.take()
        if not token.text.isdigit() or len(token.text) == 1:
            return literal(token.text)
        self.place -= 1
        self.tokens = [
            *self.tokens[: self.place],
            token._replace(text=token.text[0]),
            Token("number", token.text[1:]),
            *self.tokens[self.place + 1 :],
        ]
        return literal(self.take().text)

    def _fraction(self) -> tuple[Tree, Tree]:
        self.take(r"\frac")
        return self.argument(), self.argument()

    def fraction(self) -> Tree:
        top, bottom = self._fraction()
        if _is_integer(top) and _is_integer(bottom) and bottom[1]:
            return ("num", top[1] / bottom[1], None)
        return ("mul", top, ("pow", bottom, MINUS_ONE))

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
        return ("big", operation, variable[1], lower, upper, self.nested(self.product))

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
        if token.upright or token.text.lower() in SHORT_WORDS or not (_splits(token.text) or len(token.text) <= 3):
            raise Unread
        return self._letter_product(token)

    def _letter_product(self, token: Token) -> Tree:
        """A run of letters is their product; a function's name may end it (x sin x without spaces)."""
        pieces = [Token("letters", piece, token.spaced and not place) for place, piece in enumerate(_pieces(token.text))]
        self.tokens = [*self.tokens[: self.place], *pieces, *self.tokens[self.place + 1 :]]
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

    def name(self) -> str:
        token = self.take()
        if token.text in _DECORATIONS:
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise Unread
            if self.peek() == "{":
                self.take()
                inner = self.name()
                while self.peek() not in ("}", ""):
                    inner += self.name()
                self.take("}")
            else:
                inner = self.name()
            self.depth -= 1
            name = f"{token.text[1:]}({inner})"
        elif token.kind == "letters" or token.text in _GREEK:
            name = token.text
        else:
            raise Unread
        return name + self._index_and_primes()

    def _index_and_primes(self) -> str:
        index = primes = ""
        while True:
            if self.peek() == "_" and not index:
                self.take()
                index = "_" + self._index()
            elif self.peek() in ("'", "''"):
                primes += self.take().text
            elif self.peek() == "^" and self._primes_ahead():
                self.take()
                primes += "'" * self._primes_ahead(take=True)
            else:
                return index + primes

    def _primes_ahead(self, take: bool = False) -> int:
        r"""How many primes stand in an exponent: ^\prime, ^{\prime\prime}."""
        place = self.place + (not take)
        braced = place < len(self.tokens) and self.tokens[place].text == "{"
        end = place + braced
        while end < len(self.tokens) and self.tokens[end].text == "'":
            end += 1
        count = end - place - braced
        if not count or (braced and not (end < len(self.tokens) and self.tokens[end].text == "}")):
            return 0
        if take:
            self.place = end + braced
        return count

    def _index(self) -> str:
        """An index by its spelling, without grouping braces."""
        if self.peek() != "{":
            token = self.take()
            if token.kind not in ("number", "letters") and token.text not in _IN_INDEX:
                raise Unread
            return token.text
        self.take()
        pieces = []
        depth = 1
        while True:
            token = self.take()
            depth += (token.text == "{") - (token.text == "}")
            if not depth:
                return "".join(pieces)
            if token.text not in ("{", "}"):
                pieces.append(token.text)

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
            while self.peek() == "," and name in _SEVERAL:
                self.take()
                arguments.append(self.nested(self.sum_in_brackets))
            self.take(_CLOSING[opening])
            return arguments
        if name in _SEVERAL - {"log"} or name in ("sqrt", "exp", "abs", "floor", "ceil", "ratio", "factorial"):
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


# --- small builders


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


def _is_integer(tree: Tree) -> bool:
    return tree[0] == "num" and tree[1].denominator == 1 and tree[2] is None


def _is_number(tree: Tree) -> bool:
    return tree[0] == "num" or (tree[0] == "pow" and tree[2] == MINUS_ONE and tree[1][0] == "num")


def _repeating(whole: str, fixed: str, block: str) -> Fraction:
    if len(fixed) + len(block) > 200:
        raise Unread
    bottom = 10 ** len(fixed) * (10 ** len(block) - 1)
    return int(whole or 0) + Fraction(int(fixed + block) - int(fixed or 0), bottom)


def _splits(text: str) -> bool:
    return len(_pieces(text)) < len(text)


def _pieces(text: str) -> list[str]:
    """Letters of a run, with the name of a function at its end or start in one piece: `xsin`, `sinx`."""
    for size in (6, 5, 4, 3, 2):
        if 0 < len(text) - size <= 2:
            if text[-size:] in FUNCTIONS or text[-size:] == "pi":
                return [*text[:-size], text[-size:]]
            if text[:size] in FUNCTIONS and len(text) - size == 1:
                return [text[:size], *text[size:]]
    return list(text)
