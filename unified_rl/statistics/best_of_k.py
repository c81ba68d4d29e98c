"""Best-of-K: the chance that the sample with the highest reward-model score among K is right, exactly.

The mean is over *all* K-subsets of a problem's n samples. Sorted by score into groups g of equal score, with A_g samples above
the group, m_g in it and c_g of those right, the group holds the best of a random K-subset with chance

    q(A_g) - q(A_g + m_g),    q(a) = C(n - a, K) / C(n, K), the chance that none of the a best samples is drawn,

and by symmetry within the group the sample chosen of it is right with chance c_g / m_g. Scores of a reward model that
equal the verdicts make this Pass@K; scores that are all equal make it the mean accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from unified_rl.statistics.pass_at_k import whole_numbers

Ties = Literal["uniform", "wrong"]
TIE_RULES = {
    "uniform": "one of the samples with the highest score, each with equal chance (the first sampled, in expectation)",
    "wrong": "a tie at the highest score between right and wrong samples counts as wrong",
}


def best_of_k(
    scores: np.ndarray | Sequence[Any],
    correct: np.ndarray | Sequence[Any],
    k: int | Sequence[int],
    ties: Ties = "uniform",
) -> np.ndarray | float:
    """Chance that the best-scored sample of a random K-subset is right.

    Args:
        scores: reward-model score per sample: [P, n], or P lists of unequal length. One problem: [n]. Higher is better; give a
            sample that may only be chosen for want of another (one without an answer, say) the score -inf.
        correct: the same shape; whether the sample is right.
        k: K, or a list of them; each in 1..n of every problem.
        ties: "uniform" or "wrong", see `TIE_RULES`.

    Returns:
        float64 [P] for one K, [P, len(k)] for a list; without the first axis for one problem.

    Raises:
        ValueError: unknown rule, shapes that differ, a score that is NaN, or a K outside 1..n.
    """
    if ties not in TIE_RULES:
        raise ValueError(f"ties={ties!r} is not known; choose one of: {', '.join(TIE_RULES)}")
    single = len(scores) > 0 and np.ndim(scores[0]) == 0
    rows, verdicts = ([scores], [correct]) if single else (scores, correct)
    if len(rows) != len(verdicts):
        raise ValueError(f"scores has {len(rows)} problems, but correct has {len(verdicts)}")
    ks = np.atleast_1d(whole_numbers("k", k))
    result = np.empty((len(rows), len(ks)))
    for place, (row, right) in enumerate(zip(rows, verdicts, strict=True)):
        result[place] = _one_problem(np.asarray(row, float), np.asarray(right, bool), ks, ties, place)
    if np.ndim(k) == 0:
        result = result[:, 0]
    return (float(result[0]) if np.ndim(k) == 0 else result[0]) if single else result


def _one_problem(scores: np.ndarray, correct: np.ndarray, ks: np.ndarray, ties: Ties, place: int) -> np.ndarray:
    n = len(scores)
    if scores.shape != correct.shape or scores.ndim != 1:
        raise ValueError(f"problem {place}: {scores.shape} scores, but {correct.shape} verdicts; give one of each per sample")
    if np.isnan(scores).any():
        raise ValueError(f"problem {place}: a score is NaN; score it again, or give it -inf to choose it last")
    if ks.size and (ks.min() < 1 or ks.max() > n):
        raise ValueError(f"k must lie between 1 and the samples of every problem, but problem {place} has {n} samples")
    # Groups of equal score, best first: how many samples are above each, and how many of it are right.
    order = np.argsort(-scores, kind="stable")
    begins = np.flatnonzero(np.append(True, scores[order][1:] != scores[order][:-1]))
    sizes = np.diff(np.append(begins, n))
    right = np.add.reduceat(correct[order].astype(np.int64), begins)
    out = np.empty(len(ks))
    for column, k in enumerate(ks.tolist()):
        untouched = _chance_none_drawn(n, k)
        if ties == "uniform":
            chance = (untouched[begins] - untouched[begins + sizes]) * (right / sizes)
        else:  # none of the wrong ones of the group is drawn either
            chance = untouched[begins + sizes - right] - untouched[begins + sizes]
        out[column] = chance.sum()
    return np.clip(out, 0.0, 1.0)


@lru_cache(maxsize=256)
def _chance_none_drawn(n: int, k: int) -> np.ndarray:
    """q(a) = C(n - a, k) / C(n, k) for a = 0..n, without the binomials, which overflow."""
    left = n - np.arange(n)  # samples left to draw from, before each further one is excluded
    with np.errstate(divide="ignore"):
        logs = np.log(np.maximum(left - k, 0) / left)
    table = np.append(1.0, np.exp(np.cumsum(logs)))
    table.setflags(write=False)  # it is shared
    return table
