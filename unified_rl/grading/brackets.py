r"""Brackets over tokens: matching and splitting outside them. ( and [ may close each other, as in half-open intervals."""

from __future__ import annotations

from collections.abc import Collection

from unified_rl.grading.tokens import Token

OPEN = frozenset(("(", "[", "{", r"\{", r"\langle", r"\lfloor", r"\lceil"))
CLOSE = frozenset((")", "]", "}", r"\}", r"\rangle", r"\rfloor", r"\rceil"))


def level(text: str) -> int:
    """How a token changes the depth; environments count as brackets."""
    if text in OPEN or text.startswith(r"\begin{"):
        return 1
    return -1 if text in CLOSE or text.startswith(r"\end{") else 0


def balanced(tokens: list[Token]) -> bool:
    depth = 0
    for token in tokens:
        depth += level(token.text)
        if depth < 0:
            return False
    return depth == 0


def closing(tokens: list[Token], start: int) -> int | None:
    """Place of the bracket that closes the one at `start`, None if there is none."""
    depth = 0
    for place in range(start, len(tokens)):
        depth += level(tokens[place].text)
        if depth == 0:
            return place
    return None


def split(tokens: list[Token], separators: Collection[str]) -> list[list[Token]]:
    """Parts between separators outside all brackets."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += level(token.text)
        if not depth and (token.text in separators or (token.kind == "letters" and token.text.lower() in separators)):
            parts.append([])
        else:
            parts[-1].append(token)
    return parts
