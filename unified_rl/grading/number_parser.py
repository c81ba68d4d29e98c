r"""Numbers in an expression: decimals, mixed and repeating ones, 1.5e-3; and the arguments of `\frac`, which may be one digit."""

from __future__ import annotations

from fractions import Fraction

from unified_rl.grading.cursor import Cursor
from unified_rl.grading.numbers import MAX_EXPONENT
from unified_rl.grading.tokens import Token, Unread
from unified_rl.grading.trees import Tree, is_integer, literal, repeating


class NumberParser(Cursor):
    r"""What begins with digits, and `\frac`."""

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
            top, bottom = self.fraction_parts()
            if is_integer(top) and is_integer(bottom) and 0 < top[1] < bottom[1]:
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
        return ("num", repeating(whole, fixed, block), None)

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
                return ("num", repeating(whole, fixed[: len(fixed) - times * size], block), None)
        raise Unread

    def argument(self) -> Tree:
        """What `\frac` and `\\sqrt` take: braces, or one digit, letter or command."""
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

    def fraction_parts(self) -> tuple[Tree, Tree]:
        self.take(r"\frac")
        return self.argument(), self.argument()
