"""Which source each row of a mix is from: a fixed, even interleaving with exact weights, known for any row without the rows before.

Tijdeman's rule for the chairman assignment problem (R. Tijdeman, Discrete Mathematics 32, 1980): among the sources that may take
row k without getting too far ahead, the one that would first fall too far behind takes it. For m sources of weights w the rows
given to each then differ from w k by at most 1 - 1/(2m - 2) at *every* k. (Taking the source that is furthest behind does not keep
such a bound.) Weights are fractions of a common denominator D, so that all differences are zero again after D rows: the table of
one period answers for every row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

#: Longest period. Weights that would need a longer one are rounded to a millionth.
_LONGEST = 1_000_000


def whole_weights(weights: Sequence[float]) -> list[int]:
    """The weights as whole numbers in the same proportion: exactly, as they are written, or to a millionth of their sum."""
    exact = [Fraction(str(weight)) for weight in weights]
    total = sum(exact, Fraction())
    shares = [weight / total for weight in exact]
    period = math.lcm(*(share.denominator for share in shares))
    if period <= _LONGEST:
        return [int(share * period) for share in shares]
    rounded = [max(1, math.floor(share * _LONGEST)) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda place: rounded[place] - shares[place] * _LONGEST)
    for place in by_remainder[: max(0, _LONGEST - sum(rounded))]:
        rounded[place] += 1
    return rounded


def assignment(counts: Sequence[int]) -> np.ndarray:
    """The source of each row of one period, int64 [sum of counts], in which each source takes as many rows as its count."""
    period, many = sum(counts), len(counts)
    if many == 1:
        return np.zeros(period, dtype=np.int64)
    steps, given, found = 2 * many - 2, [0] * many, np.empty(period, dtype=np.int64)
    for row in range(1, period + 1):
        # behind[i] = D (w_i row - n_i); eligible from D / steps on
        behind = [count * row - period * taken for count, taken in zip(counts, given, strict=True)]
        best = -1
        for place in range(many):
            if steps * behind[place] < period:
                continue
            if best < 0 or _slack(steps, period, behind[place]) * counts[best] < (
                _slack(steps, period, behind[best]) * counts[place]
            ):
                best = place
        found[row - 1] = best
        given[best] += 1
    return found


def _slack(steps: int, period: int, behind: int) -> int:
    """How far a source is from falling too far behind, times steps and period; over its weight it is the time that is left."""
    return (steps - 1) * period - steps * behind


class Blend:
    """The sources of the rows 0, 1, 2 ... of a mix.

    Args:
        weights: of the sources, in any unit.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        self._counts = np.array(whole_weights(weights), dtype=np.int64)
        self._table = assignment(self._counts.tolist())
        taken = self._table[:, None] == np.arange(len(self._counts))
        self._before = np.concatenate([np.zeros((1, len(self._counts)), np.int64), np.cumsum(taken, axis=0, dtype=np.int64)])

    def counts(self, rows: int) -> np.ndarray:
        """How many of the first `rows` rows are each source's, int64 [S]."""
        periods, rest = divmod(rows, len(self._table))
        return periods * self._counts + self._before[rest]

    def place(self, row: int) -> tuple[int, int]:
        """(source, number of this row among that source's)."""
        source = int(self._table[row % len(self._table)])
        return source, int(self.counts(row)[source])
