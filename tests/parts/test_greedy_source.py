"""A greedy response beside each group: the likeliest tokens, judged by the same reward, and no member of the group."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from ragged import small_llama
from tiny import words

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Decoding, Draw, Problem, Prompt, Score
from unified_rl.cli import main
from unified_rl.loop.rollout import collate, facts
from unified_rl.planning import plan
from unified_rl.presets.loading import compose, load_config
from unified_rl.sampling.torch_generator import TorchGenerator
from unified_rl.sources import GreedyBeside, InformativeSamples, OnlineSamples, PromptPool
from unified_rl.sources.registry import declared

SAMPLED = Decoding(temperature=1.0, max_new_tokens=7)


class Tokenizer:
    eos_token_id = 1

    def decode(self, token_ids, skip_special_tokens=False):
        return " ".join(map(str, token_ids))

    def __len__(self):
        return 23


class ByLength:
    """Long responses are right; the reward is the length."""

    def __init__(self):
        self.asked = []

    def score(self, prompts, responses):
        self.asked.append([len(group) for group in responses])
        return [
            [Score(float(len(one)), "correct" if len(one) > 3 else "incorrect", None, None) for one in group]
            for group in responses
        ]


def sources(generator, reward=None, responses=3):
    """(online samples, the same with greedy ones beside them)."""
    reward = reward or ByLength()
    pool = PromptPool([Prompt(Problem(f"p{i}", "q", "1"), (2, 3 + i, 5)) for i in range(6)], 0)
    inside = OnlineSamples(pool, generator, reward, SAMPLED, seed=0, prompts_per_step=4, responses_per_prompt=responses)
    return inside, GreedyBeside(inside, generator, reward, SAMPLED)


@pytest.fixture(scope="module")
def generator():
    return TorchGenerator(small_llama(0).float(), Tokenizer())


def test_its_tokens_are_those_of_decoding_at_temperature_0(generator):
    _, source = sources(generator)
    groups = source.draw(0, 5).groups
    alone = generator.generate([group.prompt for group in groups], [[9]] * 4, Decoding(0.0, max_new_tokens=7), 5)
    for group, (want,) in zip(groups, alone, strict=True):
        found = group.greedy.response
        assert found.token_ids.tolist() == want.token_ids.tolist()
        assert (found.policy_version, found.finish, found.decoding.temperature) == (5, want.finish, 0.0)
        ids = torch.tensor([[*group.prompt.token_ids, *found.token_ids.tolist()]])
        likeliest = generator.model(input_ids=ids).logits[0, 2:-1].argmax(-1)
        assert found.token_ids.tolist() == likeliest.tolist()


def test_the_group_does_not_know_it(generator):
    reward = ByLength()
    inside, source = sources(generator, reward)
    without, found = inside.draw(2, 0), source.draw(2, 0)
    assert reward.asked[1:] == [[3] * 4, [1] * 4], "it is judged by itself"
    for ours, theirs in zip(found.groups, without.groups, strict=True):
        assert [one.response.token_ids.tolist() for one in ours.responses] == [
            one.response.token_ids.tolist() for one in theirs.responses
        ]
    greedy_tokens = sum(len(group.greedy.response) for group in found.groups)
    assert found.sampled_tokens == without.sampled_tokens + greedy_tokens
    ours, theirs = (collate(one.groups, "cpu", process=False, pairs=False) for one in (found, without))
    assert len(ours.sequences) == len(theirs.sequences) == 12
    assert "greedy_reward_B" not in theirs.inputs.more
    rewards = [group.greedy_reward for group in found.groups]
    assert ours.inputs.greedy_reward_B.tolist() == [reward for reward in rewards for _ in range(3)]
    logged = facts(ours)
    assert logged.pop("reward/greedy") == pytest.approx(np.mean(rewards))
    assert logged == facts(theirs)


def test_what_a_source_inside_throws_away_costs_none(generator):
    reward = ByLength()
    inside, _ = sources(generator, reward)
    filtered = InformativeSamples(inside, inside.pool, prompts_per_step=4, max_rounds=1)
    draw = GreedyBeside(filtered, generator, reward, SAMPLED).draw(0, 0)
    assert reward.asked[-1] == [1] * len(draw.groups)


def test_of_nothing_there_is_nothing_beside():
    class Nothing:
        def draw(self, step, policy_version):
            return Draw([], 3)

    assert GreedyBeside(Nothing(), None, None, SAMPLED).draw(0, 0) == Draw([], 3)


def trained(folder, artifacts, *more):
    assert main(["train", *words("remax", folder, artifacts, *more)]) == 0
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


def test_one_response_is_enough(tmp_path, artifacts):
    metrics = trained(tmp_path / "run", artifacts, "rollout.responses_per_prompt=1", "rollout.prompts_per_step=8")
    assert any(entry["coef/advantage/abs_mean"] > 0 for entry in metrics)
    for entry in metrics:  # of every response |r - r(greedy)| is 0 or 1, and the mean of r - r(greedy) is that of the two
        assert 0 <= entry["reward/greedy"] <= 1
    samples = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    for sample in samples:
        assert set(sample["coefficient"]["advantage"]) == {sample["reward"] - sample["greedy_reward"]}


def test_what_waits_ahead_of_training_keeps_it(tmp_path, artifacts):
    """Batches drawn for later carry their greedy responses through a checkpoint."""
    more = ("rollout.staleness=2", "importance=truncated", "logging.checkpoint_every=1", "trainer.learning_rate=0.01")
    whole = trained(tmp_path / "whole", artifacts, *more, "trainer.steps=4")
    trained(tmp_path / "part", artifacts, *more, "trainer.steps=2")
    assert trained(tmp_path / "part", artifacts, *more, "trainer.steps=4", "resume=true") == whole


@pytest.mark.parametrize(
    ("given", "hints"),
    [
        (["method=grpo", "coefficient=remax"], ["the prompt's greedy reward", "set source.wrappers=[greedy]"]),
        (
            ["method=dapo", "coefficient=remax", "aggregation=batch_token_mean"],
            ["informative_samples does not have", "set source.wrappers=[greedy]"],
        ),
        (["method=remax", "source=offline_samples"], ["sampled while the run goes on", "source=online_samples"]),
        (
            ["method=sft", "coefficient=remax", "reward=rule"],
            ["demonstrations does not have", "source=online_samples", "with source.wrappers=[greedy]"],
        ),
        (["method=grpo", "source=tree_search", "coefficient=remax"], ["with source.wrappers=[greedy]"]),
        (["method=remax", "reward.source=majority"], ["judges responses by each other", "reward.source=rule"]),
        (["method=remax", "coefficient.baseline=mean"], ["coefficient.baseline='mean'"]),
        (["method=remax", "rollout.epochs=2"], ["no importance weight"]),
    ],
)
def test_a_source_that_cannot_give_it_is_refused(given, hints):
    with pytest.raises(ConfigError) as refused:
        load_config(given)
    for hint in hints:
        assert hint in str(refused.value)


def test_its_sampling_is_planned_and_its_training_is_not():
    with_it = compose(["method=remax"])
    without = replace(with_it, source=replace(with_it.source, wrappers=[]))
    assert declared(with_it.source).provides.untrained == 1
    ours, theirs = (plan(config)["work"] for config in (with_it, without))
    shares = {name: ours[name] / theirs[name] for name in ("sampling_flops", "update_flops", "response_tokens")}
    assert shares["update_flops"] == shares["response_tokens"] == 1
    responses = with_it.rollout.responses_per_prompt
    assert 1 < shares["sampling_flops"] < 1 + 1 / responses  # the prompt is read once
