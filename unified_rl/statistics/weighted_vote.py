"""Weighted voting: each sample votes for its answer with its reward-model score; the answer with the largest total wins.

As for Maj@K, the quantity is the mean over *all* K-subsets of a problem's n samples. With equal scores it is Maj@K. With
arbitrary scores the totals of an answer take exponentially many values and no polynomial algorithm is known, so there are three
ways, tried in this order:

1. *Enumeration*, exact, where there are few subsets.
2. *Dynamic programme*, exact, for whole-number scores (a reward model's score rounded to a grid, or a rating). As in
   `maj_at_k`, a subset is n independent draws, each sample in it with chance p = K/n, conditioned on its size being K. Class m
   has the table F_m(j, t): chance of j votes with total t. For every total v that the right answer can have, class m contributes
   the polynomial (in z, which counts votes) of "no vote or total < v" plus y times that of "total = v", with y marking a tie;
   the product's coefficient of z^K, integrated over y, is the chance of winning with v. Cost: totals x ties x n x K.
3. *Monte Carlo* otherwise: uniformly drawn K-subsets, with the standard error of the estimate.

The result says which it was, and its standard error (0 where exact).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom

Ties = Literal["uniform", "wrong"]
NoAnswer = Literal["no_vote", "class"]
TIE_RULES = {
    "uniform": "one of the tied answers, each with equal chance",
    "wrong": "any tie at the top counts as wrong",
}
NO_ANSWER_RULES = {
    "no_vote": "a sample without an answer is drawn but does not vote",
    "class": "samples without an answer form a class of their own, which can win and is wrong",
}
NO_ANSWER_CLASS = -1

_FEW_SUBSETS = 20_000
_MOST_WORK = 2e8  # multiplications of the dynamic programme, about half a second
_SAME = 1e-9  # totals closer than this, relative to the largest, are tied: sums of floats depend on their order


@dataclass(frozen=True, slots=True)
class WeightedVote:
    """Chance that a weighted vote among K samples is right.

    Attributes:
        estimate: the chance. standard_error: of the estimate, from drawing subsets; 0 where it is exact.
        method: "enumeration", "dynamic programme" or "monte carlo".
    """

    estimate: float
    standard_error: float
    method: str


def weighted_vote(
    scores: ArrayLike,
    answer_class: ArrayLike,
    correct_class: int,
    k: int,
    ties: Ties = "uniform",
    *,
    no_answer: NoAnswer = "no_vote",
    num_subsets: int = 20_000,
    rng: np.random.Generator | None = None,
) -> WeightedVote:
    """Weighted voting at one K for one problem.

    Args:
        scores: [n], the weight of each sample's vote; finite and not negative (pass a probability, not a logit).
        answer_class: int [n], the class of each sample's answer; -1 for a sample without one.
        correct_class: the right answer's class, which need not have been sampled.
        k: K, in 1..n.
        ties: "uniform" or "wrong". (The first sampled of tied answers is not "uniform" here, since answers that tie in weight
            may differ in votes.)
        no_answer: "no_vote": such samples are drawn (they use up K) but abstain; "class": they vote together, for a wrong answer.
        num_subsets: subsets drawn where the answer cannot be had exactly. rng: for them; seed 0 if None, so that the result
            repeats.

    Raises:
        ValueError: an unknown rule, unequal lengths, a negative or missing score, or a K outside 1..n.
    """
    scores, classes, correct = _checked(scores, answer_class, correct_class, k, ties, no_answer)
    n = len(scores)
    if not (classes == correct).any():
        return WeightedVote(0.0, 0.0, "enumeration")
    if comb(n, k) <= _FEW_SUBSETS:
        chosen = np.array(list(combinations(range(n), k)))
        return WeightedVote(float(_win_share(chosen, scores, classes, correct, ties).mean()), 0.0, "enumeration")
    if (scores == np.floor(scores)).all() and _work(scores, classes, correct, k) <= _MOST_WORK:
        return WeightedVote(_dynamic_programme(scores.astype(np.int64), classes, correct, k, ties), 0.0, "dynamic programme")
    return _monte_carlo(scores, classes, correct, k, ties, num_subsets, rng or np.random.default_rng(0))


def _checked(
    scores: ArrayLike, answer_class: ArrayLike, correct_class: int, k: int, ties: Ties, no_answer: NoAnswer
) -> tuple[np.ndarray, np.ndarray, int]:
    """Scores, classes numbered from 0 (abstentions -1), and the right one's number (-2: never sampled)."""
    if ties not in TIE_RULES:
        raise ValueError(f"ties={ties!r} is not known; choose one of: {', '.join(TIE_RULES)}")
    if no_answer not in NO_ANSWER_RULES:
        raise ValueError(f"no_answer={no_answer!r} is not known; choose one of: {', '.join(NO_ANSWER_RULES)}")
    scores, classes = np.asarray(scores, float), np.asarray(answer_class)
    if scores.ndim != 1 or scores.shape != classes.shape:
        raise ValueError(f"scores {scores.shape} and answer_class {classes.shape} must be flat lists of equal length")
    if not np.isfinite(scores).all() or (scores < 0).any():
        raise ValueError("scores must be finite and not negative; turn a reward model's logits into probabilities first")
    if not 1 <= k <= len(scores):
        raise ValueError(f"k must lie between 1 and the {len(scores)} samples, not {k}")
    unique, place = np.unique(classes, return_inverse=True)
    silent = classes == NO_ANSWER_CLASS
    place = np.where(silent & (no_answer == "no_vote"), NO_ANSWER_CLASS, place)
    found = np.flatnonzero((unique == correct_class) & (unique != NO_ANSWER_CLASS))
    return scores, place, int(found[0]) if found.size else -2


def _win_share(chosen: np.ndarray, scores: np.ndarray, classes: np.ndarray, correct: int, ties: Ties) -> np.ndarray:
    """Chance that the right answer wins in each subset. chosen: indices [S, K]. Returns [S]."""
    drawn = classes[chosen]
    row = np.broadcast_to(np.arange(len(chosen))[:, None], chosen.shape)[drawn >= 0]
    shape = (len(chosen), int(classes.max()) + 1)
    totals, votes = np.zeros(shape), np.zeros(shape)
    np.add.at(totals, (row, drawn[drawn >= 0]), scores[chosen][drawn >= 0])
    np.add.at(votes, (row, drawn[drawn >= 0]), 1)
    totals[votes == 0] = -np.inf  # who has no vote cannot win, not even with a total of 0
    top = totals.max(1, keepdims=True)
    with np.errstate(invalid="ignore"):
        winners = (totals >= top - _SAME * np.abs(top)) & (votes > 0)
    share = 1 / np.maximum(winners.sum(1), 1) if ties == "uniform" else (winners.sum(1) == 1).astype(float)
    return winners[:, correct] * share


def _monte_carlo(
    scores: np.ndarray, classes: np.ndarray, correct: int, k: int, ties: Ties, num_subsets: int, rng: np.random.Generator
) -> WeightedVote:
    """Mean over drawn subsets. Its standard error counts two further subsets, one won and one lost, so that draws that all
    agree are not taken for certain."""
    shares = []
    for start in range(0, num_subsets, 2000):
        keys = rng.random((min(2000, num_subsets - start), len(scores)))
        chosen = np.argpartition(keys, k - 1, axis=1)[:, :k]
        shares.append(_win_share(chosen, scores, classes, correct, ties))
    share = np.concatenate(shares)
    error = np.append(share, [0.0, 1.0]).std(ddof=1) / np.sqrt(num_subsets)
    return WeightedVote(float(share.mean()), float(error), "monte carlo")


# ------------------------------------------------------------------------------------------------------------------------------
# The dynamic programme


def _work(scores: np.ndarray, classes: np.ndarray, correct: int, k: int) -> float:
    """Multiplications of `_dynamic_programme`, about."""
    most_total = np.sort(scores[classes == correct])[-k:].sum() + 1
    return float(most_total * _num_nodes(len(np.unique(classes[classes >= 0]))) * len(scores) * (k + 1))


def _num_nodes(num_classes: int) -> int:
    """Gauss-Legendre nodes that integrate polynomials of degree num_classes - 1 exactly."""
    return (num_classes - 1) // 2 + 1


def _dynamic_programme(scores: np.ndarray, classes: np.ndarray, correct: int, k: int, ties: Ties) -> float:
    n = len(scores)
    p = k / n
    if k == n:  # every sample is drawn: one subset
        return float(_win_share(np.arange(n)[None], scores.astype(float), classes, correct, ties)[0])
    right = _vote_table(scores[classes == correct], p, k)  # [votes, totals]
    totals = np.flatnonzero(right[1:].any(0))  # at least one vote
    nodes, weights = np.zeros(1), np.ones(1)
    if ties == "uniform":  # 1 / (1 + t) is the integral of y^t over [0, 1]
        nodes, weights = np.polynomial.legendre.leggauss(_num_nodes(len(np.unique(classes[classes >= 0]))))
        nodes, weights = (nodes + 1) / 2, weights / 2
    # [totals v, nodes, votes so far]; abstentions are drawn with Binomial(N, p), the right answer with its own table.
    product = np.zeros((len(totals), len(nodes), k + 1))
    product[:, :, : k + 1] = binom.pmf(np.arange(k + 1), int((classes == NO_ANSWER_CLASS).sum()), p)
    for rival in np.unique(classes[(classes >= 0) & (classes != correct)]):
        table = _vote_table(scores[classes == rival], p, k)
        below = np.column_stack([np.zeros(len(table)), np.cumsum(table, axis=1)])  # [votes, v]: total < v
        v = np.minimum(totals, table.shape[1])
        exactly = np.column_stack([table, np.zeros(len(table))])[:, v]
        less = below[:, v]
        less[0], exactly[0] = table[0, 0], 0.0  # without a vote it has not even a total of 0
        product = _times(product, less.T[:, None, :] + nodes[:, None] * exactly.T[:, None, :])
    mine = right[:, totals]
    mine[0] = 0.0
    # The coefficient of z^k in the product with the right answer's votes.
    votes = np.arange(len(mine))
    coefficient = np.einsum("vnj,jv->vn", product[:, :, k - votes], mine)
    return float(np.clip((coefficient @ weights).sum() / binom.pmf(k, n, p), 0.0, 1.0))


def _vote_table(scores: np.ndarray, p: float, k: int) -> np.ndarray:
    """Chance that independent draws with chance p give j votes of total t: [min(N, k) + 1, totals + 1]."""
    most_votes = min(len(scores), k)
    table = np.zeros((most_votes + 1, int(np.sort(scores)[-most_votes:].sum()) + 1))
    table[0, 0] = 1.0
    for score in scores.tolist():
        grown = (1 - p) * table
        grown[1:, score:] += p * table[:-1, : table.shape[1] - score]
        table = grown
    return table


def _times(product: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Product of polynomials along the last axis, cut at the degree of `product`."""
    out = np.zeros_like(product)
    degree = product.shape[-1]
    for j in range(factor.shape[-1]):
        out[..., j:] += product[..., : degree - j] * factor[..., j : j + 1]
    return out
