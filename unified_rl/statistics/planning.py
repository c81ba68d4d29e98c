"""Before a comparison: the smallest difference of accuracy that it would find. After several: Holm's correction.

The planned test is `intervals.paired_difference`: two methods on the same P problems and S seeds, found different where the
(1 - alpha) interval excludes 0. With the variance components of the paired difference

    variance of the mean = problem_sd^2 / P + seed_sd^2 / S + rest_sd^2 / (S P)

the minimum detectable effect is the true difference delta whose interval excludes 0 with the wanted power,

    power = E[ Phi((delta - half-width) / sd of the mean) ]

where the expectation is over the half-width, which varies from comparison to comparison: its mean squares are chi-square with
P - 1 and S - 1 degrees of freedom. (With two degrees of freedom, at three seeds, that matters: the usual sum of two t quantiles
would promise 80 % and give 75 %.) For one answer per problem and one seed this is Miller's rule (arXiv 2411.00640, section 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from unified_rl.statistics.intervals import FEW_PROBLEMS, FEWEST_SEEDS, difference_bounds, quantile, reading_note, score_table

#: Middles of equally likely parts of a distribution.
_LEVELS = (np.arange(200) + 0.5) / 200


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations of a paired difference, in accuracy (0..1).

    Attributes:
        problem_sd: between problems, of the difference averaged over seeds. With one answer per problem and one seed, give it
            the whole spread (`paired_sd`) and leave the others 0.
        seed_sd: between training seeds, of the difference averaged over problems. rest_sd: what is left in single cells.
    """

    problem_sd: float
    seed_sd: float = 0.0
    rest_sd: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a comparison of this size can see.

    Attributes:
        effect: minimum detectable difference of accuracy (0..1). half_width: of its interval, expected.
        num_problems, num_seeds, alpha, power: as planned. note: what the number leaves out; empty if nothing.
    """

    effect: float
    half_width: float
    num_problems: int
    num_seeds: int
    alpha: float
    power: float
    note: str


def minimum_detectable_effect(
    num_problems: int, spread: Spread, num_seeds: int = 1, alpha: float = 0.05, power: float = 0.8
) -> Plan:
    """The smallest true difference that a paired comparison of this size finds with chance `power`.

    Args:
        num_problems: P, shared by both methods; 2 or more. num_seeds: S. spread: from `spread_of` on a pilot, or `paired_sd`.
        alpha: two-sided level, 1 - confidence of the interval. power: chance of finding it.

    Raises:
        ValueError: a size, alpha or power that means nothing.
    """
    if num_problems < 2 or num_seeds < 1:
        raise ValueError(f"a comparison needs 2 problems and 1 seed at least, not {num_problems} and {num_seeds}")
    if not 0 < alpha < 1 or not alpha < power < 1:
        raise ValueError(f"alpha must lie in 0..1 and power between alpha and 1, but alpha={alpha:g} and power={power:g}")
    half, chance, sd = _half_widths(num_problems, num_seeds, spread, alpha)

    def lacking(effect: float) -> float:
        return float(chance @ stats.norm.cdf((effect - half) / sd)) - power

    expected = float(chance @ half)
    effect = optimize.brentq(lacking, 0.0, float(half.max()) + 10 * sd) if sd > 0 else 0.0
    return Plan(effect, expected, num_problems, num_seeds, alpha, power, _plan_note(num_problems, num_seeds, effect))


def _half_widths(num_problems: int, num_seeds: int, spread: Spread, alpha: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Half-widths that the interval may have, the chance of each, and the sd of the mean."""
    problem_part, rest_part = spread.problem_sd**2 / num_problems, spread.rest_sd**2 / (num_seeds * num_problems)
    seen = stats.chi2.ppf(_LEVELS, num_problems - 1) / (num_problems - 1)
    if num_seeds < FEWEST_SEEDS:  # for these very policies: what they differ by is no error
        variance = (problem_part + rest_part) * seen
        half = quantile(np.zeros(variance.size), num_seeds, num_problems, 1 - alpha) * np.sqrt(variance)
        return half, np.full(half.size, 1 / half.size), float(np.sqrt(problem_part + rest_part))
    of_seeds = spread.seed_sd**2 / num_seeds + rest_part  # the interval leaves the residual with the seeds
    seen_seeds = of_seeds * stats.chi2.ppf(_LEVELS, num_seeds - 1) / (num_seeds - 1)
    variance = (problem_part * seen[:, None] + seen_seeds).ravel()
    share = np.divide(np.tile(seen_seeds, seen.size), variance, out=np.zeros_like(variance), where=variance > 0)
    half = quantile(share, num_seeds, num_problems, 1 - alpha) * np.sqrt(variance)
    return half, np.full(half.size, 1 / half.size), float(np.sqrt(problem_part + of_seeds))


def problems_needed(
    effect: float, spread: Spread, num_seeds: int = 1, alpha: float = 0.05, power: float = 0.8, most: int = 10_000_000
) -> int | None:
    """The fewest problems with which `effect` is detectable; None where no number of problems (up to `most`) is enough, because
    the seeds differ too much: more seeds are needed.

    Raises:
        ValueError: an effect that is not positive; see `minimum_detectable_effect`.
    """
    if effect <= 0:
        raise ValueError(f"the effect to detect must be positive, not {effect:g}")

    def enough(problems: int) -> bool:
        return minimum_detectable_effect(problems, spread, num_seeds, alpha, power).effect <= effect

    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
        if high > most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def paired_sd(accuracy_a: float, accuracy_b: float, correlation: float = 0.0) -> float:
    """SD over problems of the difference of two methods' right/wrong answers, one per problem, as a first guess without a pilot.

    Args:
        accuracy_a, accuracy_b: mean accuracies. correlation: between the methods' verdicts on a problem (0: unrelated; two policies
            trained from one another are often at 0.5 and above, which is why pairing pays).
    """
    for name, value in (("accuracy_a", accuracy_a), ("accuracy_b", accuracy_b)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie in 0..1, not {value:g}")
    if not -1 <= correlation <= 1:
        raise ValueError(f"correlation must lie in -1..1, not {correlation:g}")
    sd_a, sd_b = np.sqrt(accuracy_a * (1 - accuracy_a)), np.sqrt(accuracy_b * (1 - accuracy_b))
    return float(np.sqrt(sd_a**2 + sd_b**2 - 2 * correlation * sd_a * sd_b))


def spread_of(scores: ArrayLike, baseline: ArrayLike) -> Spread:
    """The spread of a paired difference, estimated from a pilot.

    Args:
        scores: [P] or [S, P]. baseline: the same problems, [P] or [S, P]. With one seed, everything is in `problem_sd`.

    Raises:
        ValueError: different problems, or fewer than two.
    """
    a, b = score_table("scores", scores), score_table("baseline", baseline)
    if a.shape[1] != b.shape[1] or len(b) not in (1, len(a)) or a.shape[1] < 2:
        raise ValueError(f"a pilot needs two problems or more, the same for both: scores {a.shape}, baseline {b.shape}")
    table = a - b
    num_seeds, num_problems = table.shape
    by_problem, by_seed = table.mean(0), table.mean(1)
    if num_seeds == 1:
        return Spread(float(by_problem.std(ddof=1)))
    rest = table - by_problem - by_seed[:, None] + table.mean()
    rest_variance = (rest**2).sum() / ((num_seeds - 1) * (num_problems - 1))
    problem_variance = max(by_problem.var(ddof=1) - rest_variance / num_seeds, 0.0)
    seed_variance = max(by_seed.var(ddof=1) - rest_variance / num_problems, 0.0)
    return Spread(*(float(np.sqrt(variance)) for variance in (problem_variance, seed_variance, rest_variance)))


def _plan_note(num_problems: int, num_seeds: int, effect: float) -> str:
    notes = [reading_note(num_problems, num_seeds)]
    if num_problems < FEW_PROBLEMS:
        notes.append(
            "too few problems for the normal approximation behind the power; expect less than stated near 0 % or 100 %"
        )
    if effect >= 1:
        notes.append("no difference of accuracies is this large: the comparison cannot find anything")
    return "; ".join(filter(None, notes))


# ------------------------------------------------------------------------------------------------------------------------------
# After several comparisons


def paired_p_value(scores: ArrayLike, baseline: ArrayLike) -> float:
    """Two-sided p-value of "no difference" that goes with `intervals.paired_difference`: 1 - the confidence at which its interval
    just touches 0. Never below 1e-12.

    Args, errors: as `paired_difference`.
    """
    a, b = score_table("scores", scores), score_table("baseline", baseline)
    if a.shape[1] != b.shape[1] or len(b) not in (1, len(a)):
        raise ValueError(f"a paired comparison needs the same problems and seeds: {a.shape} and {b.shape}")
    table = a - b

    def clearance(alpha: float) -> float:
        """Distance of 0 from the interval: positive outside."""
        low, high = difference_bounds(table, 1 - alpha)
        return float(max(low, -high))

    smallest, largest = 1e-12, 1 - 1e-9
    if clearance(smallest) >= 0:
        return smallest
    if clearance(largest) <= 0:
        return 1.0
    return float(optimize.brentq(clearance, smallest, largest, xtol=1e-12))


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm's step-down adjustment (1979): reject where the result is at most alpha, and the chance of any false rejection among
    all m comparisons is at most alpha, however they depend on each other.

    Args:
        p_values: [m], in 0..1. NaN, a comparison that could not be made, stays NaN and does not count.

    Returns:
        Adjusted p-values, [m], in the order given.

    Raises:
        ValueError: a p-value outside 0..1.
    """
    p = np.atleast_1d(np.asarray(p_values, float))
    made = np.flatnonzero(~np.isnan(p))
    if p.ndim != 1 or (p[made] < 0).any() or (p[made] > 1).any():
        raise ValueError("p_values must be a flat list of numbers in 0..1")
    order = made[np.argsort(p[made], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted
