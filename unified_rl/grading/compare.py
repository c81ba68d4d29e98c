"""Whether two nodes are equal under a policy: structure here, scalars in `quantities`."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from unified_rl.grading.equations import as_relation, proportional
from unified_rl.grading.matching import Matcher
from unified_rl.grading.nodes import (
    Congruence,
    Items,
    Matrix,
    Named,
    Node,
    Options,
    Ratio,
    RealSet,
    Relation,
    Scalar,
    Text,
    Time,
    are,
)
from unified_rl.grading.policies import GradingPolicy
from unified_rl.grading.quantities import PROOF, SAME, equal_trees, ground
from unified_rl.grading.sets import as_real_set
from unified_rl.grading.trees import Tree, symbols


class Comparer:
    """Compares nodes and collects in `grounds` what the equalities found rest on."""

    def __init__(self, policy: GradingPolicy) -> None:
        self.policy = policy
        self.grounds: list[str] = []

    def equal(self, gold: Node, node: Node) -> bool:
        """Whether two answers are equal."""
        if gold == node:
            return self._because(SAME)
        if isinstance(gold, Options) or isinstance(node, Options):
            return self._equal_options(gold, node)
        if isinstance(gold, Named) or isinstance(node, Named):
            return self._equal_named(gold, node)
        gold, node = self._alone(gold), self._alone(node)
        gold, node = self._alike(gold, node)
        if isinstance(gold, Scalar) and isinstance(node, Scalar):
            return self._because(ground(gold, node, self.policy))
        if isinstance(gold, RealSet) or isinstance(node, RealSet):
            return self._equal_sets(gold, node)
        if isinstance(gold, Matrix) or isinstance(node, Matrix):
            return self._equal_matrices(gold, node)
        if isinstance(gold, Items) and isinstance(node, Items):
            return self._equal_items(gold, node)
        return self._equal_others(gold, node)

    def _equal_others(self, gold: Node, node: Node) -> bool:
        if isinstance(gold, Relation) and isinstance(node, Relation):
            return self._equal_relations(gold, node)
        if isinstance(gold, Time) and isinstance(node, Time):
            return same_time(gold, node) and self._because("the time of day")
        if isinstance(gold, Ratio | Time) and isinstance(node, Ratio | Time):
            left, right = _ratio_parts(gold), _ratio_parts(node)
            return left is not None and right is not None and self._in_order(left, right)
        if isinstance(gold, Congruence) or isinstance(node, Congruence):
            return self._equal_congruences(gold, node)
        if isinstance(gold, Text) and isinstance(node, Text):
            return gold.key == node.key and self._because("the same text")
        return False

    def _because(self, reason: str) -> bool:
        if reason:
            self.grounds.append(reason)
        return bool(reason)

    # --- making two nodes alike

    def _alone(self, node: Node) -> Node:
        """The one member of a list, and of a set of one number."""
        if isinstance(node, Items) and node.kind != "tuple" and len(node.items) == 1:
            (member,) = node.items
            if node.kind == "list" or isinstance(member, Scalar):
                return member
        return node

    def _alike(self, gold: Node, node: Node) -> tuple[Node, Node]:
        gold, node = _spread(gold), _spread(node)
        lists = [isinstance(side, Items) and side.kind == "list" for side in (gold, node)]
        if lists[0] != lists[1]:
            gold, node = self._without_repeats(gold), self._without_repeats(node)
        return _as_list(gold, node), _as_list(node, gold)

    def _without_repeats(self, node: Node) -> Node:
        """One answer written in several ways ("639/40 or 15 39/40") is one answer."""
        if not isinstance(node, Items) or node.kind == "tuple" or not 1 < len(node.items) <= 8:
            return node
        first = node.items[0]
        trial = Comparer(self.policy)
        return first if all(trial.equal(first, other) for other in node.items[1:]) else node

    def _equal_options(self, gold: Node, node: Node) -> bool:
        if isinstance(gold, Options) and isinstance(node, Options):
            return gold.letters == node.letters and self._because(SAME)
        option, other = (gold, node) if isinstance(gold, Options) else (node, gold)
        return isinstance(option, Options) and self.equal(Scalar(("sym", option.letters)), other)

    # --- names

    def _equal_named(self, gold: Node, node: Node) -> bool:
        if isinstance(gold, Named) and isinstance(node, Named):
            if (renamed := _with_name_of(node, gold)) is not None:
                return self.equal(gold.value, renamed.value)
            left, right = as_relation(gold), as_relation(node)
            return left is not None and right is not None and self._equal_relations(left, right)
        if isinstance(gold, Relation) or isinstance(node, Relation):
            left, right = as_relation(gold), as_relation(node)
            return left is not None and right is not None and self._equal_relations(left, right)
        if self.policy.left_side == "require":
            return False
        named, other = (gold, node) if isinstance(gold, Named) else (node, gold)
        if isinstance(other, Items) and are(other.items, Named):
            alone = _spread(Items("list", (named,)))
            return isinstance(alone, Items) and self._equal_items(alone, other)
        gold, node = (side.value if isinstance(side, Named) else side for side in (gold, node))
        return self.equal(gold, node)

    # --- items

    def _equal_items(self, gold: Items, node: Items) -> bool:
        kinds = {gold.kind, node.kind}
        if gold.kind != node.kind and kinds == {"tuple", "list"} and self.policy.tuple_and_list == "distinct":
            return False
        if kinds == {"tuple", "set"} and self.policy.tuple_and_set == "distinct":
            return False
        named = [_is_named(side) for side in (gold, node)]
        if any(named):
            return self._equal_assignments(gold, node)
        if "tuple" in kinds:
            return _same_brackets(gold, node) and self._in_order(gold.items, node.items)
        if self.policy.list_order == "same" and kinds == {"list"}:
            return self._in_order(gold.items, node.items)
        return self._same_members(gold.items, node.items)

    def _equal_assignments(self, gold: Items, node: Items) -> bool:
        """a = 3, b = 4: by name; against values without names in their order; one name several times is several values."""
        names = [_names(side) for side in (gold, node)]
        if all(len(set(found)) == len(found) > 1 for found in names) and None not in names[0] + names[1]:
            return self._same_members(gold.items, node.items)
        if None not in names[0] + names[1]:
            return self._same_members(gold.items, node.items)
        if self.policy.left_side == "require":
            return False
        one_name = [len(set(found) - {None}) <= 1 for found in names]
        gold, node = (replace(side, items=tuple(map(_value, _by_name(side.items)))) for side in (gold, node))
        if all(one_name) and "tuple" not in (gold.kind, node.kind):
            return self._same_members(gold.items, node.items)
        return self._in_order(gold.items, node.items)

    def _in_order(self, left: tuple[Node, ...], right: tuple[Node, ...]) -> bool:
        return len(left) == len(right) and all(self.equal(a, b) for a, b in zip(left, right, strict=True))

    def _same_members(self, left: tuple[Node, ...], right: tuple[Node, ...]) -> bool:
        """Each member of one equals a member of the other, and as many different ones."""
        plain = [_plain_members(side) for side in (left, right)]
        if None not in plain and plain[0] == plain[1]:
            return self._because("exact arithmetic")
        matcher = Matcher(self.equal, self.policy.relative_tolerance)
        return matcher.same(left, right, Comparer(self.policy).equal)

    # --- sets, matrices

    def _equal_sets(self, gold: Node, node: Node) -> bool:
        written = [isinstance(side, Items) and side.kind == "tuple" for side in (gold, node)]
        if any(written) and self.policy.interval_and_inequality == "distinct":
            return False
        left, right = as_real_set(gold), as_real_set(node)
        if left is None or right is None or len(left.intervals) != len(right.intervals):
            return False
        if left == right:
            return self._because(SAME)
        for a, b in zip(left.intervals, right.intervals, strict=True):
            if a.closed != b.closed or not self.equal(a.low, b.low) or not self.equal(a.high, b.high):
                return False
        return True

    def _equal_matrices(self, gold: Node, node: Node) -> bool:
        left, right = _rows(gold), _rows(node)
        if left is None or right is None or len(left) != len(right):
            return False
        kinds = {side.kind for side in (gold, node) if isinstance(side, Matrix)}
        return len(kinds) == 1 and all(self._in_order(a, b) for a, b in zip(left, right, strict=True))

    # --- relations

    def _equal_relations(self, gold: Relation, node: Relation) -> bool:
        if gold.ops != node.ops:
            return False
        if all(equal_trees(a, b) or a == b for a, b in zip(gold.sides, node.sides, strict=True)):
            return self._because(PROOF)
        if all(ground(Scalar(a), Scalar(b), self.policy) for a, b in zip(gold.sides, node.sides, strict=True)):
            return self._because("decimals in the formula that round the exact coefficients")
        return len(gold.ops) == 1 and proportional(gold, node) and self._because(PROOF)

    def _equal_congruences(self, gold: Node, node: Node) -> bool:
        if isinstance(gold, Congruence) and isinstance(node, Congruence):
            same_left = gold.left == node.left or None in (gold.left, node.left)
            if not same_left or not equal_trees(gold.modulus, node.modulus):
                return False
            return self._because(_same_residue(gold.residue, node.residue, gold.modulus))
        found, other = (gold, node) if isinstance(gold, Congruence) else (node, gold)
        if not isinstance(found, Congruence) or (self.policy.left_side == "require" and found.left is not None):
            return False
        residue, modulus = found.residue, found.modulus
        if residue[0] == modulus[0] == "num" and not 0 <= residue[1] < modulus[1]:
            return False  # 42 (mod 5) is 2
        return isinstance(other, Scalar) and self.equal(Scalar(found.residue), other)


# --- nodes as other nodes


def _spread(node: Node) -> Node:
    r"""A list or set with the values of a \pm of its own side by side, and x = 1, 2 as values of x."""
    if not isinstance(node, Items) or node.kind == "tuple":
        return node
    members: list[Node] = []
    for item in node.items:
        inner = item.value if isinstance(item, Named) else item
        if isinstance(inner, Items) and inner.kind == "list" and all(isinstance(part, Scalar) for part in inner.items):
            members += [Named(item.name, part, item.left) for part in inner.items] if isinstance(item, Named) else inner.items
        else:
            members.append(item)
    return replace(node, items=tuple(members)) if len(members) != len(node.items) else node


def _as_list(node: Node, other: Node) -> Node:
    """60,120 as a list, where it is compared with one of as many members."""
    if not isinstance(node, Scalar) or not node.groups or not isinstance(other, Items) or other.kind not in ("list", "set"):
        return node
    if len(node.groups) != len(other.items) or any(len(group) > 1 and group[0] == "0" for group in node.groups):
        return node
    return Items("list", tuple(Scalar(("num", Fraction(group), None)) for group in node.groups))


def _is_named(items: Items) -> bool:
    return any(isinstance(item, Named) for item in items.items)


def _names(items: Items) -> list[str | None]:
    return [item.name if isinstance(item, Named) else None for item in items.items]


def _by_name(items: tuple[Node, ...]) -> tuple[Node, ...]:
    """Assignments to letters that follow each other in the alphabet (y = 2, x = 1) in its order; others as written."""
    if not are(items, Named) or not all(len(item.name) == 1 for item in items):
        return tuple(items)
    codes = sorted(ord(item.name) for item in items)
    follow = all(second - first == 1 for first, second in pairwise(codes))
    return tuple(sorted(items, key=lambda item: item.name) if follow else items)


def _value(node: Node) -> Node:
    return node.value if isinstance(node, Named) else node


def _same_brackets(gold: Items, node: Items) -> bool:
    """Of a pair, which may be an interval, both brackets count; those of a list are none."""
    if "" in (gold.brackets, node.brackets) or len(gold.items) > 2:
        return True
    return gold.brackets == node.brackets


def _plain_members(members: tuple[Node, ...]) -> set[Fraction] | None:
    """The numbers of a list of plain numbers."""
    found = set()
    for member in members:
        if (
            not isinstance(member, Scalar)
            or member.tree[0] != "num"
            or member.unit.dimensions
            or member.percent
            or member.degree
            or member.base
        ):
            return None
        found.add(member.tree[1])
    return found


def _rows(node: Node) -> tuple[tuple[Node, ...], ...] | None:
    """Rows of a matrix; a vector written as a tuple is a column."""
    if isinstance(node, Matrix):
        return node.rows
    if isinstance(node, Items) and node.kind == "tuple" and node.brackets in ("()", "[]"):
        if are(node.items, Items) and all(item.kind == "tuple" and item.brackets == "[]" for item in node.items):
            return tuple(item.items for item in node.items)  # [[1, 2], [3, 4]]
        return tuple((item,) for item in node.items)
    return None


def _with_name_of(node: Named, gold: Named) -> Named | None:
    """The node with its letter bound by f(x) renamed to the gold's; None where the names differ."""
    if node.name == gold.name:
        return node
    heads = [side.name.partition("(")[0] for side in (node, gold)]
    if node.bound and gold.bound and heads[0] == heads[1]:
        return _renamed(node, gold.bound)
    function, plain = (node, gold) if node.bound else (gold, node)
    if (
        function.bound
        and not plain.bound
        and plain.left is not None
        and len(plain.name) == 1
        and plain.name.islower()
        and plain.name != function.bound
    ):
        used = frozenset().union(*(symbols(side.value.tree) for side in (node, gold) if isinstance(side.value, Scalar)))
        return node if plain.name not in used else None  # f(x) = ..., y = ...
    return None


def _renamed(node: Named, letter: str) -> Named | None:
    if not isinstance(node.value, Scalar) or letter in symbols(node.value.tree):
        return None
    return replace(node, value=replace(node.value, tree=_substituted(node.value.tree, node.bound, letter)))


def _substituted(tree: Tree, old: str, new: str) -> Tree:
    if tree == ("sym", old):
        return ("sym", new)
    return tuple(_substituted(part, old, new) if isinstance(part, tuple) else part for part in tree)


def same_time(left: Time, right: Time) -> bool:
    """Both on the clock of 24 hours; where one does not say which half of the day, it may be either."""
    a, b = ((time.hours, time.minutes, time.seconds) for time in (left, right))
    if a == b and "" in (left.half, right.half):
        return True
    return on_24_hours(left) == on_24_hours(right)


def on_24_hours(time: Time) -> tuple[int, int, int]:
    hours = time.hours if not time.half else time.hours % 12 + 12 * (time.half == "pm")
    return hours, time.minutes, time.seconds


def _ratio_parts(node: Ratio | Time) -> tuple[Node, ...] | None:
    if isinstance(node, Ratio):
        return node.parts
    parts = (node.hours, node.minutes)
    return tuple(Scalar(("num", Fraction(part), None)) for part in parts) if not node.half and not node.seconds else None


def _same_residue(left: Tree, right: Tree, modulus: Tree) -> str:
    if left[0] == right[0] == modulus[0] == "num" and modulus[1] > 0:
        return "exact arithmetic" if (left[1] - right[1]) % modulus[1] == 0 else ""
    return equal_trees(left, right)
