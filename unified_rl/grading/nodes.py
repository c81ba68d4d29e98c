"""What an answer can be: a scalar, a list, tuple or set, a set of real numbers, a matrix, a relation, a time, a text ..."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard, TypeVar

from unified_rl.grading.trees import Tree
from unified_rl.grading.units import NONE, Unit


@dataclass(frozen=True)
class Text:
    """What the reader does not understand, or words: compared as it stands. `key`: its spelling in one way."""

    key: str


@dataclass(frozen=True)
class Scalar:
    """A number or expression, with what was written around it.

    `base`: of the `digits`.
    `groups`: the parts of a number with commas (60,120), which may also be a list. `as_quantity`: another reading, in which a
    letter after the number is a unit (5 m).
    """

    tree: Tree
    unit: Unit = NONE
    percent: bool = False
    degree: bool = False
    base: int = 0
    digits: str = ""
    groups: tuple[str, ...] = ()
    as_quantity: Scalar | None = None


@dataclass(frozen=True)
class Options:
    """Letters of a multiple-choice answer, in order."""

    letters: str


@dataclass(frozen=True)
class Items:
    """`kind`: "list" (no brackets), "set" or "tuple". `brackets` of a tuple, e.g. "(]"."""

    kind: str
    items: tuple[Node, ...]
    brackets: str = ""


@dataclass(frozen=True)
class Interval:
    """Ends are scalars; infinite ones are open."""

    low: Scalar
    high: Scalar
    closed: tuple[bool, bool]


@dataclass(frozen=True)
class RealSet:
    """A union of intervals: sorted, apart and not empty, where all ends are numbers; a single one where they are not."""

    intervals: tuple[Interval, ...]


@dataclass(frozen=True)
class Matrix:
    """`kind`: "matrix" whatever its brackets are, "determinant" (vmatrix) or "norm" (Vmatrix)."""

    rows: tuple[tuple[Node, ...], ...]
    kind: str = "matrix"


@dataclass(frozen=True)
class Named:
    """`name = value` or `name in value`. `left`: the name as an expression, where it is one. `bound`: the letter x of f(x)."""

    name: str
    value: Node
    left: Tree | None = None
    bound: str = ""


@dataclass(frozen=True)
class Relation:
    """A chain of relations `sides[0] ops[0] sides[1] ...`, with > turned into <."""

    sides: tuple[Tree, ...]
    ops: tuple[str, ...]


@dataclass(frozen=True)
class Ratio:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Time:
    """A time of day; `half`: "am", "pm" or "" where it is not said."""

    hours: int
    minutes: int
    seconds: int
    half: str = ""


@dataclass(frozen=True)
class Congruence:
    """`left` is congruent to `residue`; without a left side only the residue was written."""

    left: Tree | None
    residue: Tree
    modulus: Tree


Node = Text | Scalar | Options | Items | RealSet | Matrix | Named | Relation | Ratio | Time | Congruence
Kind = TypeVar("Kind", bound=Node)

EMPTY = RealSet(())


def are(nodes: Sequence[Node], kind: type[Kind]) -> TypeGuard[Sequence[Kind]]:
    """Whether every node is of one kind."""
    return all(isinstance(node, kind) for node in nodes)
