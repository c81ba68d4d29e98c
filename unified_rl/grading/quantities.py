r"""Whether two scalars are equal: units, degrees, bases and percent by policy, values by proof, else by points, else by rounding.

What a verdict rests on is kept, in order of strength: the same reading, exact arithmetic or algebra, sampled points (with their
number), a decimal that rounds the exact value, a tolerance of the policy.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

import mpmath

from unified_rl.grading.algebra import Algebra, Quotient
from unified_rl.grading.functions import TRIGONOMETRIC
from unified_rl.grading.nodes import Scalar
from unified_rl.grading.numbers import Number, rounds_to
from unified_rl.grading.policies import GradingPolicy
from unified_rl.grading.polynomials import ONE, UNIT, Monomial, Polynomial, TooLarge
from unified_rl.grading.sampling import agree
from unified_rl.grading.trees import DEGREE, Tree, symbols, written
from unified_rl.grading.units import UNITS
from unified_rl.grading.values import DIGITS, NoValue, evaluate, is_real, within
from unified_rl.grading.values import Number as Value

FLOAT_DIGITS = range(15, 18)  # a decimal of so many digits was printed from a float
TEN = 10
FEW_BITS = 42  # of the denominator of a decimal that is written out: some twelve places
FLOAT_ERROR = Fraction(4, 10**15)
RADIAN = UNITS["rad"]
PROOF, SAME = "exact algebra", "the same reading"
#: Decimals without their signs, with their significant digits and their places after the point.
Decimals = dict[Fraction, tuple[int, int]]
_HUNDREDTH: Tree = ("num", Fraction(1, 100), None)


def ground(left: Scalar, right: Scalar, policy: GradingPolicy) -> str:
    """What the equality of two scalars rests on; empty where they are not equal."""
    if (left.as_quantity is None) != (right.as_quantity is None):
        for one, other, swapped in ((left, right, False), (right, left, True)):
            if one.as_quantity is not None and other.unit.dimensions:
                pair = (one.as_quantity, other)
                return ground(*(pair[::-1] if swapped else pair), policy)
    if {left.base, right.base} == {0, TEN}:
        left, right = replace(left, base=0), replace(right, base=0)  # 24_{10} is 24
    if left.base or right.base:
        return _based(left, right, policy)
    scale = _units(left, right, policy)
    if scale is None:
        return ""
    if RADIAN in (left.unit, right.unit) and left.degree != right.degree:
        return _in_unit_of_angle(left, right, policy)
    marks = [side.percent or side.degree for side in (left, right)]
    if any(mark and other.unit.dimensions for mark, other in zip(marks, (right, left), strict=True)):
        return ""  # 8 cm, 8 degrees
    if left.percent != right.percent:
        if left.degree or right.degree:
            return ""
        return _percent(left, right, policy)
    if left.degree != right.degree:
        return _degrees(left, right, policy)
    if scale != 1:
        left = replace(left, tree=("mul", left.tree, ("num", scale, None)))
    if found := values(left, right, policy):
        return found
    return _degrees_inside(left, right, policy)


def _based(left: Scalar, right: Scalar, policy: GradingPolicy) -> str:
    if left.base and right.base:
        return PROOF if (left.base, left.digits) == (right.base, right.digits) else ""
    based, other = (left, right) if left.base else (right, left)
    if (
        policy.bases == "require"
        or other.unit.dimensions
        or other.percent
        or other.tree[0] != "num"
        or other.tree[2] is not None
    ):
        return ""
    return "the same digits" if str(other.tree[1]) == based.digits else ""


def _units(left: Scalar, right: Scalar, policy: GradingPolicy) -> Fraction | None:
    """The factor from left's unit to right's, 1 where one may be left out; None where they do not agree."""
    if left.unit.dimensions == right.unit.dimensions:
        return left.unit.factor / right.unit.factor
    if left.unit.dimensions and right.unit.dimensions:
        generic = [unit.dimensions in ((("unit", 1),), (("unit", 2),), (("unit", 3),)) for unit in (left.unit, right.unit)]
        return Fraction(1) if any(generic) and policy.units != "require" else None
    return Fraction(1) if policy.units == "drop" else None


def _percent(left: Scalar, right: Scalar, policy: GradingPolicy) -> str:
    share, other = (left, right) if left.percent else (right, left)
    if policy.percent != "hundredth" and (found := values(share, other, policy)):
        return found
    if policy.percent == "number":
        return ""
    return values(replace(share, tree=("mul", share.tree, _HUNDREDTH)), other, policy)


def _degrees(left: Scalar, right: Scalar, policy: GradingPolicy) -> str:
    """90 degrees are 90, where the sign may be left out, and \\pi/2."""
    angle, other = (left, right) if left.degree else (right, left)
    if _in_radians(other.tree) and (found := values(replace(angle, tree=("mul", angle.tree, DEGREE)), other, policy)):
        return found
    return values(angle, other, policy) if policy.degrees == "drop" else ""


def _in_unit_of_angle(left: Scalar, right: Scalar, policy: GradingPolicy) -> str:
    """60 degrees are pi/3 radians, and never 60."""
    angle, other = (left, right) if left.degree else (right, left)
    return values(replace(angle, tree=("mul", angle.tree, DEGREE)), other, policy) if other.unit == RADIAN else ""


def _in_radians(tree: Tree) -> bool:
    inverse = tree[0] == "fn" and tree[1] in ("asin", "acos", "atan", "acot")
    return tree == ("const", "pi") or inverse or any(_in_radians(part) for part in tree[1:] if isinstance(part, tuple))


def _degrees_inside(left: Scalar, right: Scalar, policy: GradingPolicy) -> str:
    r"""\tan 15 for \tan 15^\circ, where the sign may be left out."""
    if policy.degrees == "require":
        return ""
    stripped = [replace(side, tree=_without_degrees(side.tree)) for side in (left, right)]
    changed = [plain.tree != side.tree for plain, side in zip(stripped, (left, right), strict=True)]
    return values(stripped[0], stripped[1], policy) if changed[0] != changed[1] else ""


def _without_degrees(tree: Tree, inside: bool = False) -> Tree:
    if inside and tree[0] == "mul" and tree[-1] == DEGREE:
        return tree[1]
    inside = inside or (tree[0] == "fn" and tree[1] in TRIGONOMETRIC)
    return tuple(_without_degrees(part, inside) if isinstance(part, tuple) else part for part in tree)


# --- values


def values(left: Scalar, right: Scalar, policy: GradingPolicy) -> str:
    """What the equality of the values rests on, units and signs apart."""
    if left.tree[0] == right.tree[0] == "num":
        if left.tree[1] == right.tree[1]:
            return "exact arithmetic"
        return _approximately(left, right, policy)
    if left.tree == right.tree:
        return SAME
    proof = equal_trees(left.tree, right.tree)
    return proof or _approximately(left, right, policy)


@lru_cache(maxsize=2048)
def equal_trees(left: Tree, right: Tree) -> str:
    """Proof by algebra, or agreement at sampled points; empty for neither."""
    algebra = Algebra()
    try:
        quotients = [algebra.quotient(tree) for tree in (left, right)]
        if _modulus_of_complex(left) != _modulus_of_complex(right):
            return ""
        if algebra.equal(*quotients):
            return PROOF if _exists(left) and _exists(right) else ""
        if all(_independent(quotient) for quotient in quotients):
            return ""
    except TooLarge:
        pass
    if _modulus_of_complex(left) or _modulus_of_complex(right) or not (points := agree(left, right)):
        return ""
    return f"{points} sampled points" if symbols(left) | symbols(right) else f"{DIGITS} digits of the numbers"


def _modulus_of_complex(tree: Tree) -> bool:
    """Whether a modulus of z or w is in it, or a real part: the letters there are complex; sampling and algebra are real."""
    if tree[0] == "fn" and tree[1] in ("Re", "Im", "arg") and symbols(tree):
        return True
    if tree[:2] == ("fn", "abs") and symbols(tree) & {"z", "w"}:
        return True
    return any(_modulus_of_complex(part) for part in tree[1:] if isinstance(part, tuple))


def _exists(tree: Tree) -> bool:
    """Whether an expression without letters has a value: 1/0 = 1/0 proves nothing."""
    if symbols(tree):
        return True
    try:
        evaluate(tree, {})
    except NoValue:
        return _is_large(tree)
    return True


def _is_large(tree: Tree) -> bool:
    """Whether only its size keeps a number from having a value: powers and factorials of whole numbers."""
    if tree[0] == "num":
        return True
    return (tree[0] in ("add", "mul", "pow") or tree[:2] == ("fn", "factorial")) and all(
        _is_large(part) for part in tree[1:] if isinstance(part, tuple)
    )


def _independent(quotient: Quotient) -> bool:
    """Whether algebra decides: letters, and square roots of primes, with rational coefficients."""
    return all(atom[0] == "$" or atom[1:].isdigit() for part in quotient for monomial in part for atom, _ in monomial)


def _approximately(left: Scalar, right: Scalar, policy: GradingPolicy) -> str:
    if symbols(left.tree) or symbols(right.tree):
        return _rounded_coefficients(left.tree, right.tree, policy)
    try:
        numbers = [evaluate(side.tree, {}) for side in (left, right)]
    except NoValue:
        return ""
    literals = [written(side.tree) for side in (left, right)]
    for literal, other, exact in ((literals[0], literals[1], numbers[1]), (literals[1], literals[0], numbers[0])):
        if literal is not None and _rounds(literal, exact, other, policy):
            return f"a decimal of {literal.digits} digits that rounds the exact value"
    if policy.relative_tolerance and within(numbers[0], numbers[1], policy.relative_tolerance):
        return f"a relative tolerance of {policy.relative_tolerance}"
    if not all(is_real(number) for number in numbers):
        return _rounded_coefficients(left.tree, right.tree, policy)
    return ""


def _rounds(literal: Number, exact: Value, other: Number | None, policy: GradingPolicy) -> bool:
    """Whether a decimal is an exact real value rounded; a decimal of the other side is exact only as a float in full precision."""
    if not literal.digits or literal.digits < policy.significant_digits or not is_real(exact):
        return False
    fraction = exact if isinstance(exact, Fraction) else _fraction(exact)
    if fraction is None:
        return False
    if literal.digits in FLOAT_DIGITS and fraction and abs(literal.value - fraction) <= FLOAT_ERROR * abs(fraction):
        return True
    if isinstance(exact, Fraction) and _terminates(exact) and exact.denominator.bit_length() <= FEW_BITS:
        return False  # a whole number has no decimals to round, and a short decimal is written out
    if len(str(abs((literal.value * Fraction(10) ** literal.places).numerator)).rstrip("0")) < policy.significant_digits:
        return False  # 1.0000 shows one digit, and nothing of what was rounded
    if (
        other is not None
        and other.digits is not None
        and not (other.digits in FLOAT_DIGITS and literal.digits < FLOAT_DIGITS[0])
    ):
        return False
    return rounds_to(fraction, literal)


def _fraction(number: Value) -> Fraction | None:
    if not mpmath.isfinite(number) or abs(number) > mpmath.mpf(10) ** 40 or abs(number) < mpmath.mpf(10) ** -60:
        return None
    with mpmath.workdps(DIGITS):
        return Fraction(mpmath.nstr(mpmath.re(number), DIGITS - 5, strip_zeros=False, min_fixed=-150, max_fixed=150))


# --- decimals inside formulas


def _rounded_coefficients(left: Tree, right: Tree, policy: GradingPolicy) -> str:
    r"""x + 1.414 for x + \sqrt2: coefficient by coefficient, each equal or the rounding of what has decimals to round."""
    if not (_decimals(left) or _decimals(right)):
        return ""
    algebra = Algebra()
    try:
        a, b = (_by_letters(algebra.quotient(tree)) for tree in (left, right))
    except TooLarge:
        return ""
    if a is None or b is None or set(a) != set(b):
        return ""
    for name, coefficient in a.items():
        if not _coefficients_agree(coefficient, b[name], _decimals(left), _decimals(right), policy):
            return ""
    return "decimals in the formula that round the exact coefficients"


def _by_letters(quotient: Quotient) -> dict[Monomial, Polynomial] | None:
    """Coefficients, as polynomials in constants, of the monomials in letters and i."""
    top, bottom = quotient
    if bottom != UNIT:
        return None
    groups: dict[Monomial, Polynomial] = {}
    for monomial, coefficient in top.items():
        letters = tuple(part for part in monomial if part[0][0] == "$" or part[0] == "i")
        rest = tuple(part for part in monomial if part not in letters)
        groups.setdefault(letters, {})[rest] = coefficient
    return groups


def _coefficients_agree(a: Polynomial, b: Polynomial, left: Decimals, right: Decimals, policy: GradingPolicy) -> bool:
    if a == b:
        return True
    for decimal, literals, exact in ((a, left, b), (b, right, a)):
        if set(decimal) != {ONE} or abs(decimal[ONE]) not in literals:
            continue
        digits, places = literals[abs(decimal[ONE])]
        value = _constant(exact)
        if value is None or (isinstance(value, Fraction) and (value.denominator == 1 or _terminates(value))):
            continue
        if digits >= policy.significant_digits and _rounds(Number(decimal[ONE], digits, places), value, None, policy):
            return True
    return False


def _terminates(value: Fraction) -> bool:
    bottom = value.denominator
    for prime in (2, 5):
        while bottom % prime == 0:
            bottom //= prime
    return bottom == 1


def _constant(polynomial: Polynomial) -> Value | None:
    """The number of a polynomial in square roots and \\pi."""
    if set(polynomial) == {ONE}:
        return polynomial[ONE]
    names = {"pi": mpmath.pi, "e": mpmath.e}
    with mpmath.workdps(DIGITS):
        total = mpmath.mpf(0)
        for monomial, coefficient in polynomial.items():
            term = mpmath.mpf(coefficient.numerator) / coefficient.denominator
            for atom, power in monomial:
                if atom not in names and not atom[1:].isdigit():
                    return None
                base = +names[atom] if atom in names else mpmath.mpf(int(atom[1:]))
                term *= base ** (mpmath.mpf(power.numerator) / power.denominator)
            total += term
        return total


def _decimals(tree: Tree) -> Decimals:
    """The decimals written in an expression with their significant digits."""
    if tree[0] == "num":
        return {abs(tree[1]): tree[2]} if tree[2] else {}
    found: Decimals = {}
    for part in tree[1:]:
        if isinstance(part, tuple):
            found |= _decimals(part)
    return found
