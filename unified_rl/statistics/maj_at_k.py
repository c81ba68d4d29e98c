"""Maj@K: the chance that a plurality vote among K sampled answers elects the right one, exactly.

Maj@K here is the mean over *all* K-subsets of the n samples of a problem, not one prefix and not a Monte Carlo estimate. With
answers grouped into classes of sizes N_1..N_M (class c right), the chance that a uniformly drawn K-subset elects c is

    sum_v  sum_t  w_t  P(X_c = v, t other classes have exactly v votes, all remaining ones fewer | sum X = K)

where (X_1..X_M) are the subset's votes (multivariate hypergeometric), v is the winning count, and w_t the chance that c wins a
tie with t others.

How it is computed:

1. *Independence.* Hypergeometric votes are independent Binomial(N_m, p) votes conditioned on their total being K, for any p.
   With p = K/n nothing over- or underflows, which the binomial coefficients of the textbook formula do.
2. *Characteristic functions.* Given v, class m contributes f_m(z) = sum_{j<v} b(j; N_m, p) z^j + y b(v; N_m, p) z^v, with y
   marking a tie. The coefficient of z^(K-v) in the product over m is read off on the unit circle, on enough points that
   wrap-around is below 1e-18. Classes that cannot reach v need no truncation and multiply in closed form to one binomial of
   their total size (Vandermonde's identity); so do classes that reach it with chance below 1e-18.
3. *Ties.* Uniform: 1/(t+1) is the integral of y^t over [0, 1], and Gauss-Legendre quadrature integrates polynomials in y
   exactly. Ties wrong: y = 0.

So the result is exact up to rounding (about 1e-13). The cost is polynomial: for each v, the number of distinct class sizes that
can reach v, times K, times the number of quadrature nodes (at most K/2v). Equal problems are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln
from scipy.stats import binom

from unified_rl.statistics.pass_at_k import whole_numbers

Ties = Literal["uniform", "first", "wrong"]
NoAnswer = Literal["no_vote", "class"]

TIE_RULES = {
    "uniform": "one of the tied answers, each with equal chance",
    "first": "the tied answer that was sampled first, in expectation over the order of the samples",
    "wrong": "any tie at the top counts as wrong",
}
NO_ANSWER_RULES = {
    "no_vote": "a sample without an answer is drawn but does not vote",
    "class": "samples without an answer form a class of their own, which can win and is wrong",
}

_NEGLIGIBLE = 1e-18  # probability below which an event is left out; there are fewer than 1e5 such events per problem
_CHUNK = 1 << 18  # complex numbers held at once; fits the cache


def maj_at_k(
    class_counts: ArrayLike | Sequence[Sequence[int]],
    correct_class: ArrayLike,
    k: int | Sequence[int],
    ties: Ties = "uniform",
    *,
    num_no_answer: ArrayLike = 0,
    no_answer: NoAnswer = "no_vote",
) -> np.ndarray | float:
    """Chance that the plurality answer of a random K-subset of the samples is right.

    Args:
        class_counts: samples per answer class: [P, M] padded with zeros, or a ragged list of P lists. One problem: [M].
        correct_class: int [P], index of the right answer's class, -1 where it was never sampled. One problem: an int.
        k: K, or a list of them; each in 1..n of every problem, n being all its samples, those without answer included.
        ties: who wins when several classes have the most votes:
            "uniform": each of them with equal chance;
            "first": the one whose first vote came first, in expectation over all orders of the subset. Given a tie every order
                of the tied votes is equally likely, so this is the same number as "uniform" (and the same code);
            "wrong": nobody, the vote is wrong.
        num_no_answer: int [P] or one int, samples from which no answer could be extracted (not in `class_counts`).
        no_answer: "no_vote": such samples are drawn (they use up K) but abstain; a subset of abstentions only is wrong.
            "class": together they are one more class, which can win or tie and is never right.

    Returns:
        float64 [P] for one K, [P, len(k)] for a list; without the first axis for one problem.

    Raises:
        ValueError: unknown rule, negative counts, a class index out of range, or a K outside 1..n.
    """
    if ties not in TIE_RULES:
        raise ValueError(f"ties={ties!r} is not known; choose one of: {', '.join(TIE_RULES)}")
    if no_answer not in NO_ANSWER_RULES:
        raise ValueError(f"no_answer={no_answer!r} is not known; choose one of: {', '.join(NO_ANSWER_RULES)}")
    single = np.ndim(correct_class) == 0
    counts = _padded([class_counts] if single else class_counts)
    correct = np.atleast_1d(whole_numbers("correct_class", correct_class))
    silent = np.broadcast_to(whole_numbers("num_no_answer", num_no_answer), correct.shape)
    ks = np.atleast_1d(whole_numbers("k", k))
    _check(counts, correct, silent, ks)

    unique, place = _distinct(counts, correct, silent, no_answer)
    result = np.empty((len(unique), len(ks)))
    for n in np.unique(unique[:, 0]):
        same = unique[:, 0] == n
        for column, one_k in enumerate(ks):
            result[same, column] = _win_chance(int(n), unique[same, 1], unique[same, 2:], int(one_k), ties)
    result = np.clip(result[place], 0.0, 1.0)
    if np.ndim(k) == 0:
        result = result[:, 0]
    return (float(result[0]) if np.ndim(k) == 0 else result[0]) if single else result


def _distinct(
    counts: np.ndarray, correct: np.ndarray, silent: np.ndarray, no_answer: NoAnswer
) -> tuple[np.ndarray, np.ndarray]:
    """The problems that differ, a row each (size n, votes for the right class, rival sizes), and which row each problem is: [P]."""
    rows = np.arange(len(correct))
    votes = np.where(correct >= 0, counts[rows, correct], 0) if counts.shape[1] else np.zeros_like(correct)
    rivals = counts.copy()
    rivals[rows[correct >= 0], correct[correct >= 0]] = 0
    if no_answer == "class":
        rivals = np.column_stack([rivals, silent])
    rivals = -np.sort(-rivals, axis=1)  # so that equal problems are equal rows
    unique, place = np.unique(np.column_stack([counts.sum(1) + silent, votes, rivals]), axis=0, return_inverse=True)
    return unique, place.ravel()


def _win_chance(n: int, votes_P: np.ndarray, rivals_PM: np.ndarray, k: int, ties: Ties) -> np.ndarray:
    """Maj@k of problems that all have n samples: [P]. Rivals are sorted, largest first, and padded with zeros."""
    p = k / n
    result = np.zeros(len(votes_P))
    sizes, size_index = np.unique(np.append(rivals_PM, 0), return_inverse=True)
    size_index = size_index.ravel()[:-1].reshape(rivals_PM.shape)
    shared = _runs(size_index)
    # How often a class of a size gets exactly v, at least v, at most v votes in a K-subset: what may be left out.
    exact = _hypergeometric(n, votes_P, k)
    pmf = _hypergeometric(n, sizes, k)
    at_most = np.cumsum(pmf, axis=1)
    at_least = np.cumsum(pmf[:, ::-1], axis=1)[:, ::-1]

    # Enough points that the total of independent votes, Binomial(n, p), wraps around with negligible chance. Odd, so that there
    # is no middle frequency and the upper half of the circle stands for the lower.
    num_points = int(min(n, binom.isf(_NEGLIGIBLE, n, p) + 1)) + 1 if p < 1 else n + 1
    num_points += 1 - num_points % 2
    circle = np.exp(2j * np.pi * np.arange(num_points // 2 + 1) / num_points)
    weights = np.where(np.arange(len(circle)) == 0, 1.0, 2.0) / num_points
    totals, total_pmf = np.arange(num_points), binom.pmf(k, n, p)
    rest_L = _LazyRows(lambda total: np.conj(np.fft.rfft(binom.pmf(totals, total, p))))
    truncated = np.zeros((len(sizes), len(circle)), dtype=complex)  # sum_{j<v} b(j; N, p) z^j, grown with v

    for v in range(1, k + 1):
        truncated += binom.pmf(v - 1, sizes, p)[:, None] * circle ** (v - 1)
        # A rival that surely gets more than v votes leaves nothing to win with v.
        hopeless = at_most[size_index[:, 0], v] < _NEGLIGIBLE if rivals_PM.shape[1] else np.zeros(len(votes_P), bool)
        active = np.flatnonzero((votes_P >= v) & (exact[:, v] > _NEGLIGIBLE) & ~hopeless)
        if not active.size:
            continue
        num_rivals = (
            (at_least[size_index[active], v] > _NEGLIGIBLE).sum(1) if rivals_PM.shape[1] else np.zeros(active.size, int)
        )
        nodes, node_weights = _tie_nodes(ties, min(k // v - 1, int(num_rivals.max(initial=0))))
        at_v = binom.pmf(v, sizes, p)[:, None] * circle**v
        factors = truncated[:, None, :] + nodes[:, None] * at_v[:, None, :]  # [sizes, nodes, points]
        read = weights * np.conj(circle) ** (k - v)
        coefficient = _coefficients(factors, shared, active, num_rivals, rivals_PM, n - votes_P, rest_L, node_weights, read)
        result[active] += binom.pmf(v, votes_P[active], p) * coefficient / total_pmf
    return result


def _coefficients(
    factors: np.ndarray,
    shared: tuple[np.ndarray, np.ndarray, np.ndarray],
    active: np.ndarray,
    num_rivals: np.ndarray,
    rivals_PM: np.ndarray,
    others_P: np.ndarray,
    rest: _LazyRows,
    node_weights: np.ndarray,
    read: np.ndarray,
) -> np.ndarray:
    """For each active problem: the tie-weighted coefficient of z^(K-v) in the product of its rivals' and its rest's functions.

    Args:
        factors: [sizes, nodes, points], f(z; y) per rival size. shared: see `_runs`. num_rivals: [active], how many of the
            leading rivals can reach v. others_P: samples that are not of the right class. rest: total size -> [points].
    """
    contenders = np.where(np.arange(rivals_PM.shape[1]) < num_rivals[:, None], rivals_PM[active], 0).sum(1)
    free_A = others_P[active] - contenders  # samples whose class cannot reach v, and abstentions
    run_size, run_length, run_start = (array[active] for array in shared)
    num_runs = (run_start < num_rivals[:, None]).sum(1)
    powers = _Powers(factors)
    out = np.empty(len(active))
    order = np.argsort(-num_runs, kind="stable")
    rows_at_once = max(1, _CHUNK // (factors.shape[1] * factors.shape[2]))
    for start in range(0, len(order), rows_at_once):
        rows = order[start : start + rows_at_once]
        product = np.repeat(rest[free_A[rows]][:, None, :], factors.shape[1], axis=1)
        for r in range(int(num_runs[rows[0]])):
            still = rows[: int(np.count_nonzero(num_runs[rows] > r))]  # most rivals first, so these lead
            # Equal sizes reach v with equal chance, so a run of them is never split by `num_rivals`.
            product[: len(still)] *= powers[run_size[still, r], run_length[still, r]]
        out[rows] = (product @ read).real @ node_weights
    return out


class _LazyRows:
    """Rows of a table, each made when first asked for."""

    def __init__(self, make: Callable[[int], np.ndarray]) -> None:
        self._make = make
        self._rows: dict[int, np.ndarray] = {}

    def __getitem__(self, keys: np.ndarray) -> np.ndarray:
        unique, place = np.unique(keys, return_inverse=True)
        for key in unique.tolist():
            if key not in self._rows:
                self._rows[key] = self._make(key)
        return np.stack([self._rows[key] for key in unique.tolist()])[place.ravel()]


class _Powers:
    """Integer powers of rows, each made when first asked for: `powers[row, exponent]` with integer arrays."""

    def __init__(self, rows: np.ndarray):
        self._lazy = _LazyRows(lambda key: _integer_power(rows[key >> 32], key & 0xFFFFFFFF))

    def __getitem__(self, key: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        row, exponent = key
        return self._lazy[(row.astype(np.int64) << 32) | exponent]


def _integer_power(base: np.ndarray, exponent: int) -> np.ndarray:
    """base ** exponent by repeated squaring: a complex power by logarithms is slow and fails at 0."""
    result = np.ones_like(base)
    while exponent:
        if exponent & 1:
            result = result * base
        base, exponent = base * base, exponent >> 1
    return result


def _runs(index_PM: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs of equal values along each (sorted) row: value, length and start, each [P, R], padded with length 0 and start M."""
    num_rows, width = index_PM.shape
    if not width:
        empty = np.zeros((num_rows, 0), dtype=np.int64)
        return empty, empty, empty
    begins = np.ones((num_rows, width), dtype=bool)
    begins[:, 1:] = index_PM[:, 1:] != index_PM[:, :-1]
    row, start = np.nonzero(begins)
    rank = (np.cumsum(begins, axis=1) - 1)[row, start]
    next_start = np.append(start[1:], 0)
    end = np.where(np.append(row[1:], -1) == row, next_start, width)
    shape = (num_rows, int(rank.max()) + 1)
    value, length, begin = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, width, np.int64)
    value[row, rank], length[row, rank], begin[row, rank] = index_PM[row, start], end - start, start
    return value, length, begin


def _tie_nodes(ties: Ties, most_tied: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes y and weights w with sum_i w_i y_i^t = chance that the right class wins a tie with t others, for t <= most_tied."""
    if ties == "wrong":
        return np.zeros(1), np.ones(1)
    # m nodes integrate polynomials up to degree 2m - 1 exactly; mapped from [-1, 1] to [0, 1].
    nodes, weights = np.polynomial.legendre.leggauss(most_tied // 2 + 1)
    return (nodes + 1) / 2, weights / 2


def _hypergeometric(n: int, sizes: np.ndarray, k: int) -> np.ndarray:
    """Chance that a K-subset of n samples holds exactly j of a class of each size: [sizes, k + 1]. (SciPy's is slow for
    tables.)"""
    log_factorial = gammaln(np.arange(n + 2) + 1.0)

    def log_binomial(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
        possible = (bottom >= 0) & (bottom <= top)
        top, bottom = np.broadcast_arrays(top, np.where(possible, bottom, 0))
        return np.where(possible, log_factorial[top] - log_factorial[bottom] - log_factorial[top - bottom], -np.inf)

    j = np.arange(k + 1)
    unique, place = np.unique(sizes, return_inverse=True)
    size = unique[:, None]
    table = np.exp(log_binomial(size, j) + log_binomial(n - size, k - j) - log_binomial(np.array(n), np.array(k)))
    return table[place.ravel()]


def _padded(class_counts: Any) -> np.ndarray:
    """Counts as an int64 [P, M] array, ragged rows padded with zeros."""
    if isinstance(class_counts, np.ndarray) and class_counts.ndim == 2:
        return whole_numbers("class_counts", class_counts)
    rows = [whole_numbers("class_counts", np.asarray(row if len(row) else [0])) for row in class_counts]
    if any(row.ndim != 1 for row in rows):
        raise ValueError(
            "class_counts must be [P, M] or a list of P lists, with correct_class [P]; for one problem [M] and an int"
        )
    padded = np.zeros((len(rows), max((len(row) for row in rows), default=0)), dtype=np.int64)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded


def _check(counts: np.ndarray, correct: np.ndarray, silent: np.ndarray, ks: np.ndarray) -> None:
    if correct.ndim != 1 or ks.ndim != 1:
        raise ValueError("correct_class and k must be numbers or flat lists")
    if len(correct) != len(counts):
        raise ValueError(f"class_counts has {len(counts)} problems, but correct_class has {len(correct)}")
    if (counts < 0).any() or (silent < 0).any():
        raise ValueError("class_counts and num_no_answer must not be negative")
    if ((correct < -1) | (correct >= counts.shape[1])).any():
        bad = int(np.argmax((correct < -1) | (correct >= counts.shape[1])))
        raise ValueError(
            f"correct_class={correct[bad]} of problem {bad} is none of its {counts.shape[1]} classes; use -1 if never sampled"
        )
    totals = counts.sum(1) + silent
    if len(totals) and ks.size and ((ks.min() < 1) or (ks.max() > totals.min())):
        raise ValueError(
            f"k must lie between 1 and the samples of every problem: asked for {ks.min()}..{ks.max()}, but problem "
            f"{int(np.argmin(totals))} has {totals.min()} samples"
        )
