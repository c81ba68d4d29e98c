"""A place in a list of tokens, and how deep in brackets it is: what every part of the parser stands on."""

from __future__ import annotations

from collections.abc import Callable

from unified_rl.grading.tokens import Token, Unread
from unified_rl.grading.trees import Tree

MAX_DEPTH = 40


class Cursor:
    """Reads from `tokens[place:]`; `place` then stands behind what was read. All methods raise Unread."""

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

    def atom(self) -> Tree:
        raise NotImplementedError

    def braced(self) -> Tree:
        raise NotImplementedError
