"""The interleaving of a mix's sources: exact weights at every prefix, any row without those before it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.pretraining.blend import Blend, assignment, whole_weights

PAPER = [0.56, 0.04, 0.10, 0.20, 0.10]
COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=7)


@given(COUNTS)
def test_at_every_prefix_each_source_is_within_a_row_of_its_share(counts):
    """Tijdeman's bound, counted here in whole numbers: |n - w k| <= 1 - 1/(2m - 2)."""
    found, total = assignment(counts), sum(counts)
    bound = 1 - Fraction(1, max(2, 2 * len(counts) - 2)) if len(counts) > 1 else Fraction(0)
    given_so_far = [0] * len(counts)
    for row, source in enumerate(found.tolist(), start=1):
        given_so_far[source] += 1
        assert all(
            abs(taken - Fraction(count * row, total)) <= bound for count, taken in zip(counts, given_so_far, strict=True)
        )
    assert given_so_far == list(counts), "a period gives each source exactly its share"


@given(COUNTS, st.integers(0, 3000))
def test_any_row_is_known_without_those_before_it(counts, row):
    blend = Blend(counts)
    one_by_one = np.resize(assignment([count // np.gcd.reduce(counts) for count in counts]), row + 1)
    source, place = blend.place(row)
    assert source == one_by_one[row]
    assert place == (one_by_one[:row] == source).sum()
    assert blend.counts(row).tolist() == np.bincount(one_by_one[:row], minlength=len(counts)).tolist()


@settings(max_examples=30)
@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=3))
def test_realised_weights_are_within_a_thousandth_beyond_the_rounding_of_a_row(weights):
    """Also of weights that no short period holds."""
    blend = Blend([round(weight, 3) or 0.001 for weight in weights])
    asked = np.array([round(weight, 3) or 0.001 for weight in weights])
    asked = asked / asked.sum()
    for rows in (1, 7, 100, 1003, 50_000, 10**9):
        assert (np.abs(blend.counts(rows) - asked * rows) <= 1 + 1e-3 * asked * rows).all()


def test_the_papers_mixture_is_exact_every_50_rows():
    assert whole_weights(PAPER) == [28, 2, 5, 10, 5]
    blend = Blend(PAPER)
    assert blend.counts(50).tolist() == [28, 2, 5, 10, 5]
    for rows in range(1000, 1200):
        assert np.abs(blend.counts(rows) / rows - PAPER).max() < 1e-3


def test_weights_are_taken_as_they_are_written():
    assert whole_weights([0.1, 0.2]) == [1, 2]
    assert whole_weights([400, 150]) == [8, 3]
    odd = whole_weights([1.0, 1e-7 + 1 / 3, 1 / 7])
    assert sum(odd) == 1_000_000
    assert odd[0] / sum(odd) == pytest.approx(1 / (1 + 1e-7 + 1 / 3 + 1 / 7), rel=1e-5)
