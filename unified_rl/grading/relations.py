r"""Equations, inequalities, membership and congruences, from their sides and signs."""

from __future__ import annotations

from collections.abc import Callable

from unified_rl.grading.brackets import level, split
from unified_rl.grading.names import Name, name_of
from unified_rl.grading.nodes import Congruence, Items, Named, Node, RealSet, Relation, Scalar
from unified_rl.grading.realsets import ALL, HIGHEST, LOWEST, intersection, interval, solve
from unified_rl.grading.scalars import read_scalar
from unified_rl.grading.tokens import Token, Unread
from unified_rl.grading.trees import Tree, symbols
from unified_rl.grading.values import NoValue, evaluate, same, within

Reader = Callable[[list[Token]], Node]

NEAR = 0.01  # of an approximation beside the exact value

_SIGNS = frozenset(("=", "<", ">", r"\le", r"\ge", r"\neq", r"\in", r"\approx", r"\sim", r"\equiv"))
_OTHER_SIGNS = r"""
\notin \subset \supset \subseteq \supseteq \to \leftarrow \Rightarrow \Leftarrow \Leftrightarrow \leftrightarrow \cong
\perp \parallel \wedge \vee \neg \forall \exists \mapsto \propto
"""
_OTHERS = frozenset(_OTHER_SIGNS.split())


def parts(tokens: list[Token]) -> tuple[list[list[Token]], list[str]]:
    """Sides and signs outside brackets. Raises Unread at a sign of logic or geometry, which no value has."""
    sides: list[list[Token]] = [[]]
    ops: list[str] = []
    depth = 0
    for token in tokens:
        depth += level(token.text)
        sign = "=" if token.kind == "letters" and token.text.lower() == "equals" else token.text
        if not depth and sign in _OTHERS:
            raise Unread
        if not depth and sign in _SIGNS:
            ops.append(r"\approx" if sign == r"\sim" else sign)
            sides.append([])
        else:
            sides[-1].append(token)
    return sides, ops


def read_relation(sides: list[list[Token]], ops: list[str], read: Reader) -> Node:
    """Raises Unread."""
    sides, ops = _without_approximation(sides, ops)
    if not ops:
        return read(sides[0])
    if any(not side for side in sides[1:]):
        raise Unread
    if not sides[0]:
        if ops != ["="]:
            raise Unread
        return read(sides[1])
    if r"\equiv" in ops:
        return _congruence(sides, ops)
    if set(ops) == {"="}:
        return _equation(sides, read)
    if ops == [r"\in"]:
        name = name_of(sides[0])
        if name is None:
            raise Unread
        return Named(name.text, read(sides[1]), name.tree)
    if set(ops) <= {"<", r"\le"} or set(ops) <= {">", r"\ge"} or ops == [r"\neq"]:
        return _inequality(sides, ops)
    if (
        ops[0] == "="
        and r"\in" not in ops
        and (name := name_of(sides[0])) is not None
        and len(name.text) == 1
        and name.text.isupper()
    ):
        return read_relation(sides[1:], ops[1:], read)  # D = x < 3
    raise Unread


def _without_approximation(sides: list[list[Token]], ops: list[str]) -> tuple[list[list[Token]], list[str]]:
    r"""`exact \approx decimal` is the exact value; `name \approx value` is `name = value`."""
    if r"\approx" not in ops:
        return sides, ops
    place = ops.index(r"\approx")
    if place == 0 and len(sides) == 2 and sides[0] and not _close(sides[0], sides[1]):
        raise Unread  # 64 \approx 65
    if place == 0 and (not sides[0] or name_of(sides[0]) is not None):
        return (sides[:2], ["="]) if sides[0] else (sides[1:2], [])
    return sides[: place + 1], ops[:place]


def _close(left: list[Token], right: list[Token]) -> bool:
    """Whether an approximation can be one: two numbers within a percent, or not two numbers."""
    try:
        values = [evaluate(expression(side), {}) for side in (left, right)]
    except (Unread, NoValue):
        return True
    return within(values[0], values[1], NEAR)


def expression(tokens: list[Token]) -> Tree:
    """The tree of a side; degrees and percent have no place here."""
    scalar = read_scalar(tokens)
    if scalar.unit.dimensions or scalar.percent or scalar.degree or scalar.base:
        raise Unread
    return scalar.tree


# --- equations


def _equation(sides: list[list[Token]], read: Reader) -> Node:
    """`name = value`; of a chain the last side; else the equation itself."""
    found = [name_of(side) for side in sides]
    named = next((name for name in found[:-1] if name is not None), None)
    if named is not None and (found[0] is not None or len(sides) > 2):
        return _named(named, read(sides[-1]))
    if len(sides) == 2 and found[1] is not None:
        return _named(found[1], read(sides[0]))
    trees = [expression(side) for side in (sides[0], sides[-1])]
    if not any(map(symbols, trees)):
        if len(sides) == 2 and (not _equal_numbers(*trees) or sides[0] == sides[1]):
            raise Unread  # 3 = 4, 3 = 3
        return read(sides[-1])  # 5 + 5 + 1 = 11
    if len(sides) > 2:
        raise Unread
    return Relation((trees[0], trees[1]), ("=",))


def _equal_numbers(left: Tree, right: Tree) -> bool:
    try:
        return same(evaluate(left, {}), evaluate(right, {}))
    except NoValue:
        return False


def _named(name: Name, value: Node) -> Node:
    """(x, y) = (1, 2) as x = 1, y = 2."""
    if name.parts and isinstance(value, Items) and value.kind == "tuple" and len(value.items) == len(name.parts):
        return Items("list", tuple(Named(part, item) for part, item in zip(name.parts, value.items, strict=True)), "()")
    if isinstance(value, Scalar) and name.tree is not None and name.tree[0] == "sym" and name.text in symbols(value.tree):
        return Relation((name.tree, value.tree), ("=",))  # x = x + 1 names nothing
    return Named(name.text if not name.bound else f"{name.head}({name.bound})", value, name.tree, name.bound)


# --- inequalities


def _inequality(sides: list[list[Token]], ops: list[str]) -> Node:
    """The set of a letter's values where it can be solved for, else the inequality itself."""
    if ops == [r"\neq"] and any(token.text == r"\pm" for token in sides[1]):
        return _neither(sides)
    if ops[0] in (">", r"\ge"):
        sides = sides[::-1]
        ops = ["<" if op == ">" else r"\le" for op in ops[::-1]]
    names = [name_of(side) for side in sides]
    simple = _simple(sides, ops, names) if ops != [r"\neq"] else None
    if simple is not None:
        return simple
    trees = [expression(side) for side in sides]
    letters = frozenset().union(*map(symbols, trees))
    plain = [name for name in names if name is not None and name.tree is not None]
    if len(letters) == 1:
        (letter,) = letters
        if letter[0] != "@":
            try:
                total = ALL
                for left, op, right in zip(trees, ops, trees[1:], strict=False):
                    total = intersection(total, solve(left, op, right))
                return Named(letter, total, ("sym", letter))
            except Unread:
                pass
    del plain
    return Relation(tuple(trees), tuple(ops))


def _neither(sides: list[list[Token]]) -> Node:
    r"""x \neq \pm 1: neither of the two."""
    nodes = []
    for sign in ("+", "-"):
        side = [token._replace(kind="sign", text=sign) if token.text == r"\pm" else token for token in sides[1]]
        nodes.append(_inequality([sides[0], side], [r"\neq"]))
    first, second = nodes
    if not (isinstance(first, Named) and isinstance(first.value, RealSet)):
        raise Unread
    if not (isinstance(second, Named) and isinstance(second.value, RealSet)):
        raise Unread
    return Named(first.name, intersection(first.value, second.value), first.left)


def _simple(sides: list[list[Token]], ops: list[str], names: list[Name | None]) -> Node | None:
    """x < 2, 1 < f(x) <= n: one side is the name, the others are the ends."""
    places = [place for place, name in enumerate(names) if name is not None]
    if len(sides) == 3 and 1 in places:
        places = [1]  # a <= x <= b
    if len(places) != 1 or len(sides) > 3 or (len(sides) == 3 and places != [1]):
        return None
    name = names[places[0]]
    ends = [read_scalar(side) for place, side in enumerate(sides) if place != places[0]]
    if name is None or any(name.text in symbols(end.tree) for end in ends):
        return None
    closed = [op == r"\le" for op in ops]
    if len(sides) == 3:
        value = interval(ends[0], ends[1], (closed[0], closed[1]))
    elif places == [0]:
        value = interval(LOWEST, ends[0], (False, closed[0]))
    else:
        value = interval(ends[0], HIGHEST, (closed[0], False))
    return Named(name.text, value, name.tree)


# --- congruences


def modulus(tokens: list[Token]) -> tuple[list[Token], list[Token]] | None:
    r"""(what stands before, the modulus) of `... \pmod{m}` and `... (mod m)`; None for anything else."""
    for place, token in enumerate(tokens):
        if place and token.text == r"\pmod":
            rest = tokens[place + 1 :]
            return tokens[:place], rest[1:-1] if rest[:1] and rest[0].text == "{" else rest
        if (
            place
            and token.text == "("
            and tokens[place + 1 : place + 2]
            and tokens[place + 1].text in ("mod", r"\bmod", "modulo")
        ):
            return (tokens[:place], tokens[place + 2 : -1]) if tokens[-1].text == ")" else None
    return None


def _congruence(sides: list[list[Token]], ops: list[str]) -> Node:
    if ops != [r"\equiv"]:
        raise Unread
    found = modulus(sides[1]) or _plain_modulus(sides[1])
    if found is None:
        raise Unread
    return Congruence(expression(sides[0]), expression(found[0]), expression(found[1]))


def _plain_modulus(tokens: list[Token]) -> tuple[list[Token], list[Token]] | None:
    """3 mod 7 without brackets, behind a sign of congruence."""
    halves = split(tokens, ("mod", r"\bmod", "modulo"))
    return (halves[0], halves[1]) if len(halves) == 2 else None
