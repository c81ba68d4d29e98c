"""Before a grid runs: how wide its primary contrasts' intervals will be, and how many seeds a margin takes. From a pilot.

The pilot is a finished grid with the two labels, the same metric and three seeds or more. Its paired differences give the spread
between problems, between seeds and what is left in single cells (`planning.spread_of`); the expected half-width for another number
of problems and seeds follows (`planning.minimum_detectable_effect`). What seeds differ in is what the pilot's seeds differed in:
with one start policy for all, the start is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from unified_rl.statistics.grid_table import GridData
from unified_rl.statistics.intervals import FEWEST_SEEDS
from unified_rl.statistics.planning import Spread, minimum_detectable_effect, spread_of

#: Beyond this many seeds the answer is that seeds are not the way.
MOST_SEEDS = 200


@dataclass(frozen=True)
class Expectation:
    """What a planned contrast will see on one slice.

    half_width: of its 95 % interval, expected; seeds_needed: the fewest whose half-width is within the margin, None where not even
    `MOST_SEEDS` are enough (then problems are what lacks). pilot_seeds, pilot_problems: what the spread is from.
    """

    slice: str
    half_width: float
    seeds_needed: int | None
    spread: Spread
    pilot_seeds: int
    pilot_problems: int
    note: str = ""


def expectations(
    data: GridData, pair: tuple[str, str], metric: str, margin: float, num_problems: int, num_seeds: int
) -> Iterator[Expectation]:
    """One per slice of the pilot on which both labels were measured, paired by seed or against a start that serves all.

    Args:
        data: the pilot. pair: (label, baseline). margin: differences within it do not matter. num_problems: planned, per slice;
            0 = as many as the pilot had.
    """
    for name in data.slices:
        ours, theirs = (data.of(label, name, metric) for label in pair)
        seeds = sorted(ours) if len(theirs) == 1 and len(ours) > 1 else sorted(ours.keys() & theirs.keys())
        if len(seeds) < FEWEST_SEEDS:
            continue
        a = np.stack([ours[seed].values for seed in seeds])
        b = np.stack([scores.values for seed, scores in theirs.items() if seed in seeds or len(theirs) == 1])
        if a.shape[1] != b.shape[1]:
            continue
        spread, problems = spread_of(a, b), num_problems or a.shape[1]
        plan = minimum_detectable_effect(problems, spread, num_seeds)
        needed = seeds_for(margin, problems, spread)
        yield Expectation(name, plan.half_width, needed, spread, len(seeds), a.shape[1], plan.note)


def seeds_for(margin: float, num_problems: int, spread: Spread) -> int | None:
    """The fewest seeds, `FEWEST_SEEDS` at least, whose expected half-width is within a margin; None beyond `MOST_SEEDS`."""

    def enough(seeds: int) -> bool:
        return minimum_detectable_effect(num_problems, spread, seeds).half_width <= margin

    if not enough(MOST_SEEDS):
        return None
    low, high = FEWEST_SEEDS - 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def in_words(found: Expectation, pair: tuple[str, str], metric: str, margin: float, num_seeds: int) -> str:
    """One line: what to expect, what the margin takes, and where the spread lies."""
    wanted = (
        f"more than {MOST_SEEDS} seeds (more problems, then)" if found.seeds_needed is None else f"{found.seeds_needed} seeds"
    )
    spread = found.spread
    return (
        f"{pair[0]} - {pair[1]}, {found.slice}, {metric}: half-width {100 * found.half_width:.1f} points to expect of {num_seeds} "
        f"seeds; the margin of {100 * margin:g} points takes {wanted}. Spread of the difference: between problems "
        f"{100 * spread.problem_sd:.1f} points, between seeds {100 * spread.seed_sd:.1f}, in single cells "
        f"{100 * spread.rest_sd:.1f} (pilot: {found.pilot_seeds} seeds, {found.pilot_problems} problems)"
    )
