"""The K at which two Pass@K curves cross: the policy that is better at one sample may be the worse at many.

`crossings` finds them on plotted points. `pass_at_k_crossover` finds them from the counts of right samples, at every whole K up to
the number of samples, with an interval by bootstrap over problems.

The interval is of the *overtaking*: the first K at which the policy that leads at K = 1 falls behind. It always exists as a
number: infinity where the leader leads up to the last K ("not within n samples"), and 0 where a resample of the problems has the
other one ahead from the start ("at once"). So no crossing, one and several are all stated, none is left out of the interval:
`ks` lists every crossing of the curves themselves, and `crossing_share` says how many resamples cross within 1..n.

The bootstrap draws problems with replacement, 2,000 times, the two policies' counts of a problem together. Training seeds are
held fixed (a bootstrap over three seeds would mean nothing): the interval is about other problems, not about other seeds. With
fewer than a hundred problems it is rough, and the note says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from unified_rl.statistics.intervals import CONFIDENCE, FEW_PROBLEMS
from unified_rl.statistics.pass_at_k import pass_at_k, whole_numbers

AT_ONCE, NEVER = 0.0, float("inf")
_NOISE = 1e-12  # differences up to this are equality, up to rounding


@dataclass(frozen=True, slots=True)
class Crossover:
    """Where curve a and curve b cross.

    Attributes:
        ks: every crossing, interpolated on a logarithmic axis; () without one.
        leader: "a" or "b", who is ahead at the smallest K at which they differ; "neither" where the curves are equal.
        overtaking: the first of `ks`, `NEVER` without one.
        low, high: its interval; `AT_ONCE` = 0 and `NEVER` = infinity are possible bounds.
        crossing_share: share of the bootstrap's resamples in which the leader is overtaken at 1 < K <= n.
        note: what a reader must know.
    """

    ks: tuple[float, ...]
    leader: str
    overtaking: float
    low: float
    high: float
    crossing_share: float
    note: str


def crossings(ks: ArrayLike, difference: ArrayLike) -> tuple[float, ...]:
    """Every K at which a difference of two curves changes sign, between its points interpolated in log K.

    Args:
        ks: [K], ascending and positive. difference: [K], curve a minus curve b. A difference of 0 is no crossing by itself: the
            sign must change from one side of it to the other, and the crossing is then placed in the middle of the zeros.
    """
    ks, difference = np.asarray(ks, float), np.asarray(difference, float)
    if ks.ndim != 1 or ks.shape != difference.shape or (np.diff(ks) <= 0).any() or (ks <= 0).any():
        raise ValueError("ks must be ascending and positive, with one difference for each")
    signed = np.flatnonzero(np.abs(difference) > _NOISE)
    found = []
    for left, right in pairwise(signed.tolist()):
        if np.sign(difference[left]) != np.sign(difference[right]):
            if right - left > 1:
                place = np.log(ks[left + 1 : right]).mean()
            else:
                share = difference[left] / (difference[left] - difference[right])
                place = np.log(ks[left]) + share * np.log(ks[right] / ks[left])
            found.append(float(np.exp(place)))
    return tuple(found)


def pass_at_k_crossover(
    num_samples: int,
    num_correct_a: ArrayLike,
    num_correct_b: ArrayLike,
    *,
    confidence: float = CONFIDENCE,
    num_resamples: int = 2000,
    rng: np.random.Generator | None = None,
) -> Crossover:
    """Where the Pass@K curves of policies a and b cross, for K = 1..n.

    Args:
        num_samples: n, samples per problem of both policies. num_correct_a, num_correct_b: [P] or [S, P], right samples on the
            same problems in the same order; seeds are averaged.
        rng: for the bootstrap; seed 0 if None, so that the result repeats.

    Raises:
        ValueError: different problems, or counts outside 0..n.
    """
    a, b = (np.atleast_2d(whole_numbers("num_correct", counts)) for counts in (num_correct_a, num_correct_b))
    if a.shape[1] != b.shape[1] or not a.size:
        raise ValueError(f"a crossover needs the same problems: a has {a.shape[1]}, b has {b.shape[1]}")
    ks = np.arange(1, num_samples + 1)
    by_count = np.asarray(pass_at_k(num_samples, np.arange(num_samples + 1)[:, None], ks))  # [c, K]: every count once
    for counts in (a, b):
        if (counts < 0).any() or (counts > num_samples).any():
            raise ValueError(f"counts of right samples must lie in 0..{num_samples}")
    difference_PK = np.asarray(sum(by_count[counts] for counts in a) / len(a) - sum(by_count[counts] for counts in b) / len(b))
    mean = difference_PK.mean(0)
    found = crossings(ks, mean)
    differing = np.flatnonzero(np.abs(mean) > _NOISE)
    sign = np.sign(mean[differing[0]]) if differing.size else 0.0
    num_problems = len(difference_PK)
    rng = rng or np.random.default_rng(0)
    weights = rng.multinomial(num_problems, np.full(num_problems, 1 / num_problems), num_resamples) / num_problems
    overtakings = _overtakings(ks, sign * (weights @ difference_PK))
    low, high = np.quantile(overtakings, [(1 - confidence) / 2, (1 + confidence) / 2], method="inverted_cdf")
    within = float(((overtakings > AT_ONCE) & (overtakings < NEVER)).mean())
    overtaking = found[0] if found else NEVER
    note = _describe(found, num_samples, num_problems, max(len(a), len(b)), within)
    if not sign:
        return Crossover((), "neither", NEVER, AT_ONCE, NEVER, 0.0, note)
    return Crossover(found, "a" if sign > 0 else "b", overtaking, float(low), float(high), within, note)


def _overtakings(ks: np.ndarray, lead_BK: np.ndarray) -> np.ndarray:
    """First K at which each row's lead turns negative, interpolated in log K; `AT_ONCE` or `NEVER`: [B]."""
    behind = lead_BK < -_NOISE
    first = behind.argmax(1)
    rows = np.arange(len(lead_BK))
    before, after = lead_BK[rows, np.maximum(first - 1, 0)], lead_BK[rows, first]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip(before / (before - after), 0, 1)
        place = ks[first - 1] * (ks[first] / ks[first - 1]) ** share
    return np.where(~behind.any(1), NEVER, np.where(first == 0, AT_ONCE, place))


def _describe(found: tuple[float, ...], num_samples: int, num_problems: int, num_seeds: int, within: float) -> str:
    if not found:
        words = f"no crossing within K = 1..{num_samples}; {within:.0%} of the resamples cross"
    elif len(found) == 1:
        words = f"one crossing; {within:.0%} of the resamples cross within K = 1..{num_samples}"
    else:
        listed = ", ".join(f"{k:.3g}" for k in found)
        words = f"{len(found)} crossings, at K = {listed}: the interval is of the first"
    notes = [words, "interval over problems only" + (f", {num_seeds} seeds held fixed" if num_seeds > 1 else "")]
    if num_problems < FEW_PROBLEMS:
        notes.append(f"only {num_problems} problems: read the interval as approximate")
    return "; ".join(notes)
