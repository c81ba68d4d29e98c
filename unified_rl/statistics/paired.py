"""Two sets of runs, paired: which stand against which, and the one place where the differences of a page are computed.

Several tables of a page show the same difference: the summary, Maj@K and Pass@K by K, a grid's comparisons. `Differences` makes it
when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unified_rl.statistics.experiment import Cell, Scores
from unified_rl.statistics.intervals import Interval, paired_difference
from unified_rl.statistics.planning import equivalence_p_value, paired_p_value
from unified_rl.statistics.pooling import starts_from

#: Runs with their scores by one metric: [P] each, in 0..1.
Side = Sequence[tuple[Cell, np.ndarray]]


def partners(ours: Mapping[int, Cell], theirs: Mapping[int, Cell]) -> tuple[list[int], list[int]]:
    """Seeds of each side that stand against each other, in order: seed against seed, or all against the one that they started from.

    A start policy stands only against runs that may have started from it.
    """
    if len(theirs) == 1:
        ((seed, only),) = theirs.items()
        if only.is_baseline and all(starts_from(cell, only) for cell in ours.values()):
            return sorted(ours), [seed]
    common = [seed for seed in sorted(ours.keys() & theirs.keys()) if _may_pair(ours[seed], theirs[seed])]
    return common, common


def _may_pair(cell: Cell, other: Cell) -> bool:
    return not other.is_baseline or starts_from(cell, other)


def baseline_of(
    cells: Iterable[Cell], sampled: Sequence[Cell], key: tuple[str, str], usable: Callable[[Scores], bool]
) -> list[Cell]:
    """The start policies to stand against all of these runs on one (slice, split); none where one of them would be left out."""
    starts = {cell.seed: cell for cell in cells if cell.is_baseline and key in cell.scores and usable(cell.scores[key])}
    ours, theirs = partners({cell.seed: cell for cell in sampled}, starts)
    return [starts[seed] for seed in theirs] if len(ours) == len(sampled) else []


@dataclass(frozen=True)
class Difference:
    """Mean of one side minus mean of the other. table, other: scores [S, P]; the other's perhaps [1, P]."""

    table: np.ndarray
    other: np.ndarray
    interval: Interval

    @cached_property
    def p(self) -> float:
        """Of no difference, as `planning.paired_p_value`."""
        return paired_p_value(self.table, self.other)

    def p_equivalent(self, margin: float) -> float:
        """Of a difference of the margin or more, as `planning.equivalence_p_value`."""
        return equivalence_p_value(self.table, self.other, margin)


class Differences:
    """The differences of one page, on which a run is known by its label and seed, and every rule of counting is the same."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Difference] = {}

    def of(self, what: Hashable, ours: Side, theirs: Side) -> Difference:
        """The difference of two sides that stand against each other (`partners`), the same problems in the same order.

        Args:
            what: the metric with its K, slice and split.
        """
        name = (what, *(tuple((cell.label, cell.seed) for cell, _ in side) for side in (ours, theirs)))
        if name not in self._made:
            table, other = (np.stack([scores for _, scores in side]) for side in (ours, theirs))
            self._made[name] = Difference(table, other, paired_difference(table, other))
        return self._made[name]
