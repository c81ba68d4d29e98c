"""The name of an answer's class: a function of the answer and the policy alone, shared by equal answers where one can be."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import mpmath

from unified_rl.grading.algebra import Algebra
from unified_rl.grading.compare import on_24_hours
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
    Time,
    are,
)
from unified_rl.grading.policies import GradingPolicy
from unified_rl.grading.polynomials import ONE, UNIT, TooLarge
from unified_rl.grading.sampling import generic
from unified_rl.grading.sets import as_real_set
from unified_rl.grading.trees import Tree, negative, symbols
from unified_rl.grading.values import DIGITS, NoValue, Number, evaluate, is_real, shown

LARGE = 40_000  # of the points that tell n from min(n, 1000)


def key(node: Node, policy: GradingPolicy) -> str:
    """A name that equal answers share: of structure and values only."""
    if isinstance(node, Options):
        return node.letters
    if isinstance(node, Scalar):
        return _scalar(node, policy)
    if isinstance(node, Named):
        return _named(node, policy)
    if isinstance(node, RealSet):
        return _set(node, policy)
    if isinstance(node, Items):
        return _items(node, policy)
    if isinstance(node, Matrix):
        rows = "|".join(";".join(key(cell, policy) for cell in row) for row in node.rows)
        return rows if node.kind == "matrix" else f"{node.kind} {rows}"
    if isinstance(node, Relation):
        return _relation(node)
    if isinstance(node, Time):
        return "{}:{:02}:{:02}".format(*on_24_hours(node))
    if isinstance(node, Ratio):
        return ":".join(key(part, policy) for part in node.parts)
    if isinstance(node, Congruence):
        return _congruence(node)
    return node.key


def _named(node: Named, policy: GradingPolicy) -> str:
    """A letter, f(x) or a word in front goes, where the policy lets it; a longer name (a_2, P(A), f'(2)) says what it is of."""
    plain = len(node.name.partition("(")[0] if node.bound else node.name) == 1 or (node.left is None and node.name.isalpha())
    inner = key(node.value, policy)
    return inner if plain and policy.left_side == "drop" else f"{node.name}={inner}"


def _items(node: Items, policy: GradingPolicy) -> str:
    if node.kind == "tuple":
        if policy.interval_and_inequality == "equal" and node.brackets != "()" and (found := as_real_set(node)) is not None:
            return _set(found, policy) if found.intervals else _ordered(node, policy)
        return _ordered(node, policy)
    members: list[str] = []
    for item in node.items:
        inner = item.value if isinstance(item, Named) and policy.left_side == "drop" else item
        if isinstance(inner, Items) and inner.kind == "list" and are(inner.items, Scalar):
            members += [key(part, policy) for part in inner.items]
        else:
            members.append(key(item, policy))
    names = {item.name for item in node.items if isinstance(item, Named)}
    if len(names) > 1 and policy.left_side == "drop":
        return f"({';'.join(members)})"
    if policy.list_order == "any" or node.kind == "set":
        members = sorted(set(members))
    alone = len(members) == 1 and (node.kind == "list" or all(isinstance(item, Scalar | Named) for item in node.items))
    return members[0] if alone else f"{{{';'.join(members)}}}"


def _ordered(node: Items, policy: GradingPolicy) -> str:
    return f"{node.brackets[0]}{';'.join(key(item, policy) for item in node.items)}{node.brackets[1]}"


def _set(node: RealSet, policy: GradingPolicy) -> str:
    parts = []
    for one in node.intervals:
        low, high = key(one.low, policy), key(one.high, policy)
        parts.append(f"{'(['[one.closed[0]]}{low};{high}{')]'[one.closed[1]]}")
    return " U ".join(parts) or "empty"


def _scalar(node: Scalar, policy: GradingPolicy) -> str:
    if node.base:
        return f"{node.digits}_{node.base}" if policy.bases == "require" else node.digits
    name = tree_key(node.tree)
    unit = f" {node.unit.key()}" if policy.units == "require" and node.unit.dimensions else ""
    percent = "%" if node.percent and policy.percent == "hundredth" else ""
    return name + percent + unit + ("deg" if node.degree and policy.degrees == "require" else "")


@lru_cache(maxsize=4096)
def tree_key(tree: Tree) -> str:
    """The exact value where it is rational; else digits of the number, or of the numbers at fixed points."""
    if tree[0] == "num":
        return str(tree[1])
    names = sorted(name for name in symbols(tree) if name[0] != "@")
    if not symbols(tree):
        return _constant(tree)
    points = []
    for point in _points(names, tree):
        try:
            points.append(_digits(evaluate(tree, point)))
        except NoValue:
            points.append("?")
    if set(points) == {"?"}:
        return f"{tree}"
    if len(set(points)) == 1 and (exact := _rational(tree)) is not None:
        return exact
    return "f~" + ",".join(points)


def _points(names: list[str], tree: Tree) -> list[dict[str, Fraction]]:
    """Positive ones; negative and large ones too, but where roots or logarithms make the domain a matter of spelling."""
    points = [generic(names, number) for number in range(3)]
    if _has_roots(tree):
        return points
    far = {name: (-1) ** place * LARGE * value for place, (name, value) in enumerate(generic(names, 3).items())}
    return [*points, generic(names, 3, -1), far, {name: -value for name, value in far.items()}]


def _has_roots(tree: Tree) -> bool:
    if tree[0] == "fn" and tree[1] in ("ln", "log"):
        return True
    if tree[0] == "pow" and not (tree[2][0] == "num" and tree[2][1].denominator == 1):
        return True
    return any(_has_roots(part) for part in tree[1:] if isinstance(part, tuple))


def _constant(tree: Tree) -> str:
    if (exact := _rational(tree)) is not None:
        return exact
    try:
        value = evaluate(tree, {})
    except NoValue:
        return f"{tree}"
    if isinstance(value, Fraction):
        return str(value)
    if is_real(value) and mpmath.isfinite(value) and abs(value) < 10**9:
        with mpmath.workdps(DIGITS):
            guess = Fraction(mpmath.nstr(mpmath.re(value), 60, min_fixed=-80, max_fixed=80)).limit_denominator(1000)
            if abs(mpmath.mpf(guess.numerator) / guess.denominator - value) < abs(value) * mpmath.mpf(10) ** -40:
                return str(guess)
    return "~" + shown(value)


def _rational(tree: Tree) -> str | None:
    algebra = Algebra()
    try:
        top, bottom = algebra.quotient(tree)
        if bottom == UNIT and set(top) <= {ONE}:
            return str(top.get(ONE, Fraction(0)))
        if (
            len(top) == len(bottom)
            and len(lead := {top[name] / bottom[name] for name in top if name in bottom}) == 1
            and set(top) == set(bottom)
        ):
            return str(lead.pop())
    except TooLarge:
        return None
    return None


def _digits(value: Number) -> str:
    with mpmath.workdps(DIGITS):
        number = mpmath.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value
        return shown(number, 10)


def _relation(node: Relation) -> str:
    """One side minus the other at fixed points, up to a factor."""
    difference: Tree = ("add", node.sides[0], negative(node.sides[1]))
    names = sorted(name for name in symbols(difference) if name[0] != "@")
    if len(node.ops) == 1 and names:
        try:
            values = [evaluate(difference, generic(names, number)) for number in range(3)]
            with mpmath.workdps(DIGITS):
                numbers = [mpmath.mpf(v.numerator) / v.denominator if isinstance(v, Fraction) else v for v in values]
                scale = numbers[0] if node.ops[0] in ("=", r"\neq") else abs(numbers[0])
                if scale:
                    return node.ops[0] + ",".join(shown(number / scale, 10) for number in numbers)
        except NoValue:
            pass
    return "".join(part for pair in zip(map(tree_key, node.sides), (*node.ops, ""), strict=True) for part in pair)


def _congruence(node: Congruence) -> str:
    residue, modulus = node.residue, node.modulus
    if residue[0] == modulus[0] == "num" and modulus[1] > 0:
        residue = ("num", residue[1] % modulus[1], None)
    return f"{tree_key(residue)} mod {tree_key(modulus)}"
