"""The order of a mix: weights, evenness, rows, and that a step depends on nothing but the seed and its number."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unified_rl.sources.mixture import ByCount, ByRows, Mixture

SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=4)
SEEDS = st.integers(0, 5)


@given(SIZES, SEEDS, st.data())
def test_weights_are_passes_per_epoch(sizes, seed, data):
    weights = data.draw(st.lists(st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0]), min_size=len(sizes), max_size=len(sizes)))
    mixture, epochs = Mixture(sizes, weights, seed), 4
    seen = Counter(int(item) for epoch in range(epochs) for item in mixture.epoch(epoch))
    first = 0
    for size, count in zip(sizes, mixture.counts, strict=True):
        times = [seen[item] for item in range(first, first + size)]
        assert sum(times) == epochs * count
        assert max(times) - min(times) <= 1, "no item of a part is seen more often than another, give or take one"
        first += size


@given(SIZES, SEEDS, st.integers(1, 20))
def test_steps_are_slices_of_the_epochs(sizes, seed, per_step):
    mixture = Mixture(sizes, [1.0] * len(sizes), seed)
    batches = ByCount(mixture, per_step)
    steps = -(-3 * len(mixture) // per_step)
    drawn = np.concatenate([batches.items(step) for step in range(steps)])
    expected = np.concatenate([mixture.epoch(epoch) for epoch in range(4 + per_step // len(mixture))])
    assert (drawn == expected[: len(drawn)]).all()


@given(st.lists(st.integers(1, 16), min_size=1, max_size=60), SEEDS, st.integers(1, 6))
def test_rows_hold_the_epoch_in_order_and_never_overflow(lengths, seed, per_step):
    lengths = np.array(lengths)
    mixture = Mixture([len(lengths)], [1.0], seed)
    batches = ByRows(mixture, lengths, 16, per_step)
    rows = batches.rows(0)
    assert (np.concatenate(rows) == mixture.epoch(0)).all()
    totals = [lengths[row].sum() for row in rows]
    assert max(totals) <= 16
    for row, following in pairwise(rows):
        assert lengths[row].sum() + lengths[following[0]] > 16, "the next item would not have fitted"
    # Steps take rows one after the other, over the ends of epochs, in whatever order the steps are asked for.
    every = [*rows, *batches.rows(1), *batches.rows(2)]
    steps = len(every) // per_step
    fresh = ByRows(mixture, lengths, 16, per_step)
    for step in reversed(range(steps)):
        assert (fresh.items(step) == np.concatenate(every[step * per_step : (step + 1) * per_step])).all()


def test_the_seed_changes_the_order():
    assert (Mixture([50], [1.0], 0).epoch(0) != Mixture([50], [1.0], 1).epoch(0)).any()
    assert (Mixture([50], [1.0], 0).epoch(0) != Mixture([50], [1.0], 0).epoch(1)).any()
