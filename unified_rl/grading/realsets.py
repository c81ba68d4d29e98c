"""Sets of real numbers as unions of intervals, and the solutions of inequalities in one letter as such sets."""

from __future__ import annotations

from functools import cmp_to_key

from unified_rl.grading.algebra import Algebra
from unified_rl.grading.nodes import EMPTY, Interval, RealSet, Scalar
from unified_rl.grading.polynomials import ONE, UNIT, TooLarge
from unified_rl.grading.tokens import Unread
from unified_rl.grading.trees import MINUS_ONE, TWO, Tree, negative, symbols
from unified_rl.grading.values import NoValue, Number, evaluate, is_real, less, same

INFINITE: Tree = ("const", "inf")
LOWEST, HIGHEST = Scalar(negative(INFINITE)), Scalar(INFINITE)
ALL = RealSet((Interval(LOWEST, HIGHEST, (False, False)),))
MAX_INTERVALS = 200


def number(end: Scalar) -> Number | None:
    """The real value of an end, None where it has letters."""
    if end.unit.dimensions or end.base or symbols(end.tree):
        return None
    try:
        value = evaluate(end.tree, {})
    except NoValue:
        return None
    return value if is_real(value) else None


def point(end: Scalar) -> Interval:
    return Interval(end, end, (True, True))


def interval(low: Scalar, high: Scalar, closed: tuple[bool, bool]) -> RealSet:
    """Empty where the ends are numbers in the wrong order."""
    closed = (closed[0] and not is_infinite(low), closed[1] and not is_infinite(high))
    return union([Interval(low, high, closed)])


def is_infinite(end: Scalar) -> bool:
    r"""Whether an end is \infty or -\infty."""
    return end.tree in (INFINITE, LOWEST.tree)


def _compare(left: Number, right: Number) -> int:
    if same(left, right):
        return 0
    return -1 if less(left, right) else 1


def union(intervals: list[Interval]) -> RealSet:
    """Sorted, overlapping and touching ones joined. Ends that are no numbers allow one interval only. Raises Unread."""
    if len(intervals) > MAX_INTERVALS:
        raise Unread
    ends = {id(one): (number(one.low), number(one.high)) for one in intervals}
    if any(None in pair for pair in ends.values()):
        if len(intervals) > 1:
            raise Unread
        return RealSet(tuple(intervals))
    kept = [one for one in intervals if not _is_empty(one, *ends[id(one)])]
    kept.sort(key=cmp_to_key(lambda a, b: _compare(ends[id(a)][0], ends[id(b)][0]) or b.closed[0] - a.closed[0]))
    joined: list[Interval] = []
    highest: Number | None = None  # of the last one
    for one in kept:
        low, high = ends[id(one)]
        order = _compare(low, highest) if joined else 1
        if order < 0 or (order == 0 and (joined[-1].closed[1] or one.closed[0])):
            higher = _compare(high, highest)
            joined[-1] = _with_end_of(joined[-1], one, higher)
            highest = high if higher > 0 else highest
        else:
            joined.append(one)
            highest = high
    return RealSet(tuple(joined))


def _is_empty(one: Interval, low: Number, high: Number) -> bool:
    order = _compare(low, high)
    return order > 0 or (order == 0 and one.closed != (True, True))


def _with_end_of(left: Interval, right: Interval, higher: int) -> Interval:
    """An interval up to the end of one that begins inside it; `higher`: 1, 0 or -1 where that end is above, at or below its own."""
    shut = left.closed[1] or right.closed[1] if higher == 0 else (right if higher > 0 else left).closed[1]
    return Interval(left.low, (right if higher > 0 else left).high, (left.closed[0], shut))


def intersection(*sets: RealSet) -> RealSet:
    """What is in all of them. Raises Unread where an end is no number."""
    if any(number(end) is None for one in sets for part in one.intervals for end in (part.low, part.high)):
        raise Unread
    return complement(union([part for one in sets for part in complement(one).intervals]))


def complement(of: RealSet) -> RealSet:
    """The real numbers that are not in it."""
    low, open_low, pieces = LOWEST, False, []
    for one in of.intervals:
        pieces.append(Interval(low, one.low, (open_low, not one.closed[0] and not is_infinite(one.low))))
        low, open_low = one.high, not one.closed[1] and not is_infinite(one.high)
    pieces.append(Interval(low, HIGHEST, (open_low, False)))
    return union(pieces)


# --- inequalities


def solve(left: Tree, op: str, right: Tree) -> RealSet:
    r"""The real x with left op right (<, \le, \neq, =): linear, quadratic, an absolute value. Raises Unread."""
    difference: Tree = ("add", left, negative(right))
    names = symbols(difference)
    if len(names) != 1:
        raise Unread
    (name,) = names
    for side, other, turned in ((left, right, False), (right, left, True)):
        if side[0] == "fn" and side[1] == "abs" and not symbols(other):
            return _solve_absolute(side[2], op, other, turned)
    coefficients = _coefficients(difference, name)
    if op in ("=", r"\neq"):
        points = union([point(root) for root in _roots(coefficients)])
        return points if op == "=" else complement(points)
    return _solve_polynomial(coefficients, op == r"\le")


def _coefficients(tree: Tree, name: str) -> list[Tree]:
    """c, b, a of a x^2 + b x + c, from values of the tree; algebra proves that it is one."""
    at = [_substituted(tree, name, x) for x in (0, 1, -1)]
    a: Tree = ("mul", ("num", TWO[1] / 4, None), ("add", at[1], at[2], ("mul", ("num", -TWO[1], None), at[0])))
    b: Tree = ("mul", ("num", TWO[1] / 4, None), ("add", at[1], negative(at[2])))
    variable: Tree = ("sym", name)
    algebra = Algebra()
    try:
        found = algebra.quotient(("add", ("mul", a, variable, variable), ("mul", b, variable), at[0]))
        if not algebra.equal(algebra.quotient(tree), found):
            raise Unread
        return [_reduced(part, algebra) for part in (at[0], b, a)]
    except TooLarge as error:
        raise Unread from error


def _reduced(tree: Tree, algebra: Algebra) -> Tree:
    """The plain number that a constant is, where it is rational."""
    top, bottom = algebra.quotient(tree)
    if bottom == UNIT and set(top) <= {ONE}:
        return ("num", top.get(ONE, 0 * TWO[1]), None)
    return tree


def _substituted(tree: Tree, name: str, value: int) -> Tree:
    if tree == ("sym", name):
        return ("num", TWO[1] / 2 * value, None)
    return tuple(_substituted(part, name, value) if isinstance(part, tuple) else part for part in tree)


def _is_zero(tree: Tree) -> bool:
    return tree[0] == "num" and tree[1] == 0


def _sign(tree: Tree) -> int:
    value = number(Scalar(tree))
    if value is None:
        raise Unread
    return _compare(value, 0 * TWO[1])


def _quotient(top: Tree, bottom: Tree) -> Tree:
    if top[0] == bottom[0] == "num":
        return ("num", top[1] / bottom[1], None)
    return ("mul", top, ("pow", bottom, MINUS_ONE))


def _roots(coefficients: list[Tree]) -> list[Scalar]:
    """Real roots in order."""
    c, b, a = coefficients
    if _is_zero(a):
        if _is_zero(b):
            raise Unread
        return [Scalar(_quotient(negative(c), b))]
    discriminant: Tree = ("add", ("mul", b, b), ("mul", ("num", -4 * TWO[1] / 2, None), a, c))
    sign = _sign(discriminant)
    if sign < 0:
        return []
    root: Tree = ("pow", discriminant, ("num", TWO[1] / 4, None))
    pair = [Scalar(_quotient(("add", negative(b), part), ("mul", TWO, a))) for part in (negative(root), root)]
    return [pair[0]] if sign == 0 else pair if _sign(a) > 0 else pair[::-1]


def _solve_polynomial(coefficients: list[Tree], closed: bool) -> RealSet:
    """a x^2 + b x + c < 0, or <= 0 where closed."""
    _c, b, a = coefficients
    roots = _roots(coefficients)
    if _is_zero(a):
        rising = _sign(b) > 0
        root = roots[0]
        return interval(LOWEST, root, (False, closed)) if rising else interval(root, HIGHEST, (closed, False))
    if not roots:
        return ALL if _sign(a) < 0 else EMPTY
    inside = interval(roots[0], roots[-1], (closed, closed))
    if _sign(a) > 0:
        return inside
    return complement(interval(roots[0], roots[-1], (not closed, not closed)))


def _solve_absolute(inner: Tree, op: str, other: Tree, turned: bool) -> RealSet:
    """|inner| op other, or other op |inner| where turned."""
    if op in ("=", r"\neq") or _sign(other) < 0:
        raise Unread
    if not turned:
        return intersection(solve(inner, op, other), solve(negative(other), op, inner))
    return union([*solve(other, op, inner).intervals, *solve(inner, op, negative(other)).intervals])
