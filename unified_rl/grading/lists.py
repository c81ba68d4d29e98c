"""Lists without brackets, alternatives and conjunctions: "1, 2 and 3", "x < 1 or x > 3", "x > 0 and x \\neq 1", "1; 2"."""

from __future__ import annotations

from collections.abc import Callable

from unified_rl.grading.brackets import CLOSE, OPEN, split
from unified_rl.grading.nodes import Named, Node, RealSet, Scalar, are
from unified_rl.grading.realsets import intersection, point, union
from unified_rl.grading.sets import items
from unified_rl.grading.tokens import Token, Unread
from unified_rl.grading.trees import are_thousands

Reader = Callable[[list[Token]], Node]

_OR = frozenset(("or", "或", "或者", "或是"))
_AND = frozenset(("and", "和", "与", "及", "以及", "&"))
_RELATIONS = frozenset(("=", "<", ">", r"\le", r"\ge", r"\neq", r"\in", r"\approx", r"\sim", r"\equiv"))


def read_list(tokens: list[Token], read: Reader) -> Node | None:
    """Members between semicolons, commas and words; None for one alone. Conditions on one letter are one set. Raises Unread."""
    if len(parts := split(tokens, (";",))) > 1:
        return items("list", parts, read)
    alternatives = split(tokens, _OR)
    if len(alternatives) > 1:
        return _either(alternatives, read)
    both = split(tokens, _AND | {r"\wedge"})
    if len(both) > 1 and any(token.text == r"\wedge" for token in tokens) and not all(_is_relation(part) for part in both):
        raise Unread
    if len(both) > 1 and all(_is_relation(part) for part in both):
        if (found := _conditions(list(map(read, both)), together=True)) is not None:
            return found
        if len({len(split(part, (",",))) for part in both}) == 1 and len(split(both[0], (",",))) > 1:
            return items("list", both, read)
    parts = [piece for part in both for piece in split(part, (",",))]
    if (excluded := _excluded(parts)) is not None:
        return _conditions(list(map(read, excluded)), together=True)
    if len(parts) > 1:
        if any(not part for part in parts):
            parts = [part for part in parts if part]
        return items("list", parts, read)
    return None


def _excluded(parts: list[list[Token]]) -> list[list[Token]] | None:
    r"""x \neq 2, 3 as x \neq 2 and x \neq 3; None for anything else."""
    signs = [token.text for token in parts[0] if token.text in _RELATIONS]
    if len(parts) < 2 or signs != [r"\neq"] or any(not part or _is_relation(part) for part in parts[1:]):
        return None
    place = next(place for place, token in enumerate(parts[0]) if token.text == r"\neq")
    return [parts[0], *(parts[0][: place + 1] + part for part in parts[1:])]


def _either(alternatives: list[list[Token]], read: Reader) -> Node:
    """x < 1 or x > 3 is a union; other alternatives are a list."""
    if any(not part for part in alternatives):
        raise Unread
    if all(_is_relation(part) for part in alternatives):
        found = _conditions(list(map(read, alternatives)), together=False)
        if found is not None:
            return found
    counts = {len(split(part, (",",))) for part in alternatives}
    if len(counts) == 1 and counts != {1}:
        return items("list", alternatives, read)
    pieces = [piece for part in alternatives for both in split(part, _AND) for piece in split(both, (",",)) if piece]
    return items("list", pieces, read)


def _conditions(nodes: list[Node], together: bool) -> Node | None:
    """Conditions on one letter as the set of its values; None where they are none (or are all equations)."""
    if not are(nodes, Named) or len({node.name for node in nodes}) != 1:
        return None
    if not any(isinstance(node.value, RealSet) for node in nodes):
        return None
    sets: list[RealSet] = []
    for node in nodes:
        value = node.value
        if isinstance(value, Scalar):
            value = union([point(value)])
        if not isinstance(value, RealSet):
            return None
        sets.append(value)
    total = intersection(*sets) if together else union([part for one in sets for part in one.intervals])
    return Named(nodes[0].name, total, nodes[0].left)


def _is_relation(tokens: list[Token]) -> bool:
    return any(token.text in _RELATIONS for token in tokens)


def parted_or(tokens: list[Token]) -> list[Token]:
    """`2orx=3`: a word that touches what it parts."""
    parted = []
    for place, token in enumerate(tokens):
        word = next((word for word in ("and", "or") if token.text.startswith(word)), None)
        behind = tokens[place - 1] if place else None
        if (
            token.kind == "letters"
            and word
            and len(token.text) == len(word) + 1
            and behind
            and behind.text[-1] in "0123456789)}]"
        ):
            parted += [token._replace(text=word), Token("letters", token.text[len(word) :])]
        else:
            parted.append(token)
    return parted


def joined_thousands(tokens: list[Token]) -> list[Token]:
    """1,234 outside brackets as one number: groups of three behind commas without spaces, where other commas have spaces."""
    if not any(token.text == "," for token in tokens):
        return tokens
    joined: list[Token] = []
    place = depth = 0
    while place < len(tokens):
        token = tokens[place]
        depth += (token.text in OPEN) - (token.text in CLOSE)
        end = place + 1
        if token.kind == "number" and not depth:
            while (
                end + 1 < len(tokens)
                and tokens[end].text == ","
                and tokens[end + 1].kind == "number"
                and not tokens[end + 1].spaced
            ):
                end += 2
        texts = [part.text for part in tokens[place:end]]
        if end > place + 1 and are_thousands(texts):
            joined.append(Token("number", "".join(texts), token.spaced))
        else:
            joined += tokens[place:end]
        place = end
    return joined
