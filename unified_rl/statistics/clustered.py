"""Intervals for statistics of many items in few problems: steps and responses to one problem are alike, so problems are the sample.

`ratio_interval` is for shares: the variance of a ratio of sums over problems (linearised) enters Wilson's score interval through
the effective number of items r (1 - r) / Var, which never exceeds their real number. `bootstrap_interval` is for statistics that
are no shares (AUC, calibration error): estimate +- t times the standard error over resampled problems.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate with its bounds, over `num_problems` problems and `count` items."""

    estimate: float
    low: float
    high: float
    count: int
    num_problems: int


def ratio_interval(hits: np.ndarray, problems: np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
    """Share of hits among items.

    Args:
        hits: [I] of 0/1 (or numbers in 0..1). problems: int [I], each item's problem.
    """
    hits = np.asarray(hits, dtype=np.float64)
    _, place = np.unique(problems, return_inverse=True)
    hit_P, count_P = np.bincount(place, hits), np.bincount(place)
    num_problems, count, share = len(count_P), len(hits), float(hits.mean())
    if num_problems < 2:
        return Estimate(share, 0.0, 1.0, count, num_problems)
    variance = num_problems / (num_problems - 1) * ((hit_P - share * count_P) ** 2).sum() / count**2
    # Where nothing varies (all right, all wrong), each problem counts as one draw.
    known = variance > 1e-24 and 0 < share < 1
    effective = min(share * (1 - share) / variance, count) if known else num_problems
    t2 = stats.t.ppf((1 + confidence) / 2, num_problems - 1) ** 2
    centre = (share + t2 / (2 * effective)) / (1 + t2 / effective)
    half = np.sqrt(t2 * (share * (1 - share) / effective + t2 / (4 * effective**2))) / (1 + t2 / effective)
    return Estimate(share, max(centre - half, 0.0), min(centre + half, 1.0), count, num_problems)


def bootstrap_interval(
    statistic: Callable[[np.ndarray], np.ndarray], problems: np.ndarray, seed: int = 0, confidence: float = CONFIDENCE
) -> Estimate:
    """A statistic of weighted items, in 0..1, with problems resampled.

    Args:
        statistic: weights [R, I] -> [R]; weights of 1 give the statistic itself. problems: int [I], each item's problem.
    """
    names, place = np.unique(problems, return_inverse=True)
    estimate = float(statistic(np.ones((1, len(place))))[0])
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    resampled = statistic(draws[:, place].astype(np.float64))
    resampled = resampled[np.isfinite(resampled)]
    if len(names) < 2 or len(resampled) < 2:
        return Estimate(estimate, 0.0, 1.0, len(place), len(names))
    half = float(stats.t.ppf((1 + confidence) / 2, len(names) - 1) * resampled.std(ddof=1))
    return Estimate(estimate, max(estimate - half, 0.0), min(estimate + half, 1.0), len(place), len(names))


def weighted_auc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Chance that a positive item scores above a negative one, ties counting half: AUC under item weights.

    Args:
        scores: [I]. positive: bool [I]. weights: [R, I].

    Returns:
        [R]; NaN where a weighting leaves no positive or no negative item.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    ordered, is_positive = weights[:, order], positive[order]
    of_positives = np.add.reduceat(ordered * is_positive, starts, axis=1)
    of_negatives = np.add.reduceat(ordered * ~is_positive, starts, axis=1)
    below = of_negatives.cumsum(1) - of_negatives / 2
    pairs = of_positives.sum(1) * of_negatives.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (of_positives * below).sum(1) / pairs


def plain_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """`weighted_auc` with every item counting once; NaN where there is no positive or no negative."""
    return float(weighted_auc(scores, positive.astype(bool), np.ones((1, len(scores))))[0])


def equal_count_bins(scores: np.ndarray, bins: int) -> np.ndarray:
    """int [I]: which of `bins` bins of (nearly) equally many items each score falls into, lowest first; equal scores together."""
    edges = np.quantile(scores, np.arange(1, bins) / bins, method="inverted_cdf")
    return np.searchsorted(edges, scores, side="left")


def calibration_error(predicted: np.ndarray, right: np.ndarray, bin_of: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Expected calibration error: mean over items of |mean prediction - share right| in their bin, under weights [R, I] -> [R]."""
    total = np.zeros(len(weights))
    for place in np.unique(bin_of):
        inside = bin_of == place
        total += np.abs((weights[:, inside] * (predicted[inside] - right[inside])).sum(1))
    return total / weights.sum(1)
