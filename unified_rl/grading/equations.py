"""Equations and inequalities as polynomials: the same up to a constant factor, a positive one for inequalities."""

from __future__ import annotations

from fractions import Fraction

from unified_rl.grading.algebra import Algebra, Quotient
from unified_rl.grading.nodes import Named, Node, Relation, Scalar
from unified_rl.grading.polynomials import Polynomial, TooLarge
from unified_rl.grading.sampling import generic
from unified_rl.grading.trees import Tree, negative, symbols
from unified_rl.grading.values import NoValue, evaluate, is_real


def as_relation(node: Node) -> Relation | None:
    """An equation `name = expression` as a relation."""
    if isinstance(node, Relation):
        return node
    if not isinstance(node, Named) or node.left is None or not isinstance(node.value, Scalar):
        return None
    plain = not (node.value.unit.dimensions or node.value.percent or node.value.degree or node.value.base)
    return Relation((node.left, node.value.tree), ("=",)) if plain else None


def proportional(gold: Relation, node: Relation) -> bool:
    """Whether the differences of the sides are a constant times each other; a positive one for inequalities."""
    algebra = Algebra()
    try:
        left, right = (algebra.quotient(("add", relation.sides[0], negative(relation.sides[1]))) for relation in (gold, node))
        equation = gold.ops[0] in ("=", r"\neq")
        if equation:
            left, right = _cleared(left, algebra), _cleared(right, algebra)
        top, bottom = algebra.ring.mul(left[0], right[1]), algebra.ring.mul(right[0], left[1])
        a, b = _by_letters(top), _by_letters(bottom)
        if not a or set(a) != set(b) or set(a) == {()}:
            return False
        lead = min(a)
        if any(algebra.ring.add(algebra.ring.mul(a[name], b[lead]), algebra.ring.mul(b[name], a[lead]), -1) for name in a):
            return False
    except TooLarge:
        return False
    return equation or _same_sign(gold, node)


def _cleared(quotient: Quotient, algebra: Algebra) -> Quotient:
    """Without letters in denominators: xy - 1 for y - 1/x."""
    top = quotient[0]
    lowest: dict[str, Fraction] = {}
    for monomial in top:
        for atom, power in monomial:
            if power < 0 and atom[0] == "$":
                lowest[atom] = min(power, lowest.get(atom, Fraction(0)))
    factor: Polynomial = {tuple(sorted((atom, -power) for atom, power in lowest.items())): Fraction(1)}
    return algebra.ring.mul(top, factor), {(): Fraction(1)}


def _by_letters(polynomial: Polynomial) -> dict:
    """Coefficients, as polynomials in constants, of the monomials in letters."""
    groups: dict = {}
    for monomial, coefficient in polynomial.items():
        letters = tuple(part for part in monomial if "$" in part[0] or "@" in part[0])
        rest = tuple(part for part in monomial if part not in letters)
        groups.setdefault(letters, {})[rest] = coefficient
    return groups


def _same_sign(gold: Relation, node: Relation) -> bool:
    differences: list[Tree] = [("add", relation.sides[0], negative(relation.sides[1])) for relation in (gold, node)]
    names = sorted(symbols(differences[0]) | symbols(differences[1]))
    for number in range(4):
        try:
            a, b = (evaluate(difference, generic(names, number)) for difference in differences)
        except NoValue:
            continue
        if is_real(a) and is_real(b) and a and b:
            return (a > 0) == (b > 0)
    return False
