"""The effects of a factorial grid: what each factor does on average, and how far two factors change each other's effect.

Every level of a factor is set against the factor's first. With y the score of an arm, averaged over the other factors' levels:

    main effect of a:           y(a) - y(a0)
    interaction of a and b:     [y(a, b) - y(a0, b)] - [y(a, b0) - y(a0, b0)]

Both are paired differences of mean scores [S, P] over the same seeds and problems, and their intervals and tests are those of
`intervals`; of an interaction half of it is such a difference, which is doubled. A seed counts where every arm of the effect has
it. Effects exist where the grid has an arm for every combination.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from unified_rl.statistics.intervals import paired_difference
from unified_rl.statistics.planning import paired_p_value

MAIN, INTERACTION = "main effect", "interaction"


class Scored(Protocol):
    """What `grid_cells.Score` is: values [P] of one policy's problems."""

    @property
    def values(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Factor:
    """A setting that a grid varies, and its values in order; the first is what the others are set against."""

    name: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Effect:
    """A contrast of arms: `scale` times the mean of `plus` less the mean of `minus` (labels). kind: MAIN | INTERACTION."""

    name: str
    kind: str
    plus: tuple[str, ...]
    minus: tuple[str, ...]
    scale: float = 1.0


def effects(factors: Sequence[Factor], arms: Mapping[tuple[str, ...], str]) -> list[Effect]:
    """The main effects, then the interactions of two factors; none where a combination has no arm.

    Args:
        arms: levels, in the order of the factors -> the arm's label.
    """
    combinations = list(itertools.product(*(factor.levels for factor in factors)))
    if len(factors) < 2 or any(one not in arms for one in combinations):
        return []

    def where(fixed: Mapping[int, str]) -> tuple[str, ...]:
        return tuple(arms[one] for one in combinations if all(one[place] == level for place, level in fixed.items()))

    found = []
    for place, factor in enumerate(factors):
        first, *others = factor.levels
        for level in others:
            found.append(Effect(f"{factor.name}: {level} - {first}", MAIN, where({place: level}), where({place: first})))
    for (i, a), (j, b) in itertools.combinations(enumerate(factors), 2):
        for x, y in itertools.product(a.levels[1:], b.levels[1:]):
            plus = where({i: x, j: y}) + where({i: a.levels[0], j: b.levels[0]})
            minus = where({i: x, j: b.levels[0]}) + where({i: a.levels[0], j: y})
            name = f"{a.name} ({x} - {a.levels[0]}) x {b.name} ({y} - {b.levels[0]})"
            found.append(Effect(name, INTERACTION, plus, minus, scale=2.0))
    return found


def measured(effect: Effect, of: Callable[[str], Mapping[int, Scored]]) -> dict[str, Any] | None:
    """An effect's estimate, interval and p by one metric on one slice; None where no arm has the metric.

    Args:
        of: label -> seed -> score; the problems of all are the same.
    """
    scores = {label: of(label) for label in (*effect.plus, *effect.minus)}
    if not any(scores.values()):
        return None
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in scores.values())))
    if not seeds:
        return {"note": "nothing to compare: no seed of which all its arms are complete"}
    plus, minus = (
        np.mean([[scores[label][seed].values for seed in seeds] for label in side], axis=0)
        for side in (effect.plus, effect.minus)
    )
    found = paired_difference(plus, minus)
    bounds = {name: effect.scale * getattr(found, name) for name in ("estimate", "low", "high")}
    kept = {name: getattr(found, name) for name in ("num_problems", "num_seeds", "note")}
    return bounds | kept | {"p": paired_p_value(plus, minus), "seeds": seeds, "interval": found}
