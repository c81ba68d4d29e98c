"""avg@K: the mean accuracy of K sampled answers, and how much it still varies with the draw."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from unified_rl.statistics.pass_at_k import pass_at_k, whole_numbers


def avg_at_k(num_samples: ArrayLike, num_correct: ArrayLike, k: ArrayLike) -> np.ndarray | float:
    """Expected share of right answers among K: the mean over all K-subsets, which is c / n whatever K is.

    (So avg@K and Pass@1 are one number. What K changes is how far a single draw of K strays from it: `avg_at_k_sd`.)

    Args, shapes, errors: as `pass_at_k`.
    """
    accuracy = pass_at_k(num_samples, num_correct, 1)
    # Pass@K is called for its checks of k and for the shape of the three together.
    return accuracy + 0.0 * pass_at_k(num_samples, num_correct, k)


def avg_at_k_sd(num_samples: ArrayLike, num_correct: ArrayLike, k: ArrayLike) -> np.ndarray | float:
    """Standard deviation of the share of right answers among K *fresh* samples of each problem.

    sqrt(v / K), where v = c (n - c) / (n (n - 1)) is unbiased for p (1 - p). K may exceed n. The mean over P problems then has
    sqrt(sum of squares) / P: the part of its error that more samples would remove and more problems are not needed for.

    Args, shapes: as `pass_at_k`.

    Raises:
        ValueError: fewer than two samples, from which no spread can be seen; a K below 1; a c outside 0..n.
    """
    n, c, k = (whole_numbers(name, v) for name, v in (("num_samples", num_samples), ("num_correct", num_correct), ("k", k)))
    if (n < 2).any():
        raise ValueError("the spread of samples needs num_samples of at least 2")
    if (k < 1).any():
        raise ValueError("k must be at least 1")
    if (c < 0).any() or (c > n).any():
        raise ValueError("num_correct must lie between 0 and num_samples")
    result = np.sqrt(c * (n - c) / (n * (n - 1.0)) / k)
    return float(result) if np.ndim(result) == 0 else result
