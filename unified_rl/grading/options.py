"""Letters of a multiple-choice question: B, (B), B. 42, "A, C", ACD; not a sentence about one, nor a choice between them."""

from __future__ import annotations

import re

from unified_rl.grading.nodes import Options
from unified_rl.grading.tokens import Token


def read_options(tokens: list[Token]) -> Options | None:
    """B, (B), B. 42, "A, C", ACD: letters of a multiple-choice question; None for anything else."""
    texts = [token.text for token in tokens if token.text not in ("(", ")", "{", "}", "[", "]")]
    if len(texts) == 1 and re.fullmatch(r"[A-Z]|[A-H]{2,8}", texts[0]):
        word = texts[0]
        return Options(word) if len(word) == 1 or list(word) == sorted(set(word)) else None
    letters = [text for text in texts if text not in (",", "and", ";", "、", "和")]
    if len(letters) > 1 and all(re.fullmatch("[A-H]", letter) for letter in letters) and len(texts) < 2 * len(letters):
        glued = len(texts) == len(letters) and not any(token.text == "(" or token.spaced for token in tokens[1:])
        return None if glued or len(set(letters)) < len(letters) else Options("".join(sorted(letters)))
    return _leading_option(tokens)


MAX_OPTION = 60  # tokens of an option's own text
_VERDICT_WORDS = """
is are was were be not no nor neither or and but wrong incorrect false true correct right invalid fails fail isn
cannot can never except unless if because since though only also both either eliminated excluded impossible unlikely
rejected
"""
_VERDICTS = frozenset(_VERDICT_WORDS.split())


def _leading_option(tokens: list[Token]) -> Options | None:
    """B. 42, (C) the mean: a letter, a mark, and the option's own text, which names no other letter and passes no verdict."""
    opened = tokens[:1] != [] and tokens[0].text == "("
    letter, mark = tokens[opened : opened + 1], tokens[opened + 1 : opened + 2]
    if (
        not letter
        or not mark
        or not re.fullmatch("[A-H]", letter[0].text)
        or mark[0].text not in ((")",) if opened else (".", ")", ":"))
    ):
        return None
    rest = tokens[opened + 2 :]
    if not rest or any(re.fullmatch("[A-H]", token.text) or token.text.lower() in _VERDICTS for token in rest):
        return None
    if mark[0].text in (":", ".") and not opened and len(rest) > 1 and rest[0].kind == "number" and _is_ratio(rest):
        return None
    return Options(letter[0].text) if len(rest) < MAX_OPTION else None


def _is_ratio(tokens: list[Token]) -> bool:
    return any(token.text == ":" for token in tokens)
