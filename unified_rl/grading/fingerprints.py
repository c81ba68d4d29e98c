"""Numbers that equal nodes have in common, up to a slack: two nodes without such a number are different, with no comparison.

An expression's is its value, at one fixed point where it has letters; a tuple's and a matrix's a fixed combination of its members'.
What is written in several ways that a policy may take for equal (25 % and 0.25, 90 degrees and \\pi/2, 1 km and 1000) has one for
each. Floating-point numbers: they find candidates, and decide nothing.
"""

from __future__ import annotations

import hashlib
from cmath import isfinite
from collections.abc import Sequence
from math import pi
from typing import NamedTuple

from unified_rl.grading.nodes import (
    Congruence,
    Items,
    Matrix,
    Named,
    Node,
    Ratio,
    RealSet,
    Relation,
    Scalar,
    Text,
    Time,
)
from unified_rl.grading.sampling import generic
from unified_rl.grading.trees import DEGREE, Tree, negative, symbols, written
from unified_rl.grading.values import NoValue, evaluate

EXACT = 1e-9  # relative: more than rounding to floating-point numbers does to a value
NAMES_APART = 1000.0
FAR = 1e9  # what stands for an infinite end


class Fingerprint(NamedTuple):
    """`slack`: by how much the number of an equal node may differ, from this side."""

    value: float
    slack: float


def fingerprints(node: Node, tolerance: float) -> tuple[Fingerprint, ...]:
    """Under a policy's relative tolerance. Empty where nothing is known: such a node may equal any other."""
    if isinstance(node, Named):
        return _named(node, tolerance)
    if isinstance(node, Scalar):
        return _scalar(node, tolerance)
    if isinstance(node, Relation):
        return _relation(node)
    if isinstance(node, Text):
        return (Fingerprint(_number_of(f"text {node.key}"), 0.0),)
    if isinstance(node, Time):
        clock = Fingerprint(float(node.hours % 12 * 3600 + node.minutes * 60 + node.seconds) + 0.5, 0.0)
        return (clock, _combined([_exact(node.hours), _exact(node.minutes)]))
    if isinstance(node, Congruence):
        return _congruence(node)
    return _structure(node, tolerance)


def _exact(value: complex) -> Fingerprint:
    number = value.real + value.imag / pi
    return Fingerprint(number, EXACT * abs(value))


def _number_of(text: str) -> float:
    """A number between 0 and 1 that depends on a text alone."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


# --- expressions


def _value(tree: Tree) -> complex | None:
    """At one fixed point. None where it has none of ordinary size, or a complex one of real letters (logarithms, roots)."""
    names = sorted(name for name in symbols(tree) if name[0] != "@")
    try:
        value = complex(evaluate(tree, generic(names)))
    except (NoValue, OverflowError):
        return None
    real = not symbols(tree) or not value.imag or ("const", "i") in _constants(tree)
    return value if real and isfinite(value) and (not value or 1e-200 < abs(value) < 1e200) else None


def _constants(tree: Tree) -> set[Tree]:
    if tree[0] == "const":
        return {tree}
    return set().union(*(_constants(part) for part in tree[1:] if isinstance(part, tuple)))


def _has_decimals(tree: Tree) -> bool:
    if tree[0] == "num":
        return tree[2] is not None
    return any(_has_decimals(part) for part in tree[1:] if isinstance(part, tuple))


def _scalar(node: Scalar, tolerance: float) -> tuple[Fingerprint, ...]:
    """In each of its readings: without its unit and in base units, as a share of one hundred, as an angle, as digits."""
    literal = written(node.tree)
    if literal is None and _has_decimals(node.tree):
        return ()  # its coefficients may round exact ones
    value = _value(node.tree)
    if value is None:
        return ()
    readings = [value]
    if node.percent:
        readings.append(value / 100)
    if node.degree:
        readings.append(value * pi / 180)
    if node.unit.dimensions:
        readings.append(value * float(node.unit.factor))
    if node.base and node.digits.lstrip("-").isdigit() and len(node.digits) < 200:
        readings.append(float(node.digits))
    if (plain := _without_degrees(node.tree)) != node.tree:
        if (stripped := _value(plain)) is None:
            return ()
        readings.append(stripped)
    places = literal.places if literal is not None and literal.digits else None
    slack = 2 * 10.0**-places if places is not None and abs(places) < 200 else 0.0
    scale = max(abs(reading) for reading in readings) / abs(value) if value else 1.0
    found = []
    for reading in readings:
        exact = _exact(reading)
        found.append(Fingerprint(exact.value, exact.slack + slack * scale + tolerance * abs(reading)))
    return (*found, *(_scalar(node.as_quantity, tolerance) if node.as_quantity is not None else ()))


def _without_degrees(tree: Tree) -> Tree:
    if tree[0] == "mul" and tree[-1] == DEGREE and len(tree) == 3:
        return tree[1]
    return tuple(_without_degrees(part) if isinstance(part, tuple) else part for part in tree)


# --- names and relations


def _named(node: Named, tolerance: float) -> tuple[Fingerprint, ...]:
    """Its value's; names of more than one letter keep apart, letters may be bound ones that are only called otherwise."""
    inner = node.value
    if isinstance(inner, Scalar) and symbols(inner.tree):
        if node.bound:
            inner = Scalar(_renamed(inner.tree, node.bound))
        elif node.left is not None:
            return _relation(Relation((node.left, inner.tree), ("=",)))
    apart = 0.0 if node.bound or len(node.name) == 1 else NAMES_APART * _number_of(f"name {node.name}")
    return tuple(Fingerprint(one.value + apart, one.slack + EXACT * apart) for one in fingerprints(inner, tolerance))


def _renamed(tree: Tree, letter: str) -> Tree:
    if tree == ("sym", letter):
        return ("sym", "•")
    return tuple(_renamed(part, letter) if isinstance(part, tuple) else part for part in tree)


def _relation(node: Relation) -> tuple[Fingerprint, ...]:
    """The difference of the sides at one fixed point over that at another: the same for multiples of it."""
    if len(node.ops) != 1 or any(_has_decimals(side) for side in node.sides):
        return ()
    difference: Tree = ("add", node.sides[0], negative(node.sides[1]))
    names = sorted(name for name in symbols(difference) if name[0] != "@")
    try:
        first, second = (complex(evaluate(difference, generic(names, number))) for number in (0, 1))
        return (_exact(first / second),) if isfinite(first / second) and not first.imag and not second.imag else ()
    except (NoValue, OverflowError, ZeroDivisionError):
        return ()


def _congruence(node: Congruence) -> tuple[Fingerprint, ...]:
    residue, modulus = node.residue, node.modulus
    if residue[0] != "num" or modulus[0] != "num" or modulus[1] <= 0:
        return ()
    return (_exact(float(residue[1] % modulus[1])),)


# --- structures


def _structure(node: Node, tolerance: float) -> tuple[Fingerprint, ...]:
    """A combination of the members' in their order; of the least and the largest too, where order may not count."""
    leaves = _leaves(node, tolerance)
    if not leaves or any(isinstance(member, Named) for member in _members(node)):
        return ()
    if not isinstance(node, Items) or node.kind == "tuple":
        return (_combined(leaves),)
    ends = min(leaves), max(leaves)
    alone = ends[1].value - ends[0].value <= ends[0].slack + ends[1].slack
    return (ends[0] if alone else _combined(ends), _combined(leaves))


def _combined(parts: Sequence[Fingerprint]) -> Fingerprint:
    weights = [_number_of(f"weight {place}") for place in range(len(parts))]
    value = sum(weight * part.value for weight, part in zip(weights, parts, strict=True))
    size = sum(abs(weight * part.value) for weight, part in zip(weights, parts, strict=True))
    return Fingerprint(value, sum(part.slack for part in parts) + EXACT * size)


def _leaves(node: Node, tolerance: float) -> list[Fingerprint]:
    """The numbers in a structure, row by row; empty where one is not known."""
    found: list[Fingerprint] = []
    for member in _members(node):
        if isinstance(member, Items) and member.kind == "tuple":
            inner = _leaves(member, tolerance)
        elif isinstance(member, Scalar) and _infinite(member):
            inner = [_exact(_infinite(member) * FAR)]
        else:
            inner = list(fingerprints(member, tolerance))
            inner = inner if len(inner) == 1 else []
        if not inner:
            return []
        found += inner
    return found


def _members(node: Node) -> Sequence[Node]:
    if isinstance(node, Items):
        return node.items
    if isinstance(node, Matrix):
        return [cell for row in node.rows for cell in row]
    if isinstance(node, Ratio):
        return node.parts
    if isinstance(node, RealSet) and any(one.low != one.high for one in node.intervals):
        return [end for one in node.intervals for end in (one.low, one.high)]
    return ()


def _infinite(node: Scalar) -> int:
    if node.tree == ("const", "inf"):
        return 1
    return -1 if node.tree == negative(("const", "inf")) else 0
