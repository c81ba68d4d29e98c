r"""Polynomials over the rationals in named atoms with rational exponents: what `algebra` computes in.

An atom is a letter, a prime under a root (`#2` with exponent 1/2), \pi, i, or a whole subexpression by its canonical name.
Atoms that satisfy an equation (i^2 = -1, \sqrt{u}^2 = u, \sin^2 = 1 - \cos^2) are reduced as soon as a product calls for it.
"""

from __future__ import annotations

from fractions import Fraction

Monomial = tuple[tuple[str, Fraction], ...]
Polynomial = dict[Monomial, Fraction]

MAX_TERMS = 1200
MAX_BITS = 14_000
MAX_WORK = 10_000  # products of terms in one comparison
ONE: Monomial = ()
UNIT: Polynomial = {ONE: Fraction(1)}


class TooLarge(Exception):
    """Beyond the bounds of exact algebra, or outside it; numbers decide then."""


class Ring:
    """Arithmetic with a budget. `rules`: atom -> (order, polynomial): atom^order is that polynomial."""

    def __init__(self) -> None:
        self.rules: dict[str, tuple[int, Polynomial]] = {}
        self.work = 0

    def add(self, left: Polynomial, right: Polynomial, sign: int = 1) -> Polynomial:
        total = dict(left)
        for monomial, coefficient in right.items():
            value = total.get(monomial, Fraction(0)) + sign * coefficient
            if value:
                total[monomial] = value
            else:
                total.pop(monomial, None)
        return self._bounded(total)

    def mul(self, left: Polynomial, right: Polynomial) -> Polynomial:
        if left == UNIT:
            return right
        if right == UNIT:
            return left
        self.work += len(left) * len(right)
        if self.work > MAX_WORK:
            raise TooLarge
        total: Polynomial = {}
        for a, x in left.items():
            for b, y in right.items():
                monomial, factor, rest = self._join(a, b)
                product: Polynomial = {monomial: x * y * factor}
                for atom, power in rest:
                    product = self.mul(product, self.power(self.rules[atom][1], power))
                for name, value in product.items():
                    value += total.get(name, Fraction(0))
                    if value:
                        total[name] = value
                    else:
                        total.pop(name, None)
        return self._bounded(total)

    def power(self, base: Polynomial, exponent: int) -> Polynomial:
        """A natural power."""
        if len(base) == 1:
            ((monomial, coefficient),) = base.items()
            bits = max(abs(coefficient.numerator), coefficient.denominator).bit_length() - 1
            if bits * exponent > MAX_BITS:
                raise TooLarge
            single = {tuple((atom, power * exponent) for atom, power in monomial): coefficient**exponent}
            return self.reduced(single)
        if exponent > 64:
            raise TooLarge
        result = UNIT
        while exponent:
            if exponent & 1:
                result = self.mul(result, base)
            exponent >>= 1
            if exponent:
                base = self.mul(base, base)
        return result

    def reduced(self, single: Polynomial) -> Polynomial:
        ((monomial, coefficient),) = single.items()
        reduced, factor, rest = self._join(monomial, ONE)
        product: Polynomial = {reduced: coefficient * factor}
        for atom, power in rest:
            product = self.mul(product, self.power(self.rules[atom][1], power))
        return product

    def monomial(self, atom: str, power: Fraction = Fraction(1)) -> Polynomial:
        return self.reduced({((atom, power),): Fraction(1)})

    def _join(self, a: Monomial, b: Monomial) -> tuple[Monomial, Fraction, list[tuple[str, int]]]:
        """The product of two monomials: what stays, a rational factor, and whole powers of atoms with a rule of their own."""
        powers = dict(a)
        for atom, power in b:
            powers[atom] = powers.get(atom, Fraction(0)) + power
        factor, rest = Fraction(1), []
        for atom in list(powers):
            power = powers[atom]
            if atom[0] == "#" and atom[1:].isdigit():
                whole = power.numerator // power.denominator
                if whole:
                    factor *= _bounded_power(Fraction(int(atom[1:])), whole)
                    powers[atom] = power - whole
            elif atom == "i" and power.denominator == 1:
                turn = power.numerator % 4
                factor *= -1 if turn >= 2 else 1
                powers[atom] = Fraction(turn % 2)
            elif atom in self.rules and power >= self.rules[atom][0]:
                order = self.rules[atom][0]
                whole = int(power // order)
                powers[atom] = power - whole * order
                rest.append((atom, whole))
        return tuple(sorted((atom, power) for atom, power in powers.items() if power)), factor, rest

    def _bounded(self, polynomial: Polynomial) -> Polynomial:
        if len(polynomial) > MAX_TERMS:
            raise TooLarge
        for value in polynomial.values():
            if value.numerator.bit_length() > 2 * MAX_BITS or value.denominator.bit_length() > 2 * MAX_BITS:
                raise TooLarge
        return polynomial


def _bounded_power(base: Fraction, exponent: int) -> Fraction:
    if abs(exponent) * max(base.numerator, base.denominator).bit_length() > MAX_BITS:
        raise TooLarge
    return base**exponent


def name_of(polynomial: Polynomial) -> str:
    """A canonical name: terms in order, each with its atoms in order."""
    return "+".join(
        f"{coefficient}" + "".join(f"*{atom}^{power}" for atom, power in monomial)
        for monomial, coefficient in sorted(polynomial.items(), key=lambda item: item[0])
    )
