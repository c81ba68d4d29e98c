r"""Names in an expression: a letter with its decoration, index and primes (\\bar{x}, v_{0}, f'), spelled in one way."""

from __future__ import annotations

from unified_rl.grading.cursor import MAX_DEPTH, Cursor
from unified_rl.grading.functions import DECORATIONS, GREEK
from unified_rl.grading.tokens import Unread

_IN_INDEX = GREEK | frozenset(
    (r"\triangle", r"\odot", r"\oplus", r"\star", r"\infty", r"\pi", r"\max", r"\min", r"\parallel", r"\perp", r"\circ")
)


class NameParser(Cursor):
    """What begins with a letter or its decoration."""

    def name(self) -> str:
        token = self.take()
        if token.text in DECORATIONS:
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
        elif token.kind == "letters" or token.text in GREEK:
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
        pieces: list[str] = []
        depth = 1
        while True:
            token = self.take()
            depth += (token.text == "{") - (token.text == "}")
            if not depth:
                return "".join(pieces)
            if token.text not in ("{", "}"):
                pieces.append(token.text)
