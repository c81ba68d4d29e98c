r"""Exact algebra: an expression as a quotient of polynomials in its letters and in what cannot be taken apart further.

Two quotients are equal where their cross products are: this proves an equality. It disproves one only where the atoms are
independent (letters, and primes under roots). Real mathematics: \sqrt{x}\sqrt{y} = \sqrt{xy} and \ln x + \ln y = \ln xy hold
where both sides exist; \sqrt{x^2} is never x. Bounded by the budget of `polynomials.Ring`; nothing here is recursive in a
number's size.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import gcd, lcm, prod

from unified_rl.grading.polynomials import ONE, UNIT, Monomial, Polynomial, Ring, TooLarge, name_of
from unified_rl.grading.trees import Tree

Quotient = tuple[Polynomial, Polynomial]
MAX_PRIME = 2000
MAX_FACTORIAL = 300
_TRIGONOMETRIC = {"tan": ("sin", "cos"), "cot": ("cos", "sin"), "sec": (None, "cos"), "csc": (None, "sin")}
_NAMES = re.compile(r"\\?[A-Za-z]+")
_NESTED = Fraction(1)


class Algebra:
    """Trees as quotients. One object per comparison, so that atoms mean the same on both sides. All methods raise TooLarge."""

    def __init__(self) -> None:
        self.ring = Ring()

    def equal(self, left: Quotient, right: Quotient) -> bool:
        return not self.difference(left, right)

    def difference(self, left: Quotient, right: Quotient) -> Polynomial:
        """The numerator of left - right."""
        ring = self.ring
        if left[1] == right[1]:
            return ring.add(left[0], right[0], -1)
        return ring.add(ring.mul(left[0], right[1]), ring.mul(right[0], left[1]), -1)

    def quotient(self, tree: Tree) -> Quotient:
        kind = tree[0]
        if kind == "num":
            return ({ONE: tree[1]} if tree[1] else {}), UNIT
        if kind == "sym":
            return self.ring.monomial(f"${tree[1]}"), UNIT
        if kind == "const":
            return self._constant(tree[1])
        if kind == "add":
            total: Quotient = {}, UNIT
            for part in tree[1:]:
                total = self._add(total, self.quotient(part))
            return total
        if kind == "mul":
            product: Quotient = UNIT, UNIT
            for part in tree[1:]:
                product = self._mul(product, self.quotient(part))
            return product
        if kind == "pow":
            return self._pow(self.quotient(tree[1]), self.quotient(tree[2]))
        if kind == "big":
            return self._big(tree)
        return self._function(tree[1], [self.quotient(part) for part in tree[2:]])

    # --- arithmetic

    def _constant(self, name: str) -> Quotient:
        if name == "inf":
            raise TooLarge
        return self.ring.monomial(name), UNIT

    def _add(self, left: Quotient, right: Quotient) -> Quotient:
        ring = self.ring
        if left[1] == right[1]:
            return ring.add(left[0], right[0]), left[1]
        top = ring.add(ring.mul(left[0], right[1]), ring.mul(right[0], left[1]))
        return self._simple((top, ring.mul(left[1], right[1])))

    def _mul(self, left: Quotient, right: Quotient) -> Quotient:
        return self._simple((self.ring.mul(left[0], right[0]), self.ring.mul(left[1], right[1])))

    def _simple(self, quotient: Quotient) -> Quotient:
        """A denominator of one term goes into the numerator, as negative exponents."""
        top, bottom = quotient
        if not bottom:
            raise TooLarge  # a division by zero
        if bottom == UNIT or len(bottom) != 1:
            return quotient
        ((monomial, coefficient),) = bottom.items()
        inverse = {tuple((atom, -power) for atom, power in monomial): 1 / coefficient}
        return self.ring.mul(top, inverse), UNIT

    def _inverse(self, quotient: Quotient) -> Quotient:
        return self._simple((quotient[1], quotient[0]))

    # --- powers

    def _pow(self, base: Quotient, exponent: Quotient) -> Quotient:
        if exponent[1] != UNIT:
            return self._opaque("pow", [base, exponent])
        number = _rational(exponent[0])
        if number is None:
            return self._symbolic_power(base, exponent[0])
        if number.denominator == 1:
            return self._whole_power(base, int(number))
        return self._mul(self._root(base[0], number), self._inverse(self._root(base[1], number)))

    def _whole_power(self, base: Quotient, exponent: int) -> Quotient:
        if exponent < 0:
            return self._whole_power(self._inverse(base), -exponent)
        if exponent > 10**5:
            raise TooLarge
        return self._simple((self.ring.power(base[0], exponent), self.ring.power(base[1], exponent)))

    def _root(self, base: Polynomial, exponent: Fraction) -> Quotient:
        if base == UNIT or not base:
            return base, UNIT
        content, rest = _content(base)
        if len(rest) == 1:
            ((monomial, sign),) = rest.items()
            even = exponent.denominator % 2 == 0
            if not even or (sign > 0 and all(_splits(atom, power) for atom, power in monomial)):
                odd = -1 if sign < 0 and exponent.numerator % 2 else 1
                split = {tuple((atom, power * exponent) for atom, power in monomial): Fraction(odd)}
                return self._mul(self._number_root(content, exponent), (self.ring.reduced(split), UNIT))
            if even and monomial == ONE and sign < 0 and exponent.denominator == 2:
                imaginary = self.ring.monomial("i", Fraction(exponent.numerator))
                return self._mul(self._number_root(content, exponent), (imaginary, UNIT))
        atom = f"√[{name_of(rest)}]"
        self.ring.rules[atom] = (1, rest)
        return self._mul(self._number_root(content, exponent), self._signed_monomial(atom, exponent))

    def _signed_monomial(self, atom: str, power: Fraction) -> Quotient:
        if power >= 0:
            return self.ring.monomial(atom, power), UNIT
        return self._simple((UNIT, self.ring.monomial(atom, -power)))

    def _number_root(self, number: Fraction, exponent: Fraction) -> Quotient:
        """A positive rational to a rational power: primes with fractional exponents."""
        result = UNIT
        for prime, power in _factors(number).items():
            result = self.ring.mul(result, self.ring.monomial(f"#{prime}", power * exponent))
        return result, UNIT

    def _symbolic_power(self, base: Quotient, exponent: Polynomial) -> Quotient:
        """Terms of the exponent one by one: 2^{n+1} = 2 * 2^n."""
        if base[1] != UNIT or len(base[0]) != 1:
            return self._opaque("pow", [base, (exponent, UNIT)])
        ((monomial, coefficient),) = base[0].items()
        result: Quotient = UNIT, UNIT
        parts = [(f"#{prime}", Fraction(power)) for prime, power in _factors(abs(coefficient)).items()]
        if coefficient < 0:
            parts.append(("(-1)", Fraction(1)))
        for atom, power in [*parts, *monomial]:
            for term, factor in exponent.items():
                result = self._mul(result, (self._term_power(atom, power, term, factor), UNIT))
        return result

    def _term_power(self, atom: str, power: Fraction, term: Monomial, factor: Fraction) -> Polynomial:
        if term == ONE:
            if atom == "(-1)":
                return (
                    self._root({ONE: Fraction(-1)}, factor)[0] if factor.denominator > 1 else {ONE: Fraction(-1) ** int(factor)}
                )
            return self.ring.monomial(atom, power * factor)
        return self.ring.monomial(f"{atom}^[{name_of({term: Fraction(1)})}]", power * factor)

    # --- functions

    def _function(self, name: str, arguments: list[Quotient]) -> Quotient:
        found = [_rational(top) if bottom == UNIT else None for top, bottom in arguments]
        numbers = [number for number in found if number is not None]
        if len(numbers) == len(found) and (value := number_function(name, numbers)) is not None:
            return ({ONE: value} if value else {}), UNIT
        if name in _TRIGONOMETRIC:
            top, bottom = _TRIGONOMETRIC[name]
            return self._mul(
                self._function(top, arguments) if top else (UNIT, UNIT), self._inverse(self._function(bottom, arguments))
            )
        special = {"ln": self._ln, "log": self._log, "abs": self._abs, "factorial": self._factorial, "binom": self._binomial}
        if name in special:
            return special[name](arguments)
        if name == "sin":
            return self._sine(arguments)
        if name in ("max", "min", "gcd", "lcm"):
            arguments = sorted(arguments, key=self.name)
        return self._opaque(name, arguments)

    def _opaque(self, name: str, arguments: list[Quotient]) -> Quotient:
        return self.ring.monomial(f"{name}({';'.join(map(self.name, arguments))})"), UNIT

    def name(self, quotient: Quotient) -> str:
        """The same for equal quotients, in most cases: without a common factor's cancellation."""
        top, bottom = quotient
        if bottom == UNIT:
            return name_of(top)
        leading = bottom[min(bottom)]
        return f"{name_of({m: c / leading for m, c in top.items()})}/{name_of({m: c / leading for m, c in bottom.items()})}"

    def _sine(self, arguments: list[Quotient]) -> Quotient:
        atom = f"sin({self.name(arguments[0])})"
        cosine = self.ring.monomial(f"cos({self.name(arguments[0])})", Fraction(2))
        self.ring.rules[atom] = (2, self.ring.add(UNIT, cosine, -1))
        return self.ring.monomial(atom), UNIT

    def _log(self, arguments: list[Quotient]) -> Quotient:
        base = arguments[1] if len(arguments) > 1 else ({ONE: Fraction(10)}, UNIT)
        if len(arguments) == 1:
            return self._opaque("log", arguments)  # its base is not said
        return self._mul(self._ln(arguments[:1]), self._inverse(self._ln([base])))

    def _ln(self, arguments: list[Quotient]) -> Quotient:
        top, bottom = arguments[0]
        total: Polynomial = {}
        for part, sign in ((top, 1), (bottom, -1)):
            if len(part) != 1 or next(iter(part.values())) < 0:
                return self._opaque("ln", arguments)
            ((monomial, coefficient),) = part.items()
            terms = [*monomial, *((f"#{prime}", Fraction(power)) for prime, power in _factors(coefficient).items())]
            for atom, power in terms:
                one = UNIT if atom == "e" else self.ring.monomial(f"ln({atom})")
                total = self.ring.add(total, self.ring.mul({ONE: power}, one), sign)
        return total, UNIT

    def _abs(self, arguments: list[Quotient]) -> Quotient:
        result: Quotient = UNIT, UNIT
        for part, power in zip(arguments[0], (1, -1), strict=True):
            if part == UNIT:
                continue
            content, rest = _content(part)
            result = self._mul(result, ({ONE: content**power}, UNIT))
            factors: list[tuple[Polynomial, Fraction]] = [(rest, _NESTED)]
            if len(rest) == 1:
                factors = [({((atom, Fraction(1)),): Fraction(1)}, exponent) for atom, exponent in next(iter(rest))]
            for factor, exponent in factors:
                if factor[min(factor)] < 0:
                    factor = {monomial: -value for monomial, value in factor.items()}
                atom = f"abs[{name_of(factor)}]"
                self.ring.rules[atom] = (2, self.ring.mul(factor, factor))
                if exponent.denominator != 1:
                    return self._opaque("abs", arguments)
                result = self._mul(result, self._signed_monomial(atom, exponent * power))
        return result

    def _factorial(self, arguments: list[Quotient]) -> Quotient:
        """(n + 2)! = (n + 2)(n + 1) n!"""
        top, bottom = arguments[0]
        shift = top.get(ONE, Fraction(0))
        if bottom != UNIT or shift.denominator != 1 or abs(shift) > 20 or len(top) == (ONE in top):
            return self._opaque("factorial", arguments)
        plain = {monomial: value for monomial, value in top.items() if monomial != ONE}
        result = self._opaque("factorial", [(plain, UNIT)])
        steps = range(1, int(shift) + 1) if shift > 0 else range(int(shift) + 1, 1)
        for step in steps:
            factor = (self.ring.add(plain, {ONE: Fraction(step)} if step else {}), UNIT)
            result = self._mul(result, factor if shift > 0 else self._inverse(factor))
        return result

    def _binomial(self, arguments: list[Quotient]) -> Quotient:
        n, k = arguments
        rest = self._add(n, self._mul(k, ({ONE: Fraction(-1)}, UNIT)))
        chosen = _rational(k[0]) if k[1] == UNIT else None
        if chosen is not None and chosen.denominator == 1 and 0 <= chosen <= 12:
            product: Quotient = {ONE: Fraction(1, prod(range(1, int(chosen) + 1)))}, UNIT
            for step in range(int(chosen)):
                product = self._mul(product, self._add(n, ({ONE: Fraction(-step)} if step else {}, UNIT)))
            return product
        below = self._mul(self._function("factorial", [k]), self._function("factorial", [rest]))
        return self._mul(self._function("factorial", [n]), self._inverse(below))

    def _big(self, tree: Tree) -> Quotient:
        """A sum or product by its bounds and body; the bound letter has no name of its own."""
        _, operation, variable, lower, upper, body = tree
        parts = [self.quotient(lower), self.quotient(upper), self.quotient(_renamed(body, variable))]
        return self._opaque(operation, parts)


def _renamed(tree: Tree, variable: str) -> Tree:
    """The tree with its bound letter anonymous, in indices too (F_{k-1})."""
    if tree[0] == "sym":
        return ("sym", _NAMES.sub(lambda match: "•" if match[0] == variable else match[0], tree[1]))
    return tuple(_renamed(part, variable) if isinstance(part, tuple) else part for part in tree)


def _rational(polynomial: Polynomial) -> Fraction | None:
    if not polynomial:
        return Fraction(0)
    return polynomial.get(ONE) if len(polynomial) == 1 else None


def _splits(atom: str, power: Fraction) -> bool:
    """Whether the root of atom^power is the root of the atom, raised: not for x^2."""
    positive = atom[0] == "#" or atom in ("pi", "e") or atom.startswith("e^[")
    return positive or power.denominator > 1 or power.numerator % 2 == 1


def _content(polynomial: Polynomial) -> tuple[Fraction, Polynomial]:
    """(c, p / c) with c > 0 and the coefficients of p / c whole numbers without a common factor."""
    top = gcd(*(value.numerator for value in polynomial.values()))
    content = Fraction(top, lcm(*(value.denominator for value in polynomial.values())))
    return content, {monomial: value / content for monomial, value in polynomial.items()}


def _factors(number: Fraction) -> dict[int, int]:
    """Prime factors of a positive rational with exponents; a large part without small factors counts as one."""
    powers: dict[int, int] = {}
    for part, sign in ((number.numerator, 1), (number.denominator, -1)):
        if part.bit_length() > 256:
            raise TooLarge
        divisor = 2
        while part > 1 and divisor <= MAX_PRIME:
            if divisor * divisor > part:
                divisor = part
            while part % divisor == 0:
                part //= divisor
                powers[divisor] = powers.get(divisor, 0) + sign
            divisor += 1
        if part > 1:
            powers[part] = powers.get(part, 0) + sign
    return powers


def number_function(name: str, numbers: list[Fraction]) -> Fraction | None:
    """The rational value of a function of rationals, None where it has none (or is better computed elsewhere)."""
    first = numbers[0]
    whole = all(number.denominator == 1 for number in numbers)
    if name == "abs":
        return abs(first)
    if name == "floor":
        return Fraction(first.__floor__())
    if name == "ceil":
        return Fraction(first.__ceil__())
    if name in ("max", "min"):
        return max(numbers) if name == "max" else min(numbers)
    if name == "sgn":
        return Fraction((first > 0) - (first < 0))
    if name in ("gcd", "lcm") and whole:
        return Fraction((gcd if name == "gcd" else lcm)(*(int(number) for number in numbers)))
    if name == "mod" and whole and numbers[1] > 0:
        return first % numbers[1]
    if name == "factorial" and whole and 0 <= first <= MAX_FACTORIAL:
        return Fraction(prod(range(1, int(first) + 1)))
    if name == "binom" and whole and 0 <= numbers[1] <= first <= MAX_FACTORIAL:
        n, k = int(first), int(numbers[1])
        return Fraction(prod(range(n - k + 1, n + 1)), prod(range(1, k + 1)))
    if (name, first) in (("sin", 0), ("tan", 0), ("asin", 0), ("atan", 0)):
        return Fraction(0)
    return Fraction(1) if (name, first) == ("cos", 0) else None
