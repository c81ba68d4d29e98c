"""Pass@K against enumeration of all subsets, and its edges."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.statistics.pass_at_k import pass_at_k


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_equals_enumeration_over_all_subsets(data):
    n = data.draw(st.integers(1, 9))
    c = data.draw(st.integers(0, n))
    samples = [1] * c + [0] * (n - c)
    for k in range(1, n + 1):
        subsets = list(combinations(samples, k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(1024, 1, 512), (1024, 300, 2), (5000, 3, 4000), (100_000, 5, 10_000), (64, 1, 64)])
def test_stable_where_binomials_overflow(n, c, k):
    exact = 1 - comb(n - c, k) * 10**40 // comb(n, k) / 10**40
    assert pass_at_k(n, c, k) == pytest.approx(exact, rel=1e-11)


def test_small_chances_keep_their_digits():
    """1 - (nearly 1) would lose them: one right answer of 1e6 is found by one draw with chance 1e-6."""
    assert pass_at_k(10**6, 1, 1) == pytest.approx(1e-6, rel=1e-12)


def test_k_1_is_mean_accuracy_and_k_n_is_coverage():
    c = np.arange(11)
    np.testing.assert_allclose(pass_at_k(10, c, 1), c / 10, atol=1e-14)
    np.testing.assert_array_equal(pass_at_k(10, c, 10), (c > 0).astype(float))
    assert pass_at_k(10, 0, 5) == 0.0


def test_broadcasts():
    n, c = np.array([8, 16, 32]), np.array([1, 2, 3])
    table = pass_at_k(n[:, None], c[:, None], np.array([1, 2, 4, 8]))
    assert table.shape == (3, 4)
    assert table[1, 2] == pass_at_k(16, 2, 4)
    assert isinstance(pass_at_k(8, 1, 2), float)
    with pytest.raises(ValueError, match=r"num_samples\[:, None\]"):
        pass_at_k(n, c, np.array([1, 2, 4, 8]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((4, 1, 5), "k must lie between 1 and num_samples, but k=5, num_samples=4"),
        ((4, 1, 0), "k must lie between"),
        ((4, 5, 2), "num_correct must lie"),
        ((4, -1, 2), "num_correct must lie"),
        ((4, 1.5, 2), "num_correct must be whole numbers"),
        ((4, float("nan"), 2), "num_correct must be whole numbers"),
        (([4, 4], [1, 1], [2, 9]), r"k=9, num_samples=4 at index \(1,\)"),
    ],
)
def test_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        pass_at_k(*arguments)
