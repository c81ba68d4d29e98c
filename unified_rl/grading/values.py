"""The value of a tree at a point: a fraction where that is exact, else a number of 80 digits. For worker processes.

Every operation that can explode is guarded, and a sum whose small terms would be lost in the digits at hand (1 - e^{-1000}) has no
value: no verdict may rest on what rounding swallowed. Real mathematics: the cube root of -8 is -2; what has no real value is
complex.
"""

from __future__ import annotations

import hashlib
from cmath import isfinite
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

import mpmath

from unified_rl.grading.algebra import number_function
from unified_rl.grading.trees import Tree, indices, symbols

DIGITS = 80
SWALLOWED = mpmath.mpf(10) ** -40  # a term this much smaller than the sum's largest is not seen
SAME = mpmath.mpf(10) ** -45  # relative difference of equal numbers
MAX_BITS = 14_000
MAX_EXPONENT = 10**7

Point = Mapping[str, Fraction]
Number = Any  # Fraction | mpf | mpc


class NoValue(Exception):
    """The expression has no value here: a division by zero, an operation that is too large or not defined."""


def evaluate(tree: Tree, point: Point) -> Number:
    """Raises NoValue."""
    with mpmath.workdps(DIGITS):
        try:
            return _value(tree, point)
        except (ZeroDivisionError, ValueError, OverflowError, TypeError, KeyError, mpmath.libmp.NoConvergence) as error:
            raise NoValue from error


def same(left: Number, right: Number) -> bool:
    """Whether two numbers are equal to all digits that count."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left == right
    with mpmath.workdps(DIGITS):
        a, b = _mp(left), _mp(right)
        if mpmath.isinf(a) or mpmath.isinf(b):
            return bool(a == b)
        return bool(abs(a - b) <= SAME * max(abs(a), abs(b)))


def less(left: Number, right: Number) -> bool:
    """Whether one real number is smaller than another."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left < right
    with mpmath.workdps(DIGITS):
        return bool(mpmath.re(_mp(left)) < mpmath.re(_mp(right)))


def within(left: Number, right: Number, tolerance: float) -> bool:
    """Whether two finite numbers differ by a relative tolerance at most."""
    with mpmath.workdps(DIGITS):
        a, b = _mp(left), _mp(right)
        return bool(mpmath.isfinite(a) and mpmath.isfinite(b) and abs(a - b) <= tolerance * max(abs(a), abs(b)))


def is_real(number: Number) -> bool:
    return isinstance(number, Fraction) or mpmath.im(number) == 0


@lru_cache(maxsize=4096)
def size(tree: Tree) -> complex | None:
    """About the value of an expression without letters; None where it has none of ordinary size."""
    if symbols(tree):
        return None
    try:
        value = complex(_mp(evaluate(tree, {})))
    except (NoValue, OverflowError):
        return None
    return value if isfinite(value) and 1e-200 < abs(value) < 1e200 else None


def shown(number: Number, digits: int = 12) -> str:
    """A number in a few digits, the same for numbers that are `same`."""
    if isinstance(number, Fraction):
        return str(number) if max(number.numerator.bit_length(), number.denominator.bit_length()) < 4000 else f"{hash(number)}"
    with mpmath.workdps(DIGITS):
        real, imaginary = mpmath.re(number), mpmath.im(number)
        text = mpmath.nstr(real, digits)
        return text if imaginary == 0 else f"{text}+{mpmath.nstr(imaginary, digits)}i"


def _value(tree: Tree, point: Point) -> Number:
    kind = tree[0]
    if kind == "num":
        return tree[1]
    if kind == "sym":
        return point[tree[1]]
    if kind == "const":
        return {"pi": lambda: +mpmath.pi, "e": lambda: +mpmath.e, "i": lambda: mpmath.mpc(0, 1), "inf": lambda: mpmath.inf}[
            tree[1]
        ]()
    if kind == "big":
        return _big(tree, point)
    parts = [_value(part, point) for part in tree[1:] if isinstance(part, tuple)]
    if kind == "add":
        return _add(parts)
    if kind == "mul":
        return _mul(parts)
    if kind == "pow":
        return _pow(*parts)
    if tree[1][0] == "@":
        return _unknown(tree[1], parts)
    if all(isinstance(part, Fraction) for part in parts) and (exact := number_function(tree[1], parts)) is not None:
        return exact
    return _chopped(_FUNCTIONS[tree[1]](*parts))


def _mp(number: Number) -> Any:
    return mpmath.mpf(number.numerator) / number.denominator if isinstance(number, Fraction) else number


def _small(number: Fraction) -> Number:
    if max(abs(number.numerator), number.denominator).bit_length() > MAX_BITS:
        return _mp(number)
    return number


def _add(terms: list[Number]) -> Number:
    if all(isinstance(term, Fraction) for term in terms):
        return _small(sum(terms, Fraction(0)))
    numbers = [_mp(term) for term in terms]
    sizes = [abs(number) for number in numbers if number != 0]
    if not sizes:
        return Fraction(0)
    largest = max(sizes)
    if mpmath.isinf(largest):
        if sum(map(bool, map(mpmath.isinf, numbers))) > 1:
            raise NoValue
        return next(number for number in numbers if mpmath.isinf(number))
    if min(sizes) < largest * SWALLOWED:
        raise NoValue
    total = mpmath.fsum(numbers)
    return Fraction(0) if abs(total) < largest * mpmath.mpf(10) ** (10 - DIGITS) else _chopped(total)


def _chopped(number: Number) -> Number:
    """Without an imaginary part that is rounding."""
    if isinstance(number, mpmath.mpc) and abs(number.imag) <= mpmath.mpf(10) ** (10 - DIGITS) * abs(number.real):
        return number.real
    return number


def _mul(factors: list[Number]) -> Number:
    product: Number = Fraction(1)
    for factor in factors:
        if isinstance(product, Fraction) and isinstance(factor, Fraction):
            product = _small(product * factor)
        else:
            product = _mp(product) * _mp(factor)
            if mpmath.isnan(product):
                raise NoValue
    return _chopped(product)


def _pow(base: Number, exponent: Number) -> Number:
    if isinstance(exponent, Fraction) and isinstance(base, Fraction):
        if exponent.denominator == 1:
            bits = max(abs(base.numerator), base.denominator).bit_length()
            if abs(exponent.numerator) * bits <= MAX_BITS:
                return base ** int(exponent)
        elif base < 0 and exponent.denominator % 2 and exponent.denominator < 100:
            root = mpmath.power(_mp(-base), _mp(exponent))
            return -root if exponent.numerator % 2 else root
    if abs(_mp(exponent)) > MAX_EXPONENT and base not in (0, 1, -1):
        raise NoValue
    if isinstance(exponent, Fraction) and exponent.denominator % 2 and is_real(base) and base < 0 and exponent.denominator > 1:
        root = mpmath.power(-_mp(base), _mp(exponent))
        return -root if exponent.numerator % 2 else root
    size = abs(_mp(base))
    if size and abs(mpmath.log(size)) * abs(_mp(exponent)) > 10**9:
        raise NoValue
    return _chopped(mpmath.power(_mp(base), _mp(exponent)))


def _unknown(name: str, arguments: list[Number]) -> Fraction:
    """An unknown function: some number that depends on its name and arguments."""
    text = f"{name}({','.join(shown(argument, 20) for argument in arguments)})"
    return draw(text)


def draw(text: str, low: int = 300, high: int = 2800) -> Fraction:
    """A fraction between low/997 and high/997 that depends on the text alone."""
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:6], "big")
    return Fraction(low + number % (high - low), 997)


def _big(tree: Tree, point: Point) -> Number:
    """A sum or product over at most 60 whole numbers."""
    _, operation, variable, lower, upper, body = tree
    if any(name != variable and variable in indices(name) for name in symbols(body)):
        raise NoValue  # F_k: a sequence that is not given
    first, last = _value(lower, point), _value(upper, point)
    if not (isinstance(first, Fraction) and isinstance(last, Fraction) and first.denominator == last.denominator == 1):
        raise NoValue
    if not -1 <= last - first <= 60:
        raise NoValue
    parts = [_value(body, {**point, variable: Fraction(k)}) for k in range(int(first), int(last) + 1)]
    return (_add(parts) if parts else Fraction(0)) if operation == "sum" else _mul(parts)


def _real(function: Callable[..., Number]) -> Callable[..., Number]:
    def guarded(*arguments: Number) -> Number:
        if not all(is_real(argument) for argument in arguments):
            raise NoValue
        return function(*map(_mp, arguments))

    return guarded


def _smooth(name: str) -> Callable[[Number], Number]:
    function = getattr(mpmath, name)

    def guarded(argument: Number) -> Number:
        argument = _mp(argument)
        if abs(argument) > 10**6:
            raise NoValue
        result = function(argument)
        if abs(result) > mpmath.mpf(10) ** 50:
            raise NoValue  # a pole, missed by rounding
        return Fraction(0) if abs(result) < mpmath.mpf(10) ** (15 - DIGITS) else result

    return guarded


def _gamma(argument: Number) -> Number:
    if abs(_mp(argument)) > 10**5:
        raise NoValue
    return mpmath.gamma(_mp(argument) + 1)


def _log(argument: Number, base: Number | None = None) -> Number:
    if argument == 0 or base in (0, 1):
        raise NoValue
    return mpmath.log(_mp(argument)) / (mpmath.log(10) if base is None else mpmath.log(_mp(base)))


def _ln(argument: Number) -> Number:
    if argument == 0:
        raise NoValue
    return mpmath.log(_mp(argument))


def _rounding(function: Callable[[Any], Any]) -> Callable[[Number], Number]:
    def rounded(argument: Number) -> Number:
        nearest = mpmath.nint(argument)
        if abs(argument - nearest) < mpmath.mpf(10) ** (15 - DIGITS) * max(1, abs(nearest)):
            return Fraction(int(nearest))
        return Fraction(int(function(argument)))

    return _real(rounded)


def _modulo(left: Number, right: Number) -> Number:
    whole = isinstance(left, Fraction) and isinstance(right, Fraction) and left.denominator == right.denominator == 1
    if not whole or right <= 0:
        raise NoValue
    return left % right


_FUNCTIONS: dict[str, Callable[..., Number]] = {
    "abs": lambda x: abs(_mp(x)),
    "ln": _ln,
    "log": _log,
    "floor": _rounding(mpmath.floor),
    "ceil": _rounding(mpmath.ceil),
    "max": _real(max),
    "min": _real(min),
    "sgn": _real(lambda x: Fraction(int(mpmath.sign(x)))),
    "mod": _modulo,
    "factorial": _gamma,
    "binom": lambda n, k: _gamma(n) / (_gamma(k) * _gamma(_mp(n) - _mp(k))),
    **{
        name: _smooth(name)
        for name in ("sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "acot", "asec", "acsc")
    },
    **{name: _smooth(name) for name in ("sinh", "cosh", "tanh", "coth", "asinh", "acosh", "atanh")},
    "Re": mpmath.re,
    "Im": mpmath.im,
    "arg": mpmath.arg,
    "cis": lambda x: mpmath.expj(_mp(x)),
}

__all__ = ["NoValue", "Point", "draw", "evaluate", "is_real", "same", "shown"]
