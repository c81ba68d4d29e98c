"""Pass@K: the chance that at least one of K sampled answers is right."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def pass_at_k(num_samples: ArrayLike, num_correct: ArrayLike, k: ArrayLike) -> np.ndarray | float:
    """Unbiased Pass@K from n samples per problem (Chen et al. 2021, arXiv 2107.03374).

        1 - C(n - c, K) / C(n, K)

    This is the mean, over all K-subsets of the n samples, of "the subset holds a right answer".

    Args:
        num_samples: n, samples drawn per problem; integers of at least 1.
        num_correct: c, how many of them are right; integers in 0..n.
        k: K; integers in 1..n.

    The three broadcast against each other by NumPy's rules. For P problems and a list of K:
    `pass_at_k(n[:, None], c[:, None], ks)` has shape [P, len(ks)].

    Returns:
        float64 probabilities of the broadcast shape; a float if all three are scalars. Average over problems afterwards.

    Raises:
        ValueError: a K above n or below 1, a c outside 0..n, or something that is not a whole number.
    """
    n, c, k = (
        whole_numbers(name, value) for name, value in (("num_samples", num_samples), ("num_correct", num_correct), ("k", k))
    )
    try:
        n, c, k = np.broadcast_arrays(n, c, k)
    except ValueError as error:
        raise ValueError(
            f"shapes {n.shape} (num_samples), {c.shape} (num_correct) and {k.shape} (k) do not broadcast; "
            "for every problem at every K pass num_samples[:, None] and num_correct[:, None]"
        ) from error
    _refuse((k < 1) | (k > n), "k must lie between 1 and num_samples", k=k, num_samples=n)
    _refuse((c < 0) | (c > n), "num_correct must lie between 0 and num_samples", num_correct=c, num_samples=n)
    triples, place = np.unique(np.stack([n.ravel(), c.ravel(), k.ravel()]), axis=1, return_inverse=True)
    chances = np.array([_one_problem(*triple) for triple in triples.T.tolist()])
    result = chances[place.ravel()].reshape(n.shape)
    return float(result) if result.ndim == 0 else result


def all_of_k(num_samples: ArrayLike, num_correct: ArrayLike, k: ArrayLike) -> np.ndarray | float:
    """pass^K: the chance that all of K samples are right, C(c, K) / C(n, K): the mean over all K-subsets (arXiv 2406.12045).

    Args, shapes, errors: as `pass_at_k`. (A subset is all right exactly if it holds none of the wrong ones.)
    """
    wrong = whole_numbers("num_samples", num_samples) - whole_numbers("num_correct", num_correct)
    return 1.0 - pass_at_k(num_samples, wrong, k)


def _one_problem(n: int, c: int, k: int) -> float:
    """1 - C(n-c, k) / C(n, k), without the binomials, which overflow, and without losing small chances to 1 - (nearly 1)."""
    if n - c < k:  # too few wrong ones to fill a subset
        return 1.0
    # The ratio is the product over i = n-c+1 .. n of (1 - k/i). It is symmetric in c and k, so the shorter product will do.
    few, many = sorted((c, k))
    return float(-np.expm1(np.log1p(-many / np.arange(n - few + 1, n + 1)).sum()))


def whole_numbers(name: str, value: ArrayLike) -> np.ndarray:
    """`value` as an int64 array. Raises ValueError, naming the argument, where it is not made of whole numbers."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or (
        array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.floor(array))).all()
    ):
        raise ValueError(f"{name} must be whole numbers, not {value!r}")
    return array.astype(np.int64)


def _refuse(bad: np.ndarray, message: str, **values: np.ndarray) -> None:
    """Raise ValueError, quoting the first offending values, if anything in `bad` is true."""
    if bad.any():
        first = np.unravel_index(np.argmax(bad), bad.shape)
        quoted = ", ".join(f"{name}={array[first]}" for name, array in values.items())
        raise ValueError(f"{message}, but {quoted}" + (f" at index {tuple(map(int, first))}" if first else ""))
