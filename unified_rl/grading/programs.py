"""What sympy prints (Eq(a, b), FiniteSet(1, 2), Interval(0, 1), Matrix([[1, 2], [3, 4]])) as mathematics: tokens to tokens."""

from __future__ import annotations

from unified_rl.grading.brackets import closing, split
from unified_rl.grading.tokens import Token


def is_program_object(tokens: list[Token]) -> bool:
    return len(tokens) > 3 and tokens[0].text in ("Eq", "FiniteSet", "Matrix", "Interval") and tokens[-1].text == ")"


def program_object(tokens: list[Token]) -> list[Token]:
    """What sympy prints: Eq(a, b), FiniteSet(1, 2), Interval(0, 1), Matrix([[1, 2], [3, 4]]), as mathematics."""
    kind = tokens[0].text
    start = next(place for place, token in enumerate(tokens) if token.text == "(")
    variant = "".join(token.text for token in tokens[1:start])
    if closing(tokens, start) != len(tokens) - 1:
        return tokens
    inner = tokens[start + 1 : -1]
    parts = split(inner, (",",))
    if kind == "FiniteSet":
        return [Token("command", r"\{"), *inner, Token("command", r"\}")]
    if kind == "Matrix" and not variant:
        return inner
    if kind == "Eq" and len(parts) == 2 and not variant:
        return [*parts[0], Token("sign", "="), *parts[1]]
    brackets = {"": "[]", ".open": "()", ".Lopen": "(]", ".Ropen": "[)"}.get(variant)
    if kind == "Interval" and brackets and len(parts) == 2:
        return [Token("sign", brackets[0]), *inner, Token("sign", brackets[1])]
    return tokens
