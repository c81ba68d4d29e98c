"""Whether two expressions agree wherever both have a value: at points of all signs and sizes, whole numbers, and around branch
points.

For what algebra does not prove. A point where one side has no real value is no evidence; too few points that are, and the
answer is no.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, product

from unified_rl.grading.trees import Tree, symbols
from unified_rl.grading.values import NoValue, Number, draw, evaluate, is_real, less, same

ENOUGH = 5  # points at which both sides have a value
MAX_POINTS = 80
MAX_NAMES = 12
MAX_DENOMINATOR_BITS = 64
TINY = Fraction(1, 1000)
_BRANCHES = frozenset(("abs", "floor", "ceil", "max", "min", "sgn", "mod", "gcd", "lcm"))


def agree(left: Tree, right: Tree) -> int:
    """At how many points two expressions were compared and found equal; 0 where they differ at one, or too few are comparable."""
    names = sorted(symbols(left) | symbols(right))
    plain = [name for name in names if name[0] != "@"]
    if len(plain) > MAX_NAMES:
        return 0
    if not plain:
        return _agree_once(left, right)
    if any(_has_branches(tree) for tree in (left, right)) and any(_has_tiny(tree) for tree in (left, right)):
        return 0  # \lfloor x + 10^{-30} \rfloor
    if not (_constants_have_values(left) and _constants_have_values(right)):
        return 0  # at no point either
    imaginary = _has_i(left) or _has_i(right)
    compared = 0
    for point in _points(plain, left, right):
        try:
            a, b = evaluate(left, point), evaluate(right, point)
        except NoValue:
            continue
        if not imaginary and not (is_real(a) and is_real(b)):
            continue
        if not same(a, b):
            return 0
        compared += 1
        if compared >= MAX_POINTS:
            break
    return compared if compared >= ENOUGH else 0


def _agree_once(left: Tree, right: Tree) -> int:
    """1 where two expressions without letters are the same number; a decimal of many digits is no proof of an irrational one."""
    try:
        numbers = [evaluate(tree, {}) for tree in (left, right)]
    except NoValue:
        return 0
    exact = [number for number in numbers if isinstance(number, Fraction)]
    if len(exact) == 1 and exact[0].denominator.bit_length() > MAX_DENOMINATOR_BITS:
        return 0
    return int(same(*numbers))


def _has_branches(tree: Tree) -> bool:
    if tree[0] == "fn" and tree[1] in _BRANCHES:
        return True
    return any(_has_branches(part) for part in tree[1:] if isinstance(part, tuple))


def _constants_have_values(tree: Tree) -> bool:
    """Whether what is in it without letters has a value."""
    if symbols(tree):
        return all(_constants_have_values(part) for part in tree[1:] if isinstance(part, tuple))
    try:
        evaluate(tree, {})
    except NoValue:
        return False
    return True


def _has_tiny(tree: Tree) -> bool:
    """Whether a constant is in it that moves a branch by less than the points can see."""
    if symbols(tree):
        return any(_has_tiny(part) for part in tree[1:] if isinstance(part, tuple))
    try:
        number = evaluate(tree, {})
    except NoValue:
        return True
    return bool(number != 0 and is_real(number) and less(number, TINY) and less(-TINY, number))


def differing_point(left: Tree, right: Tree) -> dict[str, Fraction] | None:
    """A point at which two expressions have different values, None where no point tried shows a difference."""
    names = sorted(name for name in symbols(left) | symbols(right) if name[0] != "@")
    for point in islice(_points(names, left, right), MAX_POINTS):
        try:
            if not same(evaluate(left, point), evaluate(right, point)):
                return point
        except NoValue:
            continue
    return None


def generic(names: list[str], number: int = 0, sign: int = 1) -> dict[str, Fraction]:
    """A point that depends on the names alone."""
    return {name: sign * draw(f"{name}/{number}") for name in names}


def _points(names: list[str], left: Tree, right: Tree) -> Iterator[dict[str, Fraction]]:
    yield generic(names)
    if not names:
        return
    yield generic(names, 1)
    yield generic(names, 2, -1)
    yield from _signs(names)
    yield from _whole(names)
    yield from _sizes(names)
    yield from _around_branches(names, left, right)


def _signs(names: list[str]) -> Iterator[dict[str, Fraction]]:
    """Every pattern of signs for three names; for more, one against the others."""
    patterns: Iterator[tuple[int, ...]] = product((1, -1), repeat=len(names))
    if len(names) > 3:
        patterns = iter([tuple(-1 if place == one else 1 for place in range(len(names))) for one in range(len(names))])
    for number, pattern in enumerate(patterns, 3):
        for size in (1, 5):
            yield {name: sign * size * draw(f"{name}/{number}") for name, sign in zip(names, pattern, strict=True)}


def _whole(names: list[str]) -> Iterator[dict[str, Fraction]]:
    """Whole numbers, coprime and not, small and not, of either sign."""
    for start in (
        (6, 4, 10, 15),
        (3, 5, 2, 7),
        (12, 18, 8, 9),
        (1, 2, 3, 4),
        (25, 10, 35, 14),
        (-2, -3, 4, -6),
        (101, 60, 44, 31),
    ):
        yield {name: Fraction(start[place % 4] + 4 * (place // 4)) for place, name in enumerate(names)}
    yield {name: Fraction(place) for place, name in enumerate(names)}


def _sizes(names: list[str]) -> Iterator[dict[str, Fraction]]:
    sizes: tuple[Fraction | int, ...] = (Fraction(1, 50), 20, 300, 40_000, 10**9, 10**15)
    for number, size in enumerate(sizes, 40):
        for sign in (1, -1):
            yield {name: sign * size * draw(f"{name}/{number}") for name in names}
    for one in names[:4]:
        yield {name: (500 if name == one else 1) * draw(f"{name}/50") for name in names}


def _around_branches(names: list[str], left: Tree, right: Tree) -> Iterator[dict[str, Fraction]]:
    """On both sides of where an absolute value, a maximum or a root of the two expressions may turn, near and far."""
    base = generic(names, 60)
    turns = [turn for tree in (left, right) for turn in _turns(tree)]
    for name in names[:4]:
        for place in sorted({root for turn in turns[:16] if (root := _linear_root(turn, name, base)) is not None}):
            for step in (Fraction(2, 7), Fraction(31, 9), abs(place) + 1):
                yield base | {name: place + step}
                yield base | {name: place - step}


def _turns(tree: Tree) -> Iterator[Tree]:
    """Expressions whose zeros part the branches."""
    parts = [part for part in tree[1:] if isinstance(part, tuple)]
    if tree[0] == "fn" and tree[1] in _BRANCHES:
        yield from parts
        if len(parts) == 2:
            yield ("add", parts[0], ("mul", ("num", Fraction(-1), None), parts[1]))
    if tree[0] == "pow" and symbols(parts[0]) and not (parts[1][0] == "num" and parts[1][1].denominator == 1):
        yield parts[0]
    for part in parts:
        yield from _turns(part)


def _linear_root(tree: Tree, name: str, base: dict[str, Fraction]) -> Fraction | None:
    """Where an expression that is linear in a name is zero."""
    if name not in symbols(tree):
        return None
    try:
        values: list[Number] = [evaluate(tree, base | {name: Fraction(x)}) for x in (0, 1, 2)]
    except NoValue:
        return None
    if (
        not all(isinstance(value, Fraction) for value in values)
        or values[2] - values[1] != values[1] - values[0]
        or values[0] == values[1]
    ):
        return None
    return values[0] / (values[0] - values[1])


def _has_i(tree: Tree) -> bool:
    return tree == ("const", "i") or any(_has_i(part) for part in tree[1:] if isinstance(part, tuple))
