"""95 % intervals for accuracies, and for differences of accuracy, over problems and training seeds.

Scores are a table [S, P]: seed s of a method on problem p. Both are samples from a larger population, every seed meets every
problem, so the two are *crossed* (not nested), and the variance of the grand mean is that of a two-way table without
replication:

    Var = sigma_problem^2 / P  +  sigma_seed^2 / S  +  sigma_rest^2 / (S P)

The last two are what the means of the seeds vary by: one mean square on S - 1 degrees of freedom estimates them together, and
nothing is taken out of it. (Taking the residual out, and giving it to the problems with their many degrees of freedom, promises
more than three seeds can show: such intervals cover 90 %.) The problems' part is what is left of their mean square without the
residual:

    A = max(MS_problem - MS_rest, 0) / (S P)        B = MS_seed / (S P)        half-width = t sqrt(A + B)

What a few seeds vary by may be next to nothing by chance, and of whole counts of right answers nothing at all. But seeds vary by
the residual at least, which the whole table shows: MS_seed is taken to be 2 % of MS_rest or more. Where scores are continuous three
seeds fall below that one time in fifty; without it one page in twenty of three seeds has an interval without width.

A is known nearly exactly, B badly, and the quantile t lies between their own by the share u of B in the two:

    t = t_{P-1} + (t_{S-1} - t_{P-1}) u^(4/3),       u = B / (A + B)

Where problems do not matter this is Student's interval over the means of the seeds, exactly; where seeds do not, the one over
problems. Between the two Welch's degrees of freedom cover 92 % at 3 seeds, and the plain mean of the quantiles (Cochran's,
exponent 1) 97 %; no function of u is exact (the Behrens-Fisher problem), and 4/3 stays between 94.5 and 96.3 %. At 99 % and above,
where Holm's correction decides, the function of u that holds at 95 % falls short by up to five times the error rate at three
seeds, and the half-width is Banerjee's (1960), sqrt(t_{P-1}^2 A + t_{S-1}^2 B), which is never too narrow. (A t on S - 1
degrees of freedom for the whole would cover 99.9 % where problems dominate; a bootstrap over three seeds far less than it says.)

One and two seeds say too little of others: their intervals are over problems only, for these very policies, and the note says so.
For accuracies, which lie in [0, 1], the variance enters Wilson's score interval through the effective number of problems
m (1 - m) / Var: a symmetric interval is wrong below a few hundred problems (arXiv 2503.01747). One seed with right/wrong scores
is Wilson's interval itself. For differences, the table is first given two further problems, one won and one lost, after Bonett
and Price (2012) for paired proportions; it keeps the interval from collapsing where no problem differs, and vanishes at many
problems.

`unified-rl interval-coverage` measures how often these intervals cover the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import stdtrit

CONFIDENCE = 0.95
FEW_PROBLEMS = 100
#: With fewer seeds an interval is over problems only. Two seeds leave one degree of freedom: between "seeds do not matter" and
#: "only seeds matter" no quantile keeps 94.5 %, and one that does at the ends covers 89 %.
FEWEST_SEEDS = 3
_SEED_SHARE_POWER = 4 / 3
#: Of the residual's mean square: the least that the seeds' is taken to be.
LEAST_OF_SEEDS = 0.02
#: From this confidence on the quantile is Banerjee's; between it and 95 % the two are mixed.
BANERJEE_FROM = 0.99
#: A problem counts as at most so many right/wrong draws. Where nearly all problems score the same, as Pass@K does close to its
#: ceiling, the few that differ tell little of those not seen: without this limit, intervals at 30 problems cover 82 %.
#: Several seeds see more of each problem. The limit rises from `RARE` problems on the rarer side on.
MOST_DRAWS = {"one seed": 4, "several seeds": 6}
RARE = 10
_ROUNDING = 1e-24  # variances up to this are rounding errors of scores that are all equal


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval, and what the interval speaks of.

    Attributes:
        estimate, low, high: in the units of the scores (accuracies: 0..1; differences: -1..1).
        method: how it was computed, in a few words.
        num_problems, num_seeds: size of the table behind it.
        note: what a reader must know; empty if nothing. One seed: that the interval is over problems only.
        seed_share: of the variance, that comes from the seeds (u above); None over problems only. seed_means: [S].
    """

    estimate: float
    low: float
    high: float
    method: str
    num_problems: int
    num_seeds: int
    note: str
    seed_share: float | None = None
    seed_means: tuple[float, ...] = field(default=(), repr=False)


def mean_interval(scores: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Mean score of a method.

    Args:
        scores: [P] for one seed or [S, P]; in 0..1: right/wrong, or a problem's Pass@K, Maj@K or share of right samples.
        confidence: nominal coverage.

    Raises:
        ValueError: scores outside 0..1, missing (NaN) or empty.
    """
    table = score_table("scores", scores)
    if (table < 0).any() or (table > 1).any():
        raise ValueError(f"scores must lie in 0..1, but range over {table.min():g}..{table.max():g}")
    num_seeds, num_problems = table.shape
    if num_seeds == 1 and np.isin(table, (0, 1)).all():
        test = stats.binomtest(int(table.sum()), num_problems).proportion_ci(confidence, method="wilson")
        low, high, method = test.low, test.high, "Wilson score"
    else:
        low, high = (float(bound) for bound in mean_bounds(table, confidence))
        method = "Wilson score with the effective number of problems" + (
            ", two-way variance" if num_seeds >= FEWEST_SEEDS else ""
        )
    note, (share, means) = reading_note(num_problems, num_seeds), seeds_seen(table, table)
    return Interval(float(table.mean()), low, high, method, num_problems, num_seeds, note, share, means)


def paired_difference(scores: ArrayLike, baseline: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Mean difference `scores - baseline` on the same problems (and seeds).

    Args:
        scores: [P] or [S, P].
        baseline: [P] or [S, P] with the same problems in the same order. With one row against several, every seed is compared
            with that one policy, and the interval says nothing about other baselines.

    Raises:
        ValueError: the tables do not have the same problems, or numbers of seeds that cannot be paired.
    """
    a, b = score_table("scores", scores), score_table("baseline", baseline)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"a paired difference needs the same problems: scores has {a.shape[1]}, baseline {b.shape[1]}")
    if len(a) != len(b) and len(b) != 1:
        raise ValueError(
            f"{len(a)} seeds cannot be paired with {len(b)} of the baseline; pass the seeds that both have, or one baseline"
        )
    table = a - b
    if np.abs(table).max() > 1:
        raise ValueError("scores and baseline must lie in 0..1")
    low, high = (float(bound) for bound in difference_bounds(table, confidence))
    num_seeds, num_problems = table.shape
    seen = seeds_seen(table, padded(table))
    note = reading_note(num_problems, num_seeds)
    if len(b) < len(a):
        note = "; ".join(filter(None, (note, "one baseline policy")))
    method = "paired, with one problem won and one lost added" + (", two-way variance" if num_seeds >= FEWEST_SEEDS else "")
    return Interval(float(table.mean()), low, high, method, num_problems, num_seeds, note, *seen)


def mean_bounds(scores: np.ndarray, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the mean of scores in 0..1, for many tables at once: [..., S, P] -> two of [...]."""
    num_problems = scores.shape[-1]
    mean = np.clip(scores.mean((-2, -1)), 0, 1)
    if num_problems == 1:  # no variance between problems to be seen: nothing is known
        return np.zeros_like(mean), np.ones_like(mean)
    variance, seed_share = _two_way(scores)
    # Where nothing varies (all right or all wrong), each problem counts as one draw, as in Wilson's interval at the edge.
    known = (variance > _ROUNDING) & (mean > 0) & (mean < 1)
    effective = np.where(known, mean * (1 - mean) / np.where(known, variance, 1), num_problems)
    most_draws = MOST_DRAWS["several seeds" if scores.shape[-2] >= FEWEST_SEEDS else "one seed"]
    rarer = num_problems * np.minimum(mean, 1 - mean)  # right or wrong problems, whichever are fewer
    effective = np.minimum(effective, most_draws * num_problems * np.maximum(1, (rarer / RARE) ** 3))
    edge_t2 = stats.t.ppf((1 + confidence) / 2, num_problems - 1) ** 2
    t2 = np.where(known, quantile(seed_share, scores.shape[-2], num_problems, confidence) ** 2, edge_t2)
    shrink = 1 / (1 + t2 / effective)
    centre = shrink * (mean + t2 / (2 * effective))
    half = shrink * np.sqrt(t2 * (mean * (1 - mean) / effective + t2 / (4 * effective**2)))
    return np.maximum(centre - half, 0), np.minimum(centre + half, 1)


def difference_bounds(differences: np.ndarray, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the mean of paired differences in -1..1, for many tables at once: [..., S, P] -> two of [...]."""
    test = difference_test(differences)
    half = test.half_width(confidence)
    return np.maximum(test.centre - half, -1), np.minimum(test.centre + half, 1)


@dataclass(frozen=True, slots=True)
class DifferenceTest:
    """Paired differences, ready for intervals of any confidence. centre, variance, seed_share: [...]; the last as in `quantile`."""

    centre: np.ndarray
    variance: np.ndarray
    seed_share: np.ndarray
    num_seeds: int
    num_problems: int

    def half_width(self, confidence: float) -> np.ndarray:
        return quantile(self.seed_share, self.num_seeds, self.num_problems, confidence) * np.sqrt(self.variance)


def difference_test(differences: np.ndarray) -> DifferenceTest:
    """What an interval for the mean of paired differences in -1..1 is made of: [..., S, P] -> [...]."""
    table = padded(differences)
    return DifferenceTest(table.mean((-2, -1)), *_two_way(table), table.shape[-2], table.shape[-1])


def padded(differences: np.ndarray) -> np.ndarray:
    """Paired differences with a problem won and one lost: [..., S, P] -> [..., S, P + 2]."""
    # One problem won and one lost, by the largest margin seen; by 1 where nothing differs. Their square counts half, because
    # the t quantile widens at few problems already, and the seeds share them. At full weight the simulation of
    # interval_coverage gives 97 to 99 % at 30 problems.
    largest = np.abs(differences.mean(-2)).max(-1)
    margin = np.where(largest > 0, largest, 1.0) * np.sqrt(0.5) / differences.shape[-2]
    margin = margin[..., None, None] * np.ones((*differences.shape[:-1], 1))
    return np.concatenate([differences, margin, -margin], axis=-1)


def seeds_seen(table: np.ndarray, varied: np.ndarray) -> tuple[float | None, tuple[float, ...]]:
    """The seeds' share of the variance, and their means. table: [S, P]; varied: the one that the interval's variance is of."""
    share = float(_two_way(varied)[1]) if len(table) >= FEWEST_SEEDS and varied.shape[1] > 1 else None
    return share, tuple(table.mean(1).tolist())


@dataclass(frozen=True, slots=True)
class MeanSquares:
    """Mean squares of crossed tables [..., S, P]; each [...]. seed and rest: 0 with one seed, which shows neither."""

    problem: np.ndarray
    seed: np.ndarray
    rest: np.ndarray


def mean_squares(scores: np.ndarray) -> MeanSquares:
    """The two-way analysis of tables [..., S, P] without replication. Needs two problems or more."""
    num_seeds, num_problems = scores.shape[-2:]
    by_problem, by_seed = scores.mean(-2), scores.mean(-1)
    problem = num_seeds * by_problem.var(-1, ddof=1)
    if num_seeds == 1:
        return MeanSquares(problem, np.zeros_like(problem), np.zeros_like(problem))
    rest = scores - by_problem[..., None, :] - by_seed[..., None] + scores.mean((-2, -1))[..., None, None]
    rest_mean_square = (rest**2).sum((-2, -1)) / ((num_seeds - 1) * (num_problems - 1))
    return MeanSquares(problem, num_problems * by_seed.var(-1, ddof=1), rest_mean_square)


def quantile(seed_share: ArrayLike, num_seeds: int, num_problems: int, confidence: float = CONFIDENCE) -> np.ndarray:
    """The half-width in standard errors. seed_share: u of the module's formula, in 0..1, any shape."""
    level = (1 + confidence) / 2
    of_problems = float(stdtrit(max(num_problems - 1, 1), level))
    if num_seeds < FEWEST_SEEDS:
        return np.full(np.shape(seed_share), of_problems)
    of_seeds = float(stdtrit(num_seeds - 1, level))
    share = np.asarray(seed_share)
    at_95 = of_problems + (of_seeds - of_problems) * share**_SEED_SHARE_POWER
    banerjee = np.sqrt(of_problems**2 * (1 - share) + of_seeds**2 * share)
    weight = float(np.clip((confidence - CONFIDENCE) / (BANERJEE_FROM - CONFIDENCE), 0, 1))
    return at_95 + weight * np.maximum(banerjee - at_95, 0)


def _two_way(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variance of the grand mean of crossed tables [..., S, P], and the seeds' share of it: each [...]. Needs two problems."""
    num_seeds, num_problems = scores.shape[-2:]
    found = mean_squares(scores)
    if num_seeds < FEWEST_SEEDS:
        variance, share = found.problem, np.zeros_like(found.problem)
    else:
        of_seeds = np.maximum(found.seed, LEAST_OF_SEEDS * found.rest)
        variance = np.maximum(found.problem - found.rest, 0) + of_seeds
        share = np.divide(of_seeds, variance, out=np.zeros_like(variance), where=variance > 0)
    return variance / (num_seeds * num_problems), share


def score_table(name: str, scores: ArrayLike) -> np.ndarray:
    """Scores as float64 [S, P]. Raises ValueError, naming the argument, where they are empty, missing or of another shape."""
    table = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    if table.ndim != 2 or not table.size:
        raise ValueError(f"{name} must be [problems] or [seeds, problems] and not empty, but has shape {np.shape(scores)}")
    if not np.isfinite(table).all():
        raise ValueError(f"{name} has values that are missing or not finite; drop the seed, or evaluate it again")
    return table


def reading_note(num_problems: int, num_seeds: int) -> str:
    """What a reader of an interval over so many problems and seeds must know; empty if nothing."""
    notes = []
    if num_seeds == 1:
        notes.append("over problems only: other training seeds may differ by more")
    elif num_seeds < FEWEST_SEEDS:
        notes.append(f"over problems only, for these {num_seeds} policies: an interval over seeds takes {FEWEST_SEEDS}")
    if num_problems < FEW_PROBLEMS:
        notes.append(f"only {num_problems} problems: read the interval as approximate")
    return "; ".join(notes)


def over_seeds(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Mean of one number per seed, and Student's interval and test against 0; no interval of fewer seeds than it takes.

    Returns:
        estimate, low, high, p; of too few seeds estimate alone, of none nothing.
    """
    if len(values) < FEWEST_SEEDS:
        return {"estimate": float(np.mean(values))} if len(values) else {}
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, len(values) - 1)) if error else float(mean == 0)
    return {"estimate": mean, "low": mean - half, "high": mean + half, "p": p}
