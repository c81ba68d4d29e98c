"""The K at which two Pass@K curves cross: the policy that is better at one sample may be the worse at many.

`crossings` finds them on plotted points. `pass_at_k_crossover` finds them from the counts of right samples, at every whole K up to
the number of samples, with an interval over problems and training seeds.

The interval is of the *overtaking*: the first K at which the policy that leads at K = 1 falls behind. It always exists as a
number: infinity where the leader leads up to the last K ("not within n samples"), and 0 where the other one may be ahead from the
start ("at once"). So no crossing, one and several are all stated, none is left out of the interval: `ks` lists every crossing of
the curves themselves, and `crossing_share` says how many resamples of the problems, these very policies given, cross within 1..n.

Over seeds (three or more), K is in the interval where the 95 % interval of the difference of the curves *at K*, over problems and
seeds (`intervals.difference_bounds`), holds 0: at a true crossing the difference is 0, so that the set of such K holds it as often
as those intervals hold the truth (Fieller's way with a ratio). `low` is where the lead is first in doubt, `AT_ONCE` where it is at
K = 1; `high` is where the last doubt ends that the leader is behind, `NEVER` where it remains at n.

With fewer seeds they are held fixed: the interval is of 2,000 resamples of the problems, the policies' counts of a problem
together; it is about other problems, not about other seeds, and the note says so. (Over other seeds too, such intervals hold the
truth in 37 % of experiments and fewer where seeds matter.) With fewer than a hundred problems it is rough, as the note says.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from unified_rl.statistics.intervals import CONFIDENCE, FEWEST_SEEDS, difference_bounds, padded, reading_note, seeds_seen
from unified_rl.statistics.pass_at_k import pass_at_k, whole_numbers

AT_ONCE, NEVER = 0.0, float("inf")
_NOISE = 1e-12  # differences up to this are equality, up to rounding
_SCORES_AT_ONCE = 4_000_000


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
        seed_share, seed_means: as an `intervals.Interval` has them, of the curves' difference at the whole K nearest to the
            overtaking (at n where there is none).
    """

    ks: tuple[float, ...]
    leader: str
    overtaking: float
    low: float
    high: float
    crossing_share: float
    note: str
    seed_share: float | None = None
    seed_means: tuple[float, ...] = ()


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
            same problems in the same order; seeds are averaged. Both have the same seeds in one order, or one of them is a single
            policy; with three seeds or more the interval is over seeds too.
        rng: for the bootstrap; seed 0 if None, so that the result repeats.

    Raises:
        ValueError: different problems, seeds that cannot be paired, or counts outside 0..n.
    """
    ks = np.arange(1, num_samples + 1)
    difference_SPK = _differences(num_samples, num_correct_a, num_correct_b, ks)
    mean = difference_SPK.mean((0, 1))
    found = crossings(ks, mean)
    differing = np.flatnonzero(np.abs(mean) > _NOISE)
    sign = float(np.sign(mean[differing[0]])) if differing.size else 0.0
    overtakings = _resampled(sign * difference_SPK.mean(0), ks, num_resamples, rng or np.random.default_rng(0))
    within = float(((overtakings > AT_ONCE) & (overtakings < NEVER)).mean())
    num_seeds, num_problems, _ = difference_SPK.shape
    note = _describe(found, num_samples, num_seeds, num_problems, within)
    if not sign:
        return Crossover((), "neither", NEVER, AT_ONCE, NEVER, 0.0, note)
    if num_seeds >= FEWEST_SEEDS:
        low, high = _over_seeds(sign * difference_SPK, ks, confidence)
    else:
        low, high = np.quantile(overtakings, [(1 - confidence) / 2, (1 + confidence) / 2], method="inverted_cdf")
    overtaking = found[0] if found else NEVER
    at_SP = difference_SPK[..., round(min(overtaking, num_samples)) - 1]
    seen = seeds_seen(at_SP, padded(at_SP))
    return Crossover(found, "a" if sign > 0 else "b", overtaking, float(low), float(high), within, note, *seen)


def _differences(num_samples: int, num_correct_a: ArrayLike, num_correct_b: ArrayLike, ks: np.ndarray) -> np.ndarray:
    """Pass@K of a minus that of b: [S, P, K]."""
    a, b = (np.atleast_2d(whole_numbers("num_correct", counts)) for counts in (num_correct_a, num_correct_b))
    if a.shape[1] != b.shape[1] or not a.size:
        raise ValueError(f"a crossover needs the same problems: a has {a.shape[1]}, b has {b.shape[1]}")
    if len(a) != len(b) and 1 not in (len(a), len(b)):
        raise ValueError(f"{len(a)} seeds cannot be paired with {len(b)}; pass the seeds that both have, or one of a policy")
    for counts in (a, b):
        if (counts < 0).any() or (counts > num_samples).any():
            raise ValueError(f"counts of right samples must lie in 0..{num_samples}")
    by_count = np.asarray(pass_at_k(num_samples, np.arange(num_samples + 1)[:, None], ks))  # [c, K]: every count once
    return by_count[a] - by_count[b]


def _resampled(lead_PK: np.ndarray, ks: np.ndarray, num_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The overtaking in resamples of the problems: [num_resamples]."""
    num_problems = len(lead_PK)
    weights = rng.multinomial(num_problems, np.full(num_problems, 1 / num_problems), num_resamples) / num_problems
    return _overtakings(ks, weights @ lead_PK)


def _over_seeds(lead_SPK: np.ndarray, ks: np.ndarray, confidence: float) -> tuple[float, float]:
    """The least and the largest K at which the leader's lead may be 0, over problems and seeds."""
    at_once = max(1, _SCORES_AT_ONCE // lead_SPK[..., 0].size)
    parts = [
        difference_bounds(np.moveaxis(lead_SPK[..., start : start + at_once], -1, 0), confidence)
        for start in range(0, len(ks), at_once)
    ]
    low_K, high_K = (np.concatenate(bounds) for bounds in zip(*parts, strict=True))
    low = float(_overtakings(ks, low_K[None])[0])
    if high_K[-1] >= 0:
        return low, NEVER
    last = int(np.flatnonzero(high_K >= 0)[-1])  # there is one: where the estimate leads, the bound does
    return low, float(_overtakings(ks[last:], high_K[None, last:])[0])


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


def _describe(found: tuple[float, ...], num_samples: int, num_seeds: int, num_problems: int, within: float) -> str:
    if not found:
        words = f"no crossing within K = 1..{num_samples}; {within:.0%} of the resamples cross"
    elif len(found) == 1:
        words = f"one crossing; {within:.0%} of the resamples cross within K = 1..{num_samples}"
    else:
        listed = ", ".join(f"{k:.3g}" for k in found)
        words = f"{len(found)} crossings, at K = {listed}: the interval is of the first"
    over = f"interval over problems and {num_seeds} seeds"
    if num_seeds < FEWEST_SEEDS:
        over = "interval over problems only" + (f", {num_seeds} seeds held fixed" if num_seeds > 1 else "")
    return "; ".join(filter(None, [words, over, reading_note(num_problems, FEWEST_SEEDS)]))
