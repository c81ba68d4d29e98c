"""The replay store's composition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_rl.base.errors import ConfigError
from unified_rl.sources.replay import ReplayStore


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    share=st.floats(0, 0.6),
    seed=st.integers(0, 3),
)
def test_a_mix_holds_the_fresh_items_and_the_stated_share_of_earlier_ones(sizes, share, seed):
    store, history = ReplayStore(), 0
    for iteration, size in enumerate(sizes):
        fresh = [(iteration, index) for index in range(size)]
        mix = store.mix(fresh, iteration=iteration, policy=f"p{iteration}", share=share, seed=seed)
        replayed = mix[size:]
        assert [kept.item for kept in mix[:size]] == fresh
        assert all(kept.iteration == iteration and kept.policy == f"p{iteration}" for kept in mix[:size])
        assert len(replayed) == min(history, round(size * share / (1 - share)))
        assert len({kept.item for kept in replayed}) == len(replayed)  # without replacement
        # provenance: every replayed item is from the iteration and policy that wrote it
        assert all(kept.item[0] == kept.iteration < iteration and kept.policy == f"p{kept.iteration}" for kept in replayed)
        store.add(fresh, iteration=iteration, policy=f"p{iteration}")
        history += size
    assert len(store) == history


def test_ten_per_cent_of_the_mix_not_of_the_fresh_data():
    store = ReplayStore()
    store.add(range(1000), iteration=0, policy="a")
    mix = store.mix(range(1000, 1900), iteration=1, policy="b", share=0.1, seed=0)
    assert len(mix) == 1000
    assert sum(kept.iteration == 0 for kept in mix) == 100


def test_the_draw_is_a_function_of_seed_and_iteration():
    store = ReplayStore()
    store.add(range(500), iteration=0, policy="a")
    fresh = list(range(1000, 1100))

    def drawn(seed, iteration):
        mix = store.mix(fresh, iteration=iteration, policy="b", share=0.3, seed=seed)
        return [kept.item for kept in mix[100:]]

    assert drawn(0, 1) == drawn(0, 1) != drawn(1, 1)
    assert drawn(0, 1) != drawn(0, 2)
    assert store.mix([], iteration=1, policy="b", share=0.0, seed=0) == []


def test_a_share_of_one_is_refused():
    with pytest.raises(ConfigError, match=r"iterate\.replay"):
        ReplayStore().mix([1], iteration=1, policy="a", share=1.0, seed=0)
