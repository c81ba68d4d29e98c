"""Tree search over steps: leaves that the policy could have written, honest token counts, noise by name alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ragged import VOCABULARY, small_llama

from unified_rl.base.types import Decoding, Problem, Prompt, Score
from unified_rl.sampling.draws import sampler_logp
from unified_rl.sampling.torch_generator import TorchGenerator
from unified_rl.sources import BRANCH_FROM, OnlineSamples, PromptPool, TreeSearch

EOS, BREAKS = 1, (3, 4, 5, 6, 7, 8)  # tokens that end a step
DECODING = Decoding(temperature=0.9, max_new_tokens=14)
PROMPTS, RESPONSES, ROOTS, ROUNDS = 4, 9, 3, 2


class Numbers:
    def decode(self, token_ids, skip_special_tokens=False):
        return " ".join(str(token) for token in token_ids if token != EOS)

    def __len__(self):
        return VOCABULARY


class Counting:
    """The real generator, and how many tokens it wrote."""

    def __init__(self, model):
        self.generator, self.tokens, self.calls = TorchGenerator(model, Numbers(), eos_token_ids=[EOS]), 0, []

    def generate(self, prompts, seeds, decoding, policy_version):
        responses = self.generator.generate(prompts, seeds, decoding, policy_version)
        self.tokens += sum(len(response) for group in responses for response in group)
        self.calls.append((len(prompts), decoding.max_new_tokens))
        return responses


class EvenSum:
    """A rule that nobody would train on, and that tells responses apart."""

    def score(self, prompts, responses):
        return [[self.one(response) for response in group] for group in responses]

    def one(self, response):
        right = int(response.token_ids.sum()) % 2 == 0
        return Score(float(right), "correct" if right else "incorrect", response.text, response.text)


def step_ends(prompt, response):
    ends = np.flatnonzero(np.isin(response.token_ids, BREAKS)).tolist()
    last = len(response) - 1
    return np.array([end for end in ends if end < last] + [last])


def pool():
    return PromptPool([Prompt(Problem(f"p{i}", "", ""), (2 + i, 9, 11)) for i in range(6)], seed=1)


def tree(generator, branch_from="random", *, responses=RESPONSES, roots=ROOTS, rounds=ROUNDS, decoding=DECODING, context=0):
    return TreeSearch(
        pool(),
        generator,
        EvenSum(),
        decoding,
        Numbers(),
        step_ends,
        BRANCH_FROM[branch_from],
        seed=1,
        prompts_per_step=PROMPTS,
        responses_per_prompt=responses,
        roots=roots,
        rounds=rounds,
        context=context,
    )


@pytest.fixture(scope="module")
def model():
    return small_llama(0).float()


@pytest.fixture(scope="module")
def draw(model):
    generator = Counting(model)
    return tree(generator).draw(2, 17), generator


def responses_of(group):
    return [scored.response for scored in group.responses]


def beginnings(response):
    return {tuple(response.token_ids[: end + 1].tolist()) for end in step_ends(None, response)[:-1]}


def test_groups_are_full_and_say_what_wrote_them(draw):
    found, _ = draw
    assert [group.prompt.id for group in found.groups] == [pool()[i].id for i in pool().indices(2, PROMPTS)]
    for group in found.groups:
        assert len(group.responses) == RESPONSES
        seeds = [response.seed for response in responses_of(group)]
        assert len(set(seeds)) == RESPONSES
        for response in responses_of(group):
            assert response.policy_version == 17
            assert response.decoding == DECODING
            assert response.text == Numbers().decode(response.token_ids.tolist())
            assert len(response.behaviour_logp) == len(response) <= DECODING.max_new_tokens
            assert response.finish == ("stop" if response.token_ids[-1] == EOS else "length")


def test_every_leaf_is_a_path_of_the_policy(draw, model):
    """Its log-probs are those of the sampler at each of its tokens, as one pass over the whole response finds them."""
    found, _ = draw
    for group in found.groups:
        for response in responses_of(group):
            ids = torch.tensor([[*group.prompt.token_ids, *response.token_ids.tolist()]])
            with torch.no_grad():
                logits = model(input_ids=ids).logits[0, len(group.prompt.token_ids) - 1 : -1]
            logp = sampler_logp(logits, DECODING).gather(1, torch.from_numpy(response.token_ids)[:, None])[:, 0]
            assert np.allclose(logp.numpy(), response.behaviour_logp, atol=1e-4)


def test_roots_are_the_online_responses(draw, model):
    found, _ = draw
    plain = OnlineSamples(
        pool(), Counting(model), EvenSum(), DECODING, seed=1, prompts_per_step=PROMPTS, responses_per_prompt=ROOTS
    ).draw(2, 17)
    for mine, theirs in zip(found.groups, plain.groups, strict=True):
        for root, wanted in zip(responses_of(mine)[:ROOTS], responses_of(theirs), strict=True):
            assert root.token_ids.tolist() == wanted.token_ids.tolist()
            assert root.behaviour_logp.tolist() == wanted.behaviour_logp.tolist()
            assert root.seed == wanted.seed


def rounds_of(group):
    """(responses so far, the new ones) per round of branches: 3 roots, then 3 and 3."""
    responses = responses_of(group)
    return [(responses[:3], responses[3:6]), (responses[:6], responses[6:])]


def test_branches_go_on_from_step_ends_of_earlier_responses(draw):
    found, _ = draw
    shared = 0
    for group in found.groups:
        for before, new in rounds_of(group):
            known = set().union(*(beginnings(response) for response in before))
            for response in new:
                mine = beginnings(response) & known
                assert mine or not known
                shared += bool(mine)
    assert shared > PROMPTS  # the world has steps at all


def test_best_branches_only_from_the_best_so_far(model):
    reward = EvenSum()
    for group in tree(Counting(model), "best").draw(0, 0).groups:
        for before, new in rounds_of(group):
            best = max(reward.one(response).reward for response in before)
            known = set().union(*(beginnings(r) for r in before if reward.one(r).reward == best))
            for response in new:
                assert beginnings(response) & known or not known


def test_tokens_are_counted_where_they_were_sampled(draw):
    found, generator = draw
    assert found.sampled_tokens == generator.tokens
    assert found.sampled_tokens < sum(len(response) for group in found.groups for response in responses_of(group))


def test_the_same_step_is_drawn_again_and_another_is_another(draw, model):
    def ids(found):
        return [response.token_ids.tolist() for group in found.groups for response in responses_of(group)]

    found, _ = draw
    assert ids(tree(Counting(model)).draw(2, 17)) == ids(found)
    assert ids(tree(Counting(model)).draw(3, 17)) != ids(found)


def test_a_tight_context_changes_calls_and_not_responses(draw, model):
    found, wide = draw
    generator = Counting(model)
    tight = tree(generator, context=3 + DECODING.max_new_tokens).draw(2, 17)
    assert len(generator.calls) > len(wide.calls)
    for mine, theirs in zip(tight.groups, found.groups, strict=True):
        for one, other in zip(responses_of(mine), responses_of(theirs), strict=True):
            assert one.token_ids.tolist() == other.token_ids.tolist()
            assert one.finish == other.finish
    assert tight.sampled_tokens == generator.tokens <= found.sampled_tokens


def test_responses_end_at_the_limit(model):
    short = Decoding(max_new_tokens=6)
    groups = tree(Counting(model), decoding=short).draw(0, 0).groups
    lengths = [(len(response), response.finish) for group in groups for response in responses_of(group)]
    assert max(length for length, _ in lengths) == 6
    assert any(finish == "length" for _, finish in lengths)


def test_without_inner_steps_branches_start_from_the_prompt(model):
    source = tree(Counting(model))
    source._step_ends = lambda prompt, response: np.array([len(response) - 1])
    found = source.draw(0, 0)
    assert found.sampled_tokens == sum(len(response) for group in found.groups for response in responses_of(group))


@pytest.mark.parametrize(("responses", "roots", "rounds"), [(2, 2, 3), (1, 1, 1), (5, 1, 8)])
def test_any_shape_yields_the_wanted_number(responses, roots, rounds, model):
    groups = tree(Counting(model), responses=responses, roots=roots, rounds=rounds).draw(0, 0).groups
    assert [len(group.responses) for group in groups] == [responses] * PROMPTS


@pytest.mark.parametrize("branch_from", ["random", "best"])
def test_the_reward_sees_whole_groups_at_the_end_and_whole_ones_so_far_where_it_chooses(branch_from, model):
    search, seen = tree(Counting(model), branch_from), []

    class Seeing(EvenSum):
        def score(self, prompts, responses):
            seen.append([len(group) for group in responses])
            return super().score(prompts, responses)

    search._reward = Seeing()
    search.draw(2, 17)
    between = {"random": [], "best": [[ROOTS] * PROMPTS, [(ROOTS + RESPONSES) // 2] * PROMPTS]}[branch_from]
    assert seen == [*between, [RESPONSES] * PROMPTS]
