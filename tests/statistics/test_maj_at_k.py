"""Maj@K against enumeration of all subsets (and orders), exact integer arithmetic and Monte Carlo."""

from collections import Counter
from fractions import Fraction
from itertools import combinations, permutations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.statistics.maj_at_k import NO_ANSWER_RULES, maj_at_k

ABSTAIN = "no answer"


def samples_of(counts, num_no_answer):
    return [answer for answer, count in enumerate(counts) for _ in range(count)] + [ABSTAIN] * num_no_answer


def vote(subset, correct, ties, no_answer):
    """Chance that the vote of one subset is right: the definition, written down."""
    votes = Counter(answer for answer in subset if answer != ABSTAIN or no_answer == "class")
    if not votes:
        return 0.0
    top = max(votes.values())
    winners = [answer for answer, count in votes.items() if count == top]
    if correct not in winners:
        return 0.0
    return float(len(winners) == 1) if ties == "wrong" else 1 / len(winners)


@st.composite
def problems(draw, most=7):
    counts = draw(st.lists(st.integers(0, 4), min_size=1, max_size=5).filter(lambda c: sum(c) <= most))
    num_no_answer = draw(st.integers(0 if sum(counts) else 1, max(1, min(3, most - sum(counts)))))
    return counts, draw(st.integers(-1, len(counts) - 1)), num_no_answer


@settings(max_examples=200, deadline=None)
@given(problems())
def test_equals_enumeration_over_all_subsets(problem):
    """200 problems x 2 rules for ties x 2 for no answer x every K: about 4,000 cases."""
    counts, correct, silent = problem
    samples = samples_of(counts, silent)
    ks = list(range(1, len(samples) + 1))
    subsets = {k: list(combinations(samples, k)) for k in ks}
    for no_answer in NO_ANSWER_RULES:
        for ties in ("uniform", "wrong"):
            expected = [np.mean([vote(subset, correct, ties, no_answer) for subset in subsets[k]]) for k in ks]
            got = maj_at_k(counts, correct, ks, ties, num_no_answer=silent, no_answer=no_answer)
            np.testing.assert_allclose(got, expected, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(problems(most=6))
def test_first_sampled_equals_enumeration_over_all_orders(problem):
    counts, correct, silent = problem
    samples = samples_of(counts, silent)
    for k in range(1, min(4, len(samples)) + 1):
        right = []
        for order in permutations(samples, k):
            votes = Counter(answer for answer in order if answer != ABSTAIN)
            right.append(bool(votes) and votes.most_common(1)[0][0] == correct)  # Counter keeps the order of first votes
        got = maj_at_k(counts, correct, k, "first", num_no_answer=silent)
        assert got == pytest.approx(np.mean(right), abs=1e-12)


def exact_reference(counts, correct, k):
    """Textbook dynamic programme over classes in integers: ways[used votes][classes tied at v]."""
    total = Fraction(0)
    rivals = [count for answer, count in enumerate(counts) if answer != correct]
    for v in range(1, min(k, counts[correct]) + 1):
        ways = {(v, 0): comb(counts[correct], v)}
        for size in rivals:
            grown = Counter()
            for (used, tied), number in ways.items():
                for votes in range(min(size, v, k - used) + 1):
                    grown[used + votes, tied + (votes == v)] += number * comb(size, votes)
            ways = grown
        total += sum(Fraction(number, tied + 1) for (used, tied), number in ways.items() if used == k)
    return float(total / comb(sum(counts), k))


@pytest.mark.parametrize("correct", [1, 3])
@pytest.mark.parametrize("k", [2, 7, 32, 90, 119, 120])
def test_equals_exact_integers_at_medium_size(k, correct):
    """Answer 1 is close to winning; answer 3 wins with chances down to 1e-7, which must not be dropped as negligible."""
    counts = [30, 28, 25, 10, 9, 9, 3, 2, 2, 1, 1]
    assert sum(counts) == 120
    assert maj_at_k(counts, correct, k) == pytest.approx(exact_reference(counts, correct, k), rel=1e-9, abs=1e-14)


def test_unlikely_winning_counts_still_count():
    """Among many single answers the vote can be won with few votes, against a rival that nearly always has more."""
    counts = [20, 18] + [1] * 82
    assert maj_at_k(counts, 1, 60) == pytest.approx(exact_reference(counts, 1, 60), rel=1e-11)


@pytest.mark.parametrize("k", [4, 64, 700])
@pytest.mark.parametrize("ties", ["uniform", "wrong"])
def test_agrees_with_monte_carlo_at_large_size(k, ties):
    rng = np.random.default_rng(k)
    weights = np.arange(1, 201) ** -1.0
    counts = rng.multinomial(1024, weights / weights.sum())
    draws = rng.multivariate_hypergeometric(counts, k, size=20_000, method="count")
    top = draws.max(1, keepdims=True)
    winners = (draws == top).sum(1)
    right = (draws[:, 1] == top[:, 0]) * ((winners == 1) if ties == "wrong" else 1 / winners)
    error = np.sqrt(right.var() / len(right)) + 1e-4
    assert maj_at_k(counts, 1, k, ties) == pytest.approx(right.mean(), abs=4.5 * error)


def test_k_1_is_mean_accuracy_and_k_2_with_uniform_ties_too():
    """Two votes: both right, or a tie won by half: p^2 + p (1 - p) = p for a without-replacement pair as well."""
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 200, (50, 7)) + 1
    correct = rng.integers(0, 7, 50)
    accuracy = counts[np.arange(50), correct] / counts.sum(1)
    np.testing.assert_allclose(maj_at_k(counts, correct, 1), accuracy, atol=1e-12)
    np.testing.assert_allclose(maj_at_k(counts, correct, 2), accuracy, atol=1e-12)


def test_k_n_is_the_vote_itself():
    counts = [[5, 3, 0], [3, 5, 0], [4, 4, 0], [3, 3, 2]]
    np.testing.assert_allclose(maj_at_k(counts, [0, 0, 0, 1], 8), [1, 0, 0.5, 0.5], atol=1e-12)
    np.testing.assert_allclose(maj_at_k(counts, [0, 0, 0, 1], 8, "wrong"), [1, 0, 0, 0], atol=1e-12)


def test_no_answer_rules_by_hand():
    # 2 right, 3 without answer, K = 5: abstentions leave the right answer unopposed; as a class they outvote it.
    assert maj_at_k([2], 0, 5, num_no_answer=3) == pytest.approx(1.0)
    assert maj_at_k([2], 0, 5, num_no_answer=3, no_answer="class") == pytest.approx(0.0)
    # K = 1 of 1 right and 1 silent: half the draws are an abstention, which is wrong.
    assert maj_at_k([1], 0, 1, num_no_answer=1) == pytest.approx(0.5)
    assert maj_at_k([0], -1, 2, num_no_answer=2) == 0.0


def test_batches_equal_single_problems():
    """Ragged lists, padding, equal problems, unequal n and orders of classes change nothing."""
    counts = [[5, 3, 1], [1, 3, 5], [9], [4, 4, 1, 3], [5, 3, 1], []]
    correct = [0, 2, 0, 1, 1, -1]
    silent = [0, 0, 0, 2, 1, 9]
    ks = [1, 3, 8]
    table = maj_at_k(counts, correct, ks, num_no_answer=silent)
    assert table.shape == (6, 3)
    for row, (one, right, quiet) in enumerate(zip(counts, correct, silent, strict=True)):
        np.testing.assert_allclose(table[row], maj_at_k(one, right, ks, num_no_answer=quiet), atol=1e-13)
    np.testing.assert_allclose(table[0], table[1], atol=1e-13)
    padded = np.array([[5, 3, 1, 0, 0], [0, 1, 0, 3, 5]])
    np.testing.assert_allclose(maj_at_k(padded, [0, 4], ks), table[:2], atol=1e-13)
    assert maj_at_k(padded, [0, 4], 3).shape == (2,)
    assert isinstance(maj_at_k([5, 3], 0, 3), float)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([[3, 1]], [0], 5), {}, r"problem 0 has 4 samples"),
        (([[3, 1]], [0], 0), {}, r"k must lie between 1"),
        (([[3, 1]], [2], 1), {}, r"correct_class=2 of problem 0 is none of its 2 classes"),
        (([[3, -1]], [0], 1), {}, "must not be negative"),
        (([[3, 1]], [0, 0], 1), {}, "has 1 problems, but correct_class has 2"),
        (([[3, 1.5]], [0], 1), {}, "class_counts must be whole numbers"),
        (([[3, 1]], [0], 1), {"ties": "alphabetical"}, "ties='alphabetical' is not known"),
        (([[3, 1]], [0], 1), {"no_answer": "drop"}, "no_answer='drop' is not known"),
    ],
)
def test_refuses(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        maj_at_k(*arguments, **options)
