"""Best-of-K and weighted voting against enumeration of all subsets, and against the votes they generalise."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.statistics import weighted_vote as weighted_vote_module
from unified_rl.statistics.avg_at_k import avg_at_k, avg_at_k_sd
from unified_rl.statistics.best_of_k import best_of_k
from unified_rl.statistics.maj_at_k import maj_at_k
from unified_rl.statistics.pass_at_k import pass_at_k
from unified_rl.statistics.weighted_vote import weighted_vote


def best(subset, ties):
    """The definition: is the best-scored of these (score, right) samples right?"""
    top = [right for score, right in subset if score == max(score for score, _ in subset)]
    return float(all(top)) if ties == "wrong" else np.mean(top)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=8), st.sampled_from(["uniform", "wrong"]))
def test_best_of_k_equals_enumeration(samples, ties):
    scores, right = zip(*samples, strict=True)
    ks = list(range(1, len(samples) + 1))
    expected = [np.mean([best(subset, ties) for subset in combinations(samples, k)]) for k in ks]
    np.testing.assert_allclose(best_of_k(scores, right, ks, ties), expected, atol=1e-12)


def test_best_of_k_by_the_verdict_is_pass_at_k_and_by_nothing_is_accuracy():
    rng = np.random.default_rng(0)
    right = rng.random((20, 1024)) < rng.random((20, 1))
    ks = [1, 8, 700, 1024]
    by_verdict = best_of_k(right.astype(float), right, ks)
    np.testing.assert_allclose(by_verdict, pass_at_k(1024, right.sum(1)[:, None], ks), atol=1e-12)
    by_nothing = best_of_k(np.zeros(right.shape), right, ks)
    np.testing.assert_allclose(by_nothing, np.repeat(right.mean(1)[:, None], 4, axis=1), atol=1e-12)


def test_best_of_k_shapes_and_ragged_lists():
    assert best_of_k([0.9, 0.1], [True, False], 2) == 1.0
    assert best_of_k([0.1, -np.inf], [True, False], 2) == 1.0  # chosen for want of another only
    assert best_of_k([[1, 2], [3, 1, 2]], [[0, 1], [1, 0, 0]], 2).shape == (2,)
    np.testing.assert_allclose(best_of_k([[1, 2], [3, 1, 2]], [[0, 1], [1, 0, 0]], [1, 2]), [[1 / 2, 1], [1 / 3, 2 / 3]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1, 2], [True], 1), "one of each per sample"),
        (([1, np.nan], [True, False], 1), "NaN"),
        (([1, 2], [True, False], 3), "has 2 samples"),
        (([1, 2], [True, False], 1, "first"), "not known"),
    ],
)
def test_best_of_k_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        best_of_k(*arguments)


# ---- weighted voting


def elect(subset, correct, ties, no_answer):
    """The definition, on (score, class) samples with whole-number scores."""
    totals = Counter()
    for score, answer in subset:
        if answer >= 0 or no_answer == "class":
            totals[answer] += score
    if not totals or correct not in totals:
        return 0.0
    winners = [answer for answer in totals if totals[answer] == max(totals.values())]
    if correct not in winners:
        return 0.0
    return float(len(winners) == 1) if ties == "wrong" else 1 / len(winners)


votes = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=1, max_size=8)


@pytest.mark.parametrize("way", ["enumeration", "dynamic programme"])
@settings(max_examples=150, deadline=None)
@given(votes, st.integers(0, 3), st.sampled_from(["uniform", "wrong"]), st.sampled_from(["no_vote", "class"]))
def test_weighted_vote_equals_enumeration(way, samples, correct, ties, no_answer):
    limit = weighted_vote_module._FEW_SUBSETS
    weighted_vote_module._FEW_SUBSETS = limit if way == "enumeration" else -1
    try:
        scores, classes = zip(*samples, strict=True)
        for k in range(1, len(samples) + 1):
            expected = np.mean([elect(subset, correct, ties, no_answer) for subset in combinations(samples, k)])
            got = weighted_vote(scores, classes, correct, k, ties, no_answer=no_answer)
            assert got.estimate == pytest.approx(expected, abs=1e-12)
            assert got.method == (way if correct in classes else "enumeration")
            assert got.standard_error == 0
    finally:
        weighted_vote_module._FEW_SUBSETS = limit


@pytest.mark.parametrize("ties", ["uniform", "wrong"])
@pytest.mark.parametrize("no_answer", ["no_vote", "class"])
def test_equal_weights_are_maj_at_k(ties, no_answer):
    """At a size where enumeration is out of reach: the same number as the other algorithm's."""
    counts, silent = [20, 18, 9, 6, 3, 1, 1], 6
    classes = np.repeat([*range(len(counts)), -1], [*counts, silent])
    for k in (7, 32, 64):
        expected = maj_at_k(counts, 1, k, ties, num_no_answer=silent, no_answer=no_answer)
        got = weighted_vote(np.full(64, 2), classes, 1, k, ties, no_answer=no_answer)
        assert got.estimate == pytest.approx(expected, abs=1e-11)
        assert got.method in ("dynamic programme", "enumeration")


def test_monte_carlo_is_within_its_error_of_the_exact_number():
    """Scores on a grid exactly; the same scores moved off it by far less than they differ: drawn subsets, the same chance."""
    rng = np.random.default_rng(1)
    scores, classes = rng.integers(1, 9, 48), rng.choice(5, 48, p=[0.35, 0.3, 0.2, 0.1, 0.05])
    exact = weighted_vote(scores, classes, 0, 15, "wrong")
    off_grid = weighted_vote(scores * 0.1, classes, 0, 15, "wrong", num_subsets=40_000)
    assert (exact.method, off_grid.method) == ("dynamic programme", "monte carlo")
    assert 0 < off_grid.standard_error < 0.003
    assert off_grid.estimate == pytest.approx(exact.estimate, abs=4.5 * off_grid.standard_error)
    assert off_grid == weighted_vote(scores * 0.1, classes, 0, 15, "wrong", num_subsets=40_000)  # it repeats


def test_agreeing_draws_are_not_taken_for_certain():
    scores = np.append(np.full(40, 0.7), 0.1)
    assert weighted_vote(scores, [0] * 40 + [1], 0, 20, num_subsets=1000).standard_error > 0.0009


def test_floats_that_should_tie_do_tie():
    assert weighted_vote([0.1, 0.2, 0.3], [0, 0, 1], 0, 3).estimate == 0.5  # 0.1 + 0.2 is not 0.3 in binary


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([-1.0, 2], [0, 1], 0, 1), {}, "not negative"),
        (([1.0, np.inf], [0, 1], 0, 1), {}, "finite"),
        (([1.0, 2], [0], 0, 1), {}, "equal length"),
        (([1.0, 2], [0, 1], 0, 3), {}, "between 1 and the 2 samples"),
        (([1.0, 2], [0, 1], 0, 1, "first"), {}, "ties='first' is not known"),
        (([1.0, 2], [0, 1], 0, 1), {"no_answer": "drop"}, "no_answer='drop' is not known"),
    ],
)
def test_weighted_vote_refuses(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        weighted_vote(*arguments, **options)


# ---- avg@K


def test_avg_at_k_is_the_mean_over_subsets_whatever_k():
    samples = [1, 1, 0, 0, 0]
    for k in range(1, 6):
        assert avg_at_k(5, 2, k) == pytest.approx(np.mean([np.mean(subset) for subset in combinations(samples, k)]))
    assert avg_at_k([[4], [4]], [[1], [3]], [1, 2]).shape == (2, 2)
    with pytest.raises(ValueError, match="k must lie between"):
        avg_at_k(4, 2, 5)


def test_avg_at_k_sd_is_the_spread_of_fresh_draws():
    """E[c (n - c) / (n (n - 1))] = p (1 - p) over Binomial counts c, summed exactly."""
    from scipy.stats import binom

    p, n, k = 0.3, 7, 5
    c = np.arange(n + 1)
    assert (avg_at_k_sd(n, c, k) ** 2 @ binom.pmf(c, n, p)) == pytest.approx(p * (1 - p) / k)
    with pytest.raises(ValueError, match="at least 2"):
        avg_at_k_sd(1, 1, 4)
