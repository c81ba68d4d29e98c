"""The value of an expression: exact where it is rational, else its numbers at fixed points, to 30 digits. For worker processes.

LaTeX is parsed into a tree by `simple_latex` or, where that is not enough, latex2sympy (math-verify's parser). The tree is
evaluated here, node by node, with a guard on every operation that can explode. sympy's own evaluation and `simplify` are not used,
and nothing is evaluated as code. Two expressions with equal numbers at the points are equal but for a chance far below that of a
parsing mistake.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import mpmath
import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy
from sympy.core.function import AppliedUndef

from unified_rl.grading.simple_latex import NotSimple, Tree, parse_simple, symbols

POINTS = 4  # the last has negative values
WORKING_DIGITS = 30
MAX_BITS = 14_000  # Python writes integers of up to 4,300 digits
MAX_LATEX = 1500
_CONFIG = ConversionConfig(lowercase_symbols=False)
_DECIMAL = re.compile(r"[0-9]*\.[0-9]+")
_DEEP = 60
_BINOMIAL = re.compile(r"\\(?:[dt]?binom|choose)(?![a-z])")  # which the parser computes at once


class Unsupported(Exception):
    """An expression that has no value here: not parsed, or with an operation that is not supported or too large."""


@dataclass(frozen=True)
class Value:
    """`exact`: the rational value, where it is one. `numbers`: complex mpmath numbers at the points.

    `digits`: fewest significant digits of a decimal in the expression, None without decimals.
    """

    exact: Fraction | None
    numbers: tuple
    constant: bool
    digits: int | None

    def key(self) -> str:
        if self.exact is not None:
            return str(self.exact)
        numbers = self.numbers[:1] if self.constant else self.numbers[:-1]
        return ("~" if self.constant else "f~") + ",".join(_shown(number) for number in numbers)


def _shown(number) -> str:
    def part(x) -> str:
        return "0" if abs(x) < mpmath.mpf(10) ** -20 else mpmath.nstr(x, 10)

    return part(number.real) + (f"{part(number.imag)}i" if abs(number.imag) > mpmath.mpf(10) ** -20 else "")


@lru_cache(maxsize=512)
def value_of(latex: str) -> Value:
    """Raises Unsupported."""
    if len(latex) > MAX_LATEX or _too_deep(latex):
        raise Unsupported
    names = _plain_names(latex)
    try:
        tree: Any = parse_simple(names)
        evaluate, constant = _evaluate_simple, not (symbols(tree) - {"i", "I", "e"})
    except NotSimple:
        tree = parse(names)
        evaluate = _evaluate
        constant = not (
            tree.free_symbols - {sympy.Symbol("i"), sympy.Symbol("I"), sympy.Symbol("e")} or tree.atoms(AppliedUndef)
        )
    with mpmath.workdps(WORKING_DIGITS):
        first = evaluate(tree, 0)
        exact = first if constant and isinstance(first, Fraction) else None
        numbers: tuple = (_number(first),)
        if not constant:
            numbers += tuple(_at(evaluate, tree, point) for point in range(1, POINTS))
            if all(abs(number - numbers[0]) <= mpmath.mpf(10) ** -24 * (1 + abs(numbers[0])) for number in numbers):
                numbers, constant = numbers[:1], True  # sin^2 x + cos^2 x
        if constant and exact is None:
            exact = _recognised(numbers[0])
    decimals = [len(match.replace(".", "").lstrip("0")) for match in _DECIMAL.findall(latex)]
    return Value(exact, numbers, constant, min(decimals, default=None))


def _recognised(number):
    """The fraction of small terms that a number is to all working digits, None if there is none."""
    if not mpmath.isfinite(number) or abs(number.imag) > mpmath.mpf(10) ** -24 or abs(number.real) > 10**9:
        return None
    with mpmath.workdps(60):
        guess = Fraction(mpmath.nstr(number.real, 40, strip_zeros=False, min_fixed=-60, max_fixed=60)).limit_denominator(1000)
        close = abs(mpmath.mpf(guess.numerator) / guess.denominator - number.real) <= mpmath.mpf(10) ** -24 * (
            1 + abs(number.real)
        )
    return guess if close else None


def _plain_names(latex: str) -> str:
    """Subscripts and primes as the parser takes them: letters and digits."""
    latex = re.sub(r"_\s*\{([^{}]{1,40})\}", lambda match: "_{" + (re.sub(r"[^A-Za-z0-9]", "", match[1]) or "0") + "}", latex)
    latex = re.sub(r"_\s*\\([a-zA-Z]+)", r"_{\1}", latex)
    return re.sub(r"(?<=[A-Za-z])'", "_{prime}", latex)


def _at(evaluate: Callable, tree: Any, point: int):
    """The number at a point; NaN where the expression has none there (a root of a negative number is fine, 1/0 is not)."""
    try:
        return _number(evaluate(tree, point))
    except Unsupported:
        return mpmath.mpc(mpmath.nan)


def parse(latex: str):
    """A sympy tree without symbols' assumptions. Raises Unsupported."""
    for spelling in (latex, latex.replace(r"\times", "*").replace(r"\cdot", "*")):
        try:
            tree = latex2sympy(
                spelling, is_real=None, convert_degrees=False, normalization_config=None, conversion_config=_CONFIG
            )
        except MemoryError:
            raise
        except Exception:  # the parser raises bare Exception, and whatever sympy does
            continue
        if isinstance(tree, sympy.Expr):
            return tree
    raise Unsupported


def _too_deep(latex: str) -> bool:
    depth = deepest = 0
    for letter in latex:
        depth += (letter in "({[") - (letter in ")}]")
        deepest = max(deepest, depth)
    return deepest > _DEEP or bool(_BINOMIAL.search(latex) and re.search(r"[0-9]{5}|\^", latex))


def _number(x):
    if isinstance(x, Fraction):
        return mpmath.mpc(mpmath.mpf(x.numerator) / x.denominator)
    return mpmath.mpc(x)


def _symbol(name: str, point: int):
    name = re.sub(r"[{}\\\s]", "", name)  # the two parsers spell subscripts differently
    if name in ("i", "I"):
        return mpmath.mpc(0, 1)
    if name == "e":
        return mpmath.e
    draw = int.from_bytes(hashlib.sha256(f"{name}/{point}".encode("utf-8", "replace")).digest()[:6], "big")
    number = mpmath.mpf(3 * 10**5 + draw % (22 * 10**5)) / 10**6
    return -number if point == POINTS - 1 else number


def _evaluate_simple(tree: Tree, point: int):
    """Fraction or mpmath number."""
    word = tree[0]
    if word == "number":
        return _small(tree[1])
    if word == "symbol":
        return _symbol(tree[1], point)
    if word == "pi":
        return +mpmath.pi
    operation = {"add": _add, "mul": _mul, "pow": _pow, "factorial": _factorial}[word]
    return _apply(operation, [_evaluate_simple(part, point) for part in tree[1:]])


def _apply(operation: Callable, arguments: list):
    try:
        return operation(*arguments)
    except (ZeroDivisionError, ValueError, OverflowError, TypeError, mpmath.libmp.NoConvergence) as error:
        raise Unsupported from error


def _evaluate(node, point: int, depth: int = 0):
    """Fraction or mpmath number."""
    if depth > 3 * _DEEP:
        raise Unsupported
    if isinstance(node, sympy.Symbol):
        return _symbol(node.name, point)
    if isinstance(node, sympy.Rational):
        if max(abs(node.p), node.q).bit_length() > MAX_BITS:
            raise Unsupported
        return Fraction(int(node.p), int(node.q))
    if isinstance(node, sympy.Float):
        return _decimal(node)
    if isinstance(node, sympy.NumberSymbol):
        return +{sympy.pi: mpmath.pi, sympy.E: mpmath.e, sympy.GoldenRatio: mpmath.phi}.get(node, mpmath.nan)
    if node in (sympy.oo, -sympy.oo):
        return mpmath.inf if node == sympy.oo else -mpmath.inf
    if node is sympy.I:
        return mpmath.mpc(0, 1)
    if isinstance(node, AppliedUndef):
        arguments = [_evaluate(argument, point, depth + 1) for argument in node.args]
        return _symbol(f"{node.func.__name__}({','.join(_shown(_number(a)) for a in arguments)})", point)
    operation = _OPERATIONS.get(type(node))
    if operation is None or len(node.args) > 200:
        raise Unsupported
    return _apply(operation, [_evaluate(argument, point, depth + 1) for argument in node.args])


def _decimal(node):
    text = str(node)
    mantissa, _, exponent = text.partition("e")
    if len(exponent) > 4:
        raise Unsupported
    return Fraction(mantissa) * Fraction(10) ** int(exponent or 0)


def _small(x: Fraction) -> Fraction:
    if max(abs(x.numerator), x.denominator).bit_length() > MAX_BITS:
        raise Unsupported
    return x


def _add(*terms):
    total = Fraction(0)
    for term in terms:
        total = _small(total + term) if isinstance(total, Fraction) and isinstance(term, Fraction) else _mp(total) + _mp(term)
    return total


def _mul(*factors):
    product = Fraction(1)
    for factor in factors:
        exact = isinstance(product, Fraction) and isinstance(factor, Fraction)
        product = _small(product * factor) if exact else _mp(product) * _mp(factor)
    return product


def _mp(x):
    return mpmath.mpf(x.numerator) / x.denominator if isinstance(x, Fraction) else x


def _pow(base, exponent):
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        if exponent.denominator == 1:
            bits = max(abs(base.numerator), base.denominator).bit_length()
            if abs(exponent.numerator) * bits <= MAX_BITS:
                return base ** int(exponent)
        elif base >= 0 and (root := _exact_root(base, exponent.denominator)) is not None:
            return _pow(root, Fraction(exponent.numerator))
        elif base < 0 and exponent.denominator % 2 and abs(exponent.numerator) < 100:
            magnitude = _pow(-base, exponent)  # the real root, as school mathematics has it
            return -magnitude if exponent.numerator % 2 else magnitude
    size = abs(_number(exponent))
    if size > 10**7:
        raise Unsupported
    result = mpmath.power(_mp(base), _mp(exponent))
    if mpmath.isnan(result):
        raise Unsupported
    return result


def _exact_root(base: Fraction, degree: int) -> Fraction | None:
    if degree > 50:
        return None
    roots = []
    for part in (base.numerator, base.denominator):
        root, exact = sympy.integer_nthroot(part, degree)
        if not exact:
            return None
        roots.append(int(root))
    return Fraction(*roots)


def _factorial(n):
    if isinstance(n, Fraction) and n.denominator == 1:
        if not 0 <= n <= 300:
            raise Unsupported
        return Fraction(_product(int(n)))
    if abs(_number(n)) > 300:
        raise Unsupported
    return mpmath.gamma(_mp(n) + 1)


def _product(n: int) -> int:
    result = 1
    for factor in range(2, n + 1):
        result *= factor
    return result


def _binomial(n, k):
    if isinstance(n, Fraction) and isinstance(k, Fraction) and n.denominator == k.denominator == 1 and 0 <= k <= n <= 300:
        return Fraction(_product(int(n)), _product(int(k)) * _product(int(n - k)))
    return _mp(_factorial(n)) / (_mp(_factorial(k)) * _mp(_factorial(_add(n, _mul(Fraction(-1), k)))))


def _log(x, base=None):
    if base is None:
        return mpmath.log(_mp(x))
    if isinstance(x, Fraction) and isinstance(base, Fraction) and base > 1 and x > 0:
        for power in range(-64, 65):
            if base.numerator.bit_length() < 60 and _pow(base, Fraction(power)) == x:
                return Fraction(power)
    return mpmath.log(_mp(x)) / mpmath.log(_mp(base))


def _absolute(x):
    return abs(x)


def _floor(x):
    return Fraction(x.__floor__()) if isinstance(x, Fraction) else mpmath.floor(x)


def _ceiling(x):
    return Fraction(x.__ceil__()) if isinstance(x, Fraction) else mpmath.ceil(x)


def _modulo(a, b):
    return a % b if isinstance(a, Fraction) and isinstance(b, Fraction) else mpmath.fmod(_mp(a), _mp(b))


def _extreme(choose):
    def operation(*values):
        if any(not isinstance(value, Fraction) and mpmath.im(value) for value in values):
            raise Unsupported
        return choose(values, key=lambda value: _number(value).real)

    return operation


def _smooth(function):
    def operation(x):
        x = _mp(x)
        if abs(x) > 10**6:
            raise Unsupported
        return function(x)

    return operation


_SMOOTH = ("sin", "cos", "tan", "sec", "csc", "cot", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh")
_OPERATIONS = {
    sympy.Add: _add,
    sympy.Mul: _mul,
    sympy.Pow: _pow,
    sympy.exp: lambda x: _pow(mpmath.e, x),
    sympy.log: _log,
    sympy.Abs: _absolute,
    sympy.floor: _floor,
    sympy.ceiling: _ceiling,
    sympy.Mod: _modulo,
    sympy.factorial: _factorial,
    sympy.binomial: _binomial,
    sympy.Max: _extreme(max),
    sympy.Min: _extreme(min),
    sympy.UnevaluatedExpr: lambda x: x,
    **{getattr(sympy, name): _smooth(getattr(mpmath, name)) for name in _SMOOTH},
}
