r"""The left side of `name = value`: what only names the answer (x, f(x), a_{10}, AB, P(A), \angle ABC, AC/BD, area), in full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from unified_rl.grading.brackets import split
from unified_rl.grading.expression import Parser
from unified_rl.grading.functions import FUNCTIONS
from unified_rl.grading.nodes import Named, Node
from unified_rl.grading.tokens import Token, Unread
from unified_rl.grading.trees import Tree
from unified_rl.grading.words import NOT_COUNTED, OPERATORS

_IS = ("等于", "是", "为", "共有", "一共有", "共")
_NOT_IN_STATEMENT = "不非无没可能大小于超过至少多"
_INVERTIBLE = frozenset("fghABCDFGHMPQRST")  # functions and matrices: x^{-1} is 1/x
_PREFIXES = (r"\angle", r"\triangle", r"\Delta", r"\delta", "m", "S")


@dataclass(frozen=True)
class Name:
    """`text`: the whole name. `bound`: x in f(x), `head` then f. `parts`: of a tuple of names."""

    text: str
    tree: Tree | None = None
    head: str = ""
    bound: str = ""
    parts: tuple[str, ...] = ()


def name_of(tokens: list[Token]) -> Name | None:
    """The name that a side of an equation is; None where it is an expression of its own (x^2, 2x, \\ln x)."""
    if not tokens or len(tokens) > 40:
        return None
    if tokens[0].text == "(" and tokens[-1].text == ")":
        parts = [name_of(part) for part in split(tokens[1:-1], (",",))]
        if len(parts) > 1 and all(parts):
            texts = tuple(part.text for part in parts if part)
            return Name(f"({','.join(texts)})", parts=texts)
        return None
    return _words(tokens) or _symbol(tokens) or _geometry(tokens) or _quotient(tokens)


def _words(tokens: list[Token]) -> Name | None:
    """A word, or several: area, total cost, 周长."""
    if tokens[0].kind == "cjk" and len(tokens) == 1:
        return Name(tokens[0].text)
    if not all(token.kind == "letters" for token in tokens) or tokens[0].text in FUNCTIONS:
        return None
    words = [token.text.lower() for token in tokens]
    if any(word in NOT_COUNTED or word in OPERATORS for word in words):
        return None
    if any(len(word) > 3 or token.upright for word, token in zip(words, tokens, strict=True)) and (
        len(words) > 1 or len(words[0]) > 1
    ):
        return Name(" ".join(words))
    return None


def _symbol(tokens: list[Token]) -> Name | None:
    """A letter with its index, a segment AB, or a function of letters."""
    inverse = [token.text for token in tokens[1:6]]
    if inverse[:5] == ["^", "{", "-", "1", "}"] and tokens[0].text in _INVERTIBLE:
        rest = "".join(token.text for token in tokens[6:])
        return (
            Name(f"{tokens[0].text}^-1{rest}")
            if len(tokens) == 6 or (tokens[6].text == "(" and tokens[-1].text == ")")
            else None
        )
    parser = Parser(tokens)
    try:
        tree = parser.atom()
    except Unread:
        return _applied(tokens)
    if parser.place < len(parser.tokens):
        return _applied(tokens)
    if tree[0] == "sym":
        return Name(tree[1], tree)
    if tree[0] == "fn" and tree[1][0] == "@":
        arguments = [part[1] if part[0] == "sym" else None for part in tree[2:]]
        text = f"{tree[1][1:]}({','.join(str(argument) for argument in arguments)})" if None not in arguments else ""
        bound = (
            arguments[0] if len(arguments) == 1 and arguments[0] and len(arguments[0]) == 1 and arguments[0].islower() else ""
        )
        return Name(text or spelled(tokens), tree, tree[1][1:], bound or "")
    return None


def _applied(tokens: list[Token]) -> Name | None:
    r"""A letter before brackets around everything else: E(X), P(A|B), n_\gamma(\nu)."""
    parser = Parser(tokens)
    try:
        head = parser.name()
    except Unread:
        return None
    rest = parser.tokens[parser.place :]
    if (
        len(rest) < 3
        or rest[0].text != "("
        or rest[-1].text != ")"
        or any(token.text in ("+", "-", "*", "/", "(") for token in rest[1:])
    ):
        return None
    bound = (
        rest[1].text
        if len(rest) == 3 and rest[1].kind == "letters" and len(rest[1].text) == 1 and rest[1].text.islower()
        else ""
    )
    return Name(f"{head}({spelled(rest[1:-1])})", None, head, bound)


def _geometry(tokens: list[Token]) -> Name | None:
    r"""\angle ABC, m\angle A, |AB|."""
    if tokens[0].text in _PREFIXES and len(tokens) in (2, 3) and tokens[-1].kind == "letters":
        return Name(spelled(tokens)) if any(token.text in _PREFIXES[:4] for token in tokens[:-1]) else None
    if tokens[0].text == tokens[-1].text == "|" and len(tokens) == 3 and tokens[1].text.isupper():
        return Name(spelled(tokens[1:-1])) if len(tokens[1].text) > 1 else None
    return None


def _quotient(tokens: list[Token]) -> Name | None:
    """AC/BD, AC:BD, \\frac{dy}{dx}: of names."""
    if tokens[0].text == r"\frac" and tokens[-1].text == "}":
        depth, end = 0, 1
        for end in range(1, len(tokens)):
            depth += (tokens[end].text == "{") - (tokens[end].text == "}")
            if depth == 0:
                break
        parts = [tokens[2:end], tokens[end + 2 : -1]]
        if tokens[1].text != "{" or tokens[end + 1 : end + 2] == [] or tokens[end + 1].text != "{":
            return None
        return _joined(parts, "/")
    for mark in ("/", ":"):
        parts = split(tokens, (mark,))
        if len(parts) > 1:
            return _joined(parts, mark)
    return None


def _joined(parts: list[list[Token]], mark: str) -> Name | None:
    found = [_symbol(part) or _differential(part) for part in parts]
    return Name(mark.join(part.text for part in found if part)) if all(found) else None


def _differential(tokens: list[Token]) -> Name | None:
    return Name(tokens[0].text) if len(tokens) == 1 and tokens[0].kind == "letters" and len(tokens[0].text) == 2 else None


def spelled(tokens: list[Token]) -> str:
    return "".join(token.text for token in tokens if token.text not in ("{", "}"))


def chinese_statement(tokens: list[Token], read: Callable[[list[Token]], Node]) -> Node | None:
    """周长是24厘米: what is before 是 names the answer."""
    if tokens[0].kind != "cjk" or len(tokens) < 2:
        return None
    text = tokens[0].text
    word = next((word for word in _IS if text.endswith(word)), None)
    if word is None or any(letter in _NOT_IN_STATEMENT for letter in text):
        return None
    return Named(text.removesuffix(word) or "?", read(tokens[1:]))
