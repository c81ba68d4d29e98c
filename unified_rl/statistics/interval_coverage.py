"""How often the 95 % intervals of `statistics.intervals` cover the truth, by simulation. `unified-rl interval-coverage`.

The simulated world: seed s solves problem p, whose ability is drawn as

    logit P(right) = m + seed_s + problem_p + rest_sp,   problem ~ N(0, 1.5^2),   rest ~ N(0, 0.5^2),   seed ~ N(0, sd^2)

with m in -2.5, -1, 0, 1, 2.5 (mean accuracies of about 12 % to 88 %) and seed sd in 0, 0.1, 0.3 logits (up to about 5 points of
accuracy). Scores are one right/wrong answer per cell ("greedy"), the mean of 16 ("avg@16") or Pass@8 of 16; a difference
compares two methods 0.3 logits apart that share the problems' ability but not the rest. The truth of several seeds is the mean
over problems and seeds; that of one seed is the accuracy of that seed's policy over all problems, which is all that its
interval claims.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from unified_rl.statistics.intervals import difference_bounds, mean_bounds, mean_interval
from unified_rl.statistics.pass_at_k import pass_at_k

MEANS = (-2.5, -1.0, 0.0, 1.0, 2.5)
SEED_SDS = (0.0, 0.1, 0.3)
PROBLEM_SD, REST_SD, EFFECT = 1.5, 0.5, 0.3
KINDS = {"greedy": 1, "avg@16": 16, "pass@8": 16, "difference": 1}  # -> answers per cell
PASS_K = 8
_CELLS_AT_ONCE = 2_000_000
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(80)


def coverage(
    kind: str, num_seeds: int, num_problems: int, mean: float, seed_sd: float, num_tables: int, rng: np.random.Generator
) -> float:
    """Share of simulated tables whose 95 % interval holds the truth.

    Args:
        kind: a key of `KINDS`. mean, seed_sd: m and sd of the module's formula, in logits. num_tables: simulated tables.
    """
    covered, left = 0, num_tables
    while left:
        now = min(left, max(1, _CELLS_AT_ONCE // (num_seeds * num_problems)))
        covered += int(_covered(kind, (now, num_seeds, num_problems), mean, seed_sd, rng).sum())
        left -= now
    return covered / num_tables


def _covered(kind: str, shape: tuple[int, int, int], mean: float, seed_sd: float, rng: np.random.Generator) -> np.ndarray:
    """Simulate tables of shape [tables, S, P]: whether each one's interval holds the truth, [tables]."""
    ability = PROBLEM_SD * rng.standard_normal((shape[0], 1, shape[2]))
    scores, truth = _method(kind, shape, ability, mean, seed_sd, rng)
    if kind == "difference":
        better, better_truth = _method(kind, shape, ability, mean + EFFECT, seed_sd, rng)
        scores, truth = better - scores, better_truth - truth
        low, high = difference_bounds(scores)
    elif kind == "greedy" and shape[1] == 1:  # SciPy's Wilson interval, which depends on the count alone
        by_count = [mean_interval(np.arange(shape[2]) < count) for count in range(shape[2] + 1)]
        counts = scores.sum((1, 2)).astype(int)
        low, high = np.array([i.low for i in by_count])[counts], np.array([i.high for i in by_count])[counts]
    else:
        low, high = mean_bounds(scores)
    return (low <= truth) & (truth <= high)


def _method(
    kind: str, shape: tuple[int, int, int], ability: np.ndarray, mean: float, seed_sd: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Scores [tables, S, P] of a method, and what its interval is about: [tables]."""
    answers = KINDS[kind]
    seed = seed_sd * rng.standard_normal((*shape[:2], 1))
    chance = expit(mean + seed + ability + REST_SD * rng.standard_normal(shape))
    right = rng.binomial(answers, chance)
    score_of = pass_at_k(answers, np.arange(answers + 1), PASS_K) if kind == "pass@8" else np.arange(answers + 1) / answers
    scores = np.asarray(score_of)[right]
    spread = np.hypot(PROBLEM_SD, REST_SD)
    if shape[1] == 1:
        return scores, _expected(kind, mean + seed[:, 0, 0], spread)
    return scores, np.full(shape[0], _expected(kind, np.array([mean]), np.hypot(spread, seed_sd))[0])


def _expected(kind: str, mean: np.ndarray, sd: float) -> np.ndarray:
    """Expected score where the logit is Normal(mean, sd^2), by Gauss-Hermite quadrature: [tables]."""
    chance = expit(mean[:, None] + sd * _NODES)
    score = 1 - (1 - chance) ** PASS_K if kind == "pass@8" else chance
    return score @ _WEIGHTS / _WEIGHTS.sum()


def coverage_table(kind: str, seeds: Sequence[int], problems: Sequence[int], num_tables: int, rng_seed: int = 0) -> list[dict]:
    """Mean and worst coverage over `MEANS` x `SEED_SDS`: one dict per (seeds, problems)."""
    rng = np.random.default_rng(rng_seed)
    rows = []
    for num_seeds in seeds:
        for num_problems in problems:
            cells = [coverage(kind, num_seeds, num_problems, m, sd, num_tables, rng) for m in MEANS for sd in SEED_SDS]
            rows.append(
                {"seeds": num_seeds, "problems": num_problems, "mean": float(np.mean(cells)), "worst": float(min(cells))}
            )
    return rows
