"""What steps gain: values against counting by hand and against every response there is, each token counted once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ragged import VOCABULARY, small_llama

from unified_rl.base import rng
from unified_rl.base.errors import ConfigError
from unified_rl.base.types import AnswerCheck, Decoding, Problem, Prompt, Response
from unified_rl.presets.loading import load_config
from unified_rl.rewards import OutcomeReward, SeveralRewards
from unified_rl.rewards.step_values import StepGains
from unified_rl.rewards.steps import TokenSegmenter
from unified_rl.sampling.torch_generator import TorchGenerator

EOS, BREAK = 1, 3
SHORT = Decoding(max_new_tokens=3)
LONG = Decoding(temperature=0.9, max_new_tokens=12)


class Numbers:
    def decode(self, token_ids, skip_special_tokens=False):
        return " ".join(str(token) for token in token_ids if token != EOS)

    def __len__(self):
        return VOCABULARY


class EvenSum:
    """Right is what adds up to an even number."""

    def check_answer(self, problem, text):
        right = sum(map(int, text.split())) % 2 == 0
        return AnswerCheck("correct" if right else "incorrect", text, text)


class Counting:
    """The real generator, the tokens that it wrote, and how often it was asked."""

    def __init__(self, model, context=None):
        self.generator, self.tokens, self.begun = TorchGenerator(model, Numbers(), eos_token_ids=[EOS]), 0, []
        self.info = replace(self.generator.info, context=context or self.generator.info.context)

    def generate(self, prompts, seeds, decoding, policy_version):
        for prompt in prompts:
            assert len(prompt.token_ids) + decoding.max_new_tokens <= self.info.context
        responses = self.generator.generate(prompts, seeds, decoding, policy_version)
        self.tokens += sum(len(response) for group in responses for response in group)
        self.begun += [prompt.token_ids for prompt in prompts]
        return responses


@pytest.fixture(scope="module")
def model():
    return small_llama(0).float()


def gains(generator, decoding=LONG, completions=4, **more):
    segmenter = TokenSegmenter(BREAK, Numbers())
    return StepGains(EvenSum(), Numbers(), segmenter, generator, decoding, completions=completions, seed=7, **more)


def flat(found):
    return [score for group in found for score in group]


def respond(*ids, finish="stop", version=5):
    return Response(np.array(ids), np.zeros(len(ids), np.float32), finish, version, None, 0, Numbers().decode(ids))


PROMPTS = [Prompt(Problem(f"p{i}", "", ""), (2 + i, 9, 11)) for i in range(2)]
GROUPS = [
    [respond(4, BREAK, 6, BREAK, 7, EOS), respond(4, BREAK, 5, 5, EOS), respond(8, EOS)],
    [respond(BREAK, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, BREAK, finish="length"), respond(4, BREAK, 6, BREAK, 7, EOS)],
]


def value_by_itself(model, prompt, prefix, version, decoding=LONG, completions=4):
    """The share of right ones among completions that are sampled one by one."""
    generator, right = TorchGenerator(model, Numbers(), eos_token_ids=[EOS]), []
    for number in range(completions):
        seed = rng.derive_seed(7, f"values/{version}/{prompt.id}", number, *prefix)
        begun = replace(prompt, token_ids=(*prompt.token_ids, *prefix))
        room = replace(decoding, max_new_tokens=decoding.max_new_tokens - len(prefix))
        ((found,),) = generator.generate([begun], [[seed]], room, version)
        right.append(found.finish == "stop" and (sum(prefix) + sum(found.token_ids.tolist()) - EOS) % 2 == 0)
    return sum(right) / completions


def test_a_step_s_reward_is_what_it_gains(model):
    found = gains(Counting(model)).score(PROMPTS, GROUPS)
    for prompt, group, scores in zip(PROMPTS, GROUPS, found, strict=True):
        for response, score in zip(group, scores, strict=True):
            ids = response.token_ids.tolist()
            breaks = [place + 1 for place, token in enumerate(ids[:-1]) if token == BREAK and ids[place + 1 :] != [EOS]]
            values = [value_by_itself(model, prompt, ids[:begun], 5) for begun in (0, *breaks)]
            right = float(response.finish == "stop" and (sum(ids) - EOS) % 2 == 0)
            assert score.reward == right
            assert score.step_values.tolist() == pytest.approx(values)
            assert score.step_rewards.tolist() == pytest.approx(np.diff([*values, right]).tolist())
            assert score.step_ends.tolist() == [place - 1 for place in (*breaks, len(ids))]
            assert score.step_rewards.sum() == pytest.approx(right - values[0])


def test_values_are_means_of_the_set_rewards(model):
    plain = gains(Counting(model)).score(PROMPTS, GROUPS)
    scaled = gains(Counting(model), correct=3.0, incorrect=-1.0).score(PROMPTS, GROUPS)
    for one, other in zip(flat(plain), flat(scaled), strict=True):
        assert other.step_values.tolist() == pytest.approx((4 * one.step_values - 1).tolist())
        assert other.step_rewards.tolist() == pytest.approx((4 * one.step_rewards).tolist())


def test_equal_states_are_gone_on_from_once_and_every_token_is_counted_once(model):
    generator = Counting(model)
    found = gains(generator).score(PROMPTS, GROUPS)
    assert len(set(generator.begun)) == len(generator.begun) == 3 + 1 + 1 + 2
    scores = flat(found)
    assert sum(score.sampled_tokens for score in scores) == generator.tokens
    assert scores[2].sampled_tokens == 0  # both states of the third response are the prompt, which the first one paid for


def test_values_do_not_depend_on_the_company_nor_on_the_context(model):
    whole = gains(Counting(model)).score(PROMPTS, GROUPS)
    alone = [gains(Counting(model)).score([prompt], [group])[0] for prompt, group in zip(PROMPTS, GROUPS, strict=True)]
    tight = gains(Counting(model, context=3 + LONG.max_new_tokens)).score(PROMPTS, GROUPS)
    for others in (alone, tight):
        for one, other in zip(flat(whole), flat(others), strict=True):
            assert np.array_equal(one.step_values, other.step_values)


def test_each_policy_version_has_draws_of_its_own(model):
    later = [[replace(response, policy_version=6) for response in group] for group in GROUPS]
    found, again, other = (gains(Counting(model)).score(PROMPTS, groups) for groups in (GROUPS, GROUPS, later))
    values = [np.concatenate([score.step_values for score in flat(one)]) for one in (found, again, other)]
    assert np.array_equal(values[0], values[1])
    assert not np.array_equal(values[0], values[2])


def exact_value(model, prompt, prefix, decoding=SHORT):
    """The chance of a right response after a prefix: every continuation there is, by its probability. float64."""
    total, states = 0.0, [(tuple(prefix), 1.0)]
    while states:
        ids = torch.tensor([[*prompt.token_ids, *tokens] for tokens, _ in states])
        with torch.no_grad():
            probabilities = (model(ids).logits[:, -1].double() / decoding.temperature).softmax(-1).tolist()
        longer = []
        for (tokens, chance), following in zip(states, probabilities, strict=True):
            total += chance * following[EOS] * (sum(tokens) % 2 == 0)
            if len(tokens) + 1 < decoding.max_new_tokens:
                longer += [((*tokens, t), chance * following[t]) for t in range(VOCABULARY) if t != EOS]
        states = longer
    return total


def test_the_mean_of_completions_is_the_value(model):
    count = 2000
    (scores,) = gains(Counting(model), SHORT, completions=count).score(PROMPTS[:1], [[respond(BREAK, 5, EOS)]])
    for value, prefix in zip(scores[0].step_values, ((), (BREAK,)), strict=True):
        exact = exact_value(model, PROMPTS[0], prefix)
        assert 0.005 < exact < 0.995
        assert abs(value - exact) < 4 * np.sqrt(exact * (1 - exact) / count)


def test_beside_another_reward_its_steps_and_tokens_stay(model):
    parts = {"right": OutcomeReward(EvenSum()), "gains": gains(Counting(model))}
    found = SeveralRewards(parts, {"right": 0.5, "gains": 2.0}).score(PROMPTS, GROUPS)
    alone = gains(Counting(model)).score(PROMPTS, GROUPS)
    for both, one in zip(flat(found), flat(alone), strict=True):
        expected = 2 * one.step_rewards
        expected[-1] += 0.5 * one.reward
        assert both.step_rewards.tolist() == pytest.approx(expected.tolist())
        assert np.array_equal(both.step_values, one.step_values)
        assert both.sampled_tokens == one.sampled_tokens


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("reward.supervision=outcome coefficient=grpo", "set reward.supervision=process, or reward.source=rule"),
        ("source=refreshed_samples", "has those of an earlier policy; set source=online_samples, or reward.source=exact"),
        ("source=offline_samples", "has those of a frozen policy; set source=online_samples"),
        ("task.stop=[Q]", "set task.solution=chain_of_thought, task.stop=\\[\\] and a template other than few_shot"),
        ("reward.completions=0", "reward.completions=0"),
        ("reward.segmentation=lines", "choose one of: newline, step_n, task, token:ID"),
        ("reward.false_positive=0.1", "reward.false_positive=0.1 means nothing to reward.source=step_values"),
        ("reward=rule reward.supervision=process reward.completions=4", "judges the final answer only.*step_values"),
        ("reward=exact reward.completions=4", "reward.completions=4 means nothing to reward.source=exact"),
        ("reward=rule reward.supervision=outcome", "set reward.supervision=process with a reward that judges steps"),
        ("coefficient.baseline=mean", "coefficient.baseline"),
        ("coefficient.kl_in=reward", "coefficient.kl_in"),
    ],
)
def test_what_means_nothing_is_refused(words, said):
    with pytest.raises(ConfigError, match=said):
        load_config(["method=vine_ppo", *words.split()])


def test_a_part_of_several_is_refused_where_outcomes_are_judged():
    parts = "reward.parts={gains: {source: step_values}}"
    with pytest.raises(ConfigError, match="says what each step gains"):
        load_config(["method=grpo", "reward=several", parts])
    assert load_config(["method=grpo", "reward=several", "reward.supervision=process", parts]).reward.completed
