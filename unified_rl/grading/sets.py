r"""Sets and tuples: brackets, unions and intersections of intervals, {x | condition}, \mathbb{R}."""

from __future__ import annotations

from collections.abc import Callable

from unified_rl.grading import names
from unified_rl.grading.brackets import closing, split
from unified_rl.grading.nodes import EMPTY, Items, Named, Node, RealSet, Scalar, are
from unified_rl.grading.realsets import ALL, complement, intersection, interval, is_infinite, point, union
from unified_rl.grading.tokens import Token, Unread

Reader = Callable[[list[Token]], Node]

MAX_ITEMS = 400
_CLOSED_BY = {"(": ")]", "[": ")]", "{": "}", r"\{": (r"\}",), r"\langle": (r"\rangle",)}
_NAMED = {"all real numbers": ALL, "all reals": ALL, "the empty set": EMPTY, "empty set": EMPTY}


def items(kind: str, parts: list[list[Token]], read: Reader, brackets: str = "") -> Node:
    """Raises Unread where there are too many."""
    if len(parts) > MAX_ITEMS:
        raise Unread
    return Items(kind, tuple(map(read, parts)), brackets)


def set_operation(tokens: list[Token], read: Reader) -> Node | None:
    r"""A \cup B \cap C \setminus D, from the left; \cap binds tighter than \cup."""
    if len(parts := split(tokens, (r"\cup", "U"))) > 1 and all(_looks_like_set(part) for part in parts):
        return _operation([_real_set(part, read) for part in parts], "union")
    if len(parts := split(tokens, (r"\cap",))) > 1 and all(_looks_like_set(part) for part in parts):
        return _operation([_real_set(part, read) for part in parts], "intersection")
    if len(parts := split(tokens, (r"\setminus", "-"))) == 2 and all(_looks_like_set(part) for part in parts):
        left, right = (_real_set(part, read) for part in parts)
        return intersection(left, complement(right))
    if any(token.text in (r"\cup", r"\cap", r"\setminus") for token in tokens):
        raise Unread
    return None


def _looks_like_set(tokens: list[Token]) -> bool:
    if not tokens:
        return False
    first, last = tokens[0].text, tokens[-1].text
    bracketed = (
        first in ("(", "[", r"\{", "{") and last in (")", "]", r"\}", "}") and any(token.text == "," for token in tokens)
    )
    single = first in (r"\{", "{") and last in (r"\}", "}")
    return (
        bracketed
        or single
        or tokens[0].text.startswith(r"\mathbb")
        or first == r"\emptyset"
        or (first == "R" and len(tokens) == 1)
    )


def _operation(sets: list[RealSet], kind: str) -> RealSet:
    return union([part for one in sets for part in one.intervals]) if kind == "union" else intersection(*sets)


def _real_set(tokens: list[Token], read: Reader) -> RealSet:
    if [token.text for token in tokens] == ["R"]:
        return ALL
    found = as_real_set(read(tokens))
    if found is None:
        raise Unread
    return found


def as_real_set(node: Node) -> RealSet | None:
    """An interval, a finite set of numbers, or a set of reals; None for anything else."""
    if isinstance(node, RealSet):
        return node
    if isinstance(node, Items) and node.items and are(node.items, Scalar):
        try:
            if node.kind == "tuple" and len(node.items) == 2:
                return _interval(node)
            if node.kind == "set":
                return union([point(item) for item in node.items])
        except Unread:
            return None
    return None


def _interval(pair: Items) -> RealSet | None:
    """A pair as an interval: only where its ends are in order, and infinite ones are open. (3, 1) is a point."""
    low, high = pair.items
    closed = (pair.brackets[0] == "[", pair.brackets[1] == "]")
    if not (isinstance(low, Scalar) and isinstance(high, Scalar)):
        return None
    if any(shut and is_infinite(end) for shut, end in zip(closed, (low, high), strict=True)):
        return None
    found = interval(low, high, closed)
    return found if found.intervals and found.intervals[0].low != found.intervals[0].high else None


def brackets(tokens: list[Token], read: Reader) -> Node | None:
    first = tokens[0].text
    if first not in ("(", "[", "{", r"\{", r"\langle") or closing(tokens, 0) != len(tokens) - 1:
        return None
    last, inner = tokens[-1].text, tokens[1:-1]
    if last not in _CLOSED_BY[first]:
        raise Unread
    if first in ("{", r"\{"):
        return _set(first, inner, read)
    if not inner:
        raise Unread
    parts = split(inner, (";",))  # where commas are decimal
    if len(parts) == 1:
        parts = split(inner, (",",))
    if len(parts) == 1:
        return read(inner) if (first, last) in (("(", ")"), ("[", "]")) and len(inner) < len(tokens) else None
    if any(not part for part in parts):
        raise Unread
    return items("tuple", parts, read, "()" if first == r"\langle" else first + last)


def _set(opening: str, inner: list[Token], read: Reader) -> Node:
    if not inner and opening == "{":
        raise Unread  # an empty group
    if not inner:
        return EMPTY
    for mark in ("|", ":"):
        condition = split(inner, (mark,))
        if len(condition) == 2 and condition[0] and condition[1]:
            return _set_of_solutions(condition[0], condition[1], read)
    return items("set", [part for part in split(inner, (",",)) if part], read)


def _set_of_solutions(head: list[Token], condition: list[Token], read: Reader) -> Node:
    r"""{x | x > 2} and {x \in \mathbb{R} | x > 2}: the values of the letter."""
    parts = split(head, (r"\in",))
    name = names.name_of(parts[0])
    if (
        len(parts) > 2
        or name is None
        or (len(parts) == 2 and [token.text for token in parts[1]] not in ([r"\mathbb{R}"], ["R"]))
    ):
        raise Unread
    node = read(condition)
    if isinstance(node, Named) and node.name == name.text:
        found = as_real_set(node.value)
        if found is not None or isinstance(node.value, Items):
            return node.value if found is None else found
        return Items("set", (node.value,))
    if isinstance(node, Items) and are(node.items, Named) and all(item.name == name.text for item in node.items):
        return Items("set", tuple(item.value for item in node.items))
    raise Unread


def named_set(tokens: list[Token], read: Reader) -> Node | None:
    del read
    words = " ".join(token.text.lower() for token in tokens)
    if words in _NAMED:
        return _NAMED[words]
    if len(tokens) == 1:
        if tokens[0].text == r"\emptyset":
            return EMPTY
        if tokens[0].text == r"\mathbb{R}":
            return ALL
        if tokens[0].text.startswith(r"\mathbb"):
            return Scalar(("sym", tokens[0].text))
    return None
