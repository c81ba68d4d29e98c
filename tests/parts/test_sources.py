"""Data sources: the same prompts in the same order for every method, provenance on every sample, pairs that are pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_rl.base import rng
from unified_rl.base.errors import DataError
from unified_rl.base.types import Decoding, Demonstration, Problem, Prompt, Response, Score
from unified_rl.sources import (
    Demonstrations,
    InformativeSamples,
    MixedGroups,
    OfflineSamples,
    OnlineSamples,
    Pairs,
    PromptPool,
    as_response,
)

DECODING = Decoding(max_new_tokens=5)


def prompts(count):
    return [Prompt(Problem(f"p{i}", f"q{i}", "1"), (1, i + 2)) for i in range(count)]


def response(token, seed=0, version=0):
    return Response(np.array([token, 0]), np.zeros(2, dtype=np.float32), "stop", version, DECODING, seed, str(token))


class Coin:
    """A sampler whose token is a function of the seed, as the real one's tokens are."""

    def generate(self, prompts, seeds, decoding, policy_version):
        return [[response(seed % 2, seed, policy_version) for seed in row] for row in seeds]


class OneIsRight:
    def score(self, prompts, responses):
        return [
            [Score(float(r.text == "1"), "correct" if r.text == "1" else "incorrect", r.text, r.text) for r in group]
            for group in responses
        ]


def online(pool, seed=0, per_step=3, responses=4):
    return OnlineSamples(
        pool, Coin(), OneIsRight(), DECODING, seed=seed, prompts_per_step=per_step, responses_per_prompt=responses
    )


@given(st.integers(1, 20), st.integers(1, 30), st.integers(0, 5))
def test_each_epoch_is_a_permutation_of_the_pool(size, per_step, seed):
    pool = PromptPool(prompts(size), seed)
    drawn = [index for step in range(2 * size) for index in pool.indices(step, per_step)]
    for epoch in range(len(drawn) // size):
        assert sorted(drawn[epoch * size : (epoch + 1) * size]) == list(range(size))


def test_prompt_order_does_not_depend_on_the_source_or_on_history():
    pool = PromptPool(prompts(10), seed=4)
    stored = [[response(0), response(1), response(1), response(0)] for _ in range(10)]
    offline = OfflineSamples(pool, stored, OneIsRight(), seed=4, prompts_per_step=3, responses_per_prompt=2)
    ids = [[group.prompt.id for group in source.draw(7, 0).groups] for source in (online(pool, 4), offline)]
    assert ids[0] == ids[1] == [pool[i].id for i in pool.indices(7, 3)]


def test_different_seeds_give_different_orders():
    assert PromptPool(prompts(50), 0).indices(0, 50) != PromptPool(prompts(50), 1).indices(0, 50)


def test_online_samples_carry_version_and_distinct_seeds_and_are_counted():
    draw = online(PromptPool(prompts(6), 0)).draw(2, policy_version=17)
    seeds = [scored.response.seed for group in draw.groups for scored in group.responses]
    assert len(set(seeds)) == 12
    assert {scored.response.policy_version for group in draw.groups for scored in group.responses} == {17}
    assert draw.sampled_tokens == 12 * 2
    again = online(PromptPool(prompts(6), 0)).draw(2, policy_version=17)
    assert [s.response.seed for g in again.groups for s in g.responses] == seeds


def test_informative_samples_drop_groups_that_agree_and_count_what_they_cost():
    pool = PromptPool(prompts(40), 0)
    source = InformativeSamples(online(pool, per_step=8, responses=2), pool, prompts_per_step=8, max_rounds=3)
    for step in range(5):
        draw = source.draw(step, 0)
        assert 1 <= len(draw.groups) <= 8
        for group in draw.groups:
            assert {scored.score.verdict for scored in group.responses} == {"correct", "incorrect"}
        assert draw.sampled_tokens in {8 * 2 * 2 * rounds for rounds in (1, 2, 3)}
        assert draw.sampled_tokens >= 4 * len(draw.groups)


def test_informative_samples_fall_back_to_the_last_round():
    class NeverRight(OneIsRight):
        def score(self, prompts, responses):
            return [[Score(0.0, "incorrect", None, None) for _ in group] for group in responses]

    pool = PromptPool(prompts(9), 0)
    inner = OnlineSamples(pool, Coin(), NeverRight(), DECODING, seed=0, prompts_per_step=3, responses_per_prompt=2)
    assert len(InformativeSamples(inner, pool, prompts_per_step=3, max_rounds=2).draw(0, 0).groups) == 3


def test_offline_samples_choose_without_replacement():
    stored = [[response(token, seed=token) for token in range(6)] for _ in range(4)]
    source = OfflineSamples(PromptPool(prompts(4), 0), stored, OneIsRight(), seed=0, prompts_per_step=4, responses_per_prompt=5)
    for group in source.draw(3, 0).groups:
        assert len({scored.response.seed for scored in group.responses}) == 5


def test_offline_samples_refuse_a_store_that_does_not_fit():
    pool = PromptPool(prompts(3), 0)
    make = lambda stored, n: OfflineSamples(pool, stored, OneIsRight(), seed=0, prompts_per_step=1, responses_per_prompt=n)  # noqa: E731
    with pytest.raises(DataError, match="samples_per_prompt"):
        make([[response(1)]] * 3, 2)
    with pytest.raises(DataError, match="store them again"):
        make([[response(1)]] * 2, 1)


def pairs_of(stored, pairs_per_prompt):
    pool, count = PromptPool(prompts(len(stored)), 0), len(stored)
    inside = OfflineSamples(pool, stored, OneIsRight(), seed=0, prompts_per_step=count, responses_per_prompt=None)
    return Pairs(inside, seed=0, pairs_per_prompt=pairs_per_prompt)


def test_preference_pairs_put_the_right_response_first_and_use_each_once():
    stored = [[response(token % 2, seed=token) for token in range(8)] for _ in range(5)]
    source = pairs_of(stored, pairs_per_prompt=3)
    groups = source.draw(0, 0).groups
    assert len(groups) == 5 * 3
    for group in groups:
        assert [scored.score.verdict for scored in group.responses] == ["correct", "incorrect"]
    for prompt in {group.prompt.id for group in groups}:
        seeds = [s.response.seed for group in groups if group.prompt.id == prompt for s in group.responses]
        assert len(set(seeds)) == len(seeds)


def test_preference_pairs_skip_prompts_without_both():
    stored = [[response(1), response(1)], [response(0), response(1)]]
    source = pairs_of(stored, pairs_per_prompt=4)
    (group,) = source.draw(0, 0).groups
    assert group.prompt.id == "p1"


class Letters:
    def encode(self, text, add_special_tokens=False):
        return [ord(letter) for letter in text]


def test_demonstrations_are_responses_that_nobody_sampled():
    (prompt,) = prompts(1)
    made = as_response(Demonstration(prompt.problem, "ab"), prompt, Letters(), eos_id=0)
    assert made.token_ids.tolist() == [97, 98, 0]
    assert made.policy_version == -1
    assert made.decoding is None
    assert np.isnan(made.behaviour_logp).all()
    draw = Demonstrations(PromptPool([prompt], 0), [made], OneIsRight(), prompts_per_step=2).draw(0, 5)
    assert [len(group.responses) for group in draw.groups] == [1, 1]
    assert draw.sampled_tokens == 0
    with pytest.raises(DataError, match="without tokens"):
        as_response(Demonstration(prompt.problem, ""), prompt, Letters(), eos_id=0)


def test_empty_pool_is_refused():
    with pytest.raises(DataError, match=r"data\.path"):
        PromptPool([], 0)


def test_seeds_depend_on_every_argument():
    base = rng.derive_seed(1, "sampling", 2, 3)
    assert base == rng.derive_seed(1, "sampling", 2, 3)
    others = [rng.derive_seed(2, "sampling", 2, 3), rng.derive_seed(1, "prompts", 2, 3), rng.derive_seed(1, "sampling", 3, 2)]
    assert len({base, *others}) == 4
    assert 0 <= base < 2**63


@given(st.integers(0, 5), st.integers(1, 4), st.integers(1, 3), st.randoms(use_true_random=False))
def test_mixed_groups_are_those_of_both_sources_to_the_same_prompts(step, own, others, random):
    """Whatever the order of the prompts in the other source's pool."""
    asked = prompts(7)
    shuffled = random.sample(asked, len(asked))
    stored = [[response(100 + int(one.id[1:])) for _ in range(others)] for one in shuffled]
    pool = PromptPool(asked, 0)
    inside = online(pool, responses=own)
    beside = OfflineSamples(
        PromptPool(shuffled, 0), stored, OneIsRight(), seed=0, prompts_per_step=1, responses_per_prompt=others
    )
    mixed = MixedGroups(inside, beside)
    draw, alone = mixed.draw(step, 5), inside.draw(step, 5)
    assert [group.prompt for group in draw.groups] == [group.prompt for group in alone.groups]
    assert draw.sampled_tokens == alone.sampled_tokens
    for group, own_group in zip(draw.groups, alone.groups, strict=True):
        assert [one.response.seed for one in group.responses[:own]] == [one.response.seed for one in own_group.responses]
        assert [one.response.text for one in group.responses[own:]] == [str(100 + int(group.prompt.id[1:]))] * others
    again = mixed.sample(pool.indices(step, 3), step, 5)
    assert [g.prompt.id for g in again.groups] == [g.prompt.id for g in draw.groups]


def test_a_prompt_that_the_other_source_does_not_have_is_named():
    inside = online(PromptPool(prompts(3), 0))
    beside = Demonstrations(PromptPool(prompts(1), 0), [response(1)], OneIsRight(), prompts_per_step=1)
    with pytest.raises(DataError, match=r"'p[12]' has no response.*source.mixed_with"):
        MixedGroups(inside, beside).draw(0, 0)
