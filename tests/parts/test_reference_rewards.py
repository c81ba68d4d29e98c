"""Rewards of the reference's stored samples beside each group: sampled once for all runs, judged once per prompt."""

from __future__ import annotations

import json
from math import e, exp

import numpy as np
import pytest
from tiny import words

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Decoding, Problem, Prompt, Response, Score
from unified_rl.cli import main
from unified_rl.loop.rollout import collate
from unified_rl.planning import explain
from unified_rl.presets import chain
from unified_rl.presets.loading import load_config
from unified_rl.sources import OfflineSamples, PromptPool, ReferenceRewards
from unified_rl.sources.ahead import AheadOfTraining


def response(token):
    decoding = Decoding(max_new_tokens=2)
    return Response(np.array([token, 0]), np.zeros(2, dtype=np.float32), "stop", 0, decoding, 0, str(token))


class FirstToken:
    """The reward is the first token; who was judged is noted."""

    def __init__(self):
        self.asked = []

    def score(self, prompts, responses):
        self.asked += [prompt.id for prompt in prompts]
        return [[Score(float(one.token_ids[0]), "correct", None, None) for one in group] for group in responses]


def test_each_prompt_has_the_rewards_of_its_own_samples_and_is_judged_once(tmp_path):
    prompts = [Prompt(Problem(f"p{i}", "q", "1"), (1, i + 2)) for i in range(5)]
    pool, reward = PromptPool(prompts, 0), FirstToken()
    own = OfflineSamples(pool, [[response(9)] * 2] * 5, FirstToken(), seed=0, prompts_per_step=3, responses_per_prompt=2)
    stored = [[response(10 * i + k) for k in range(4)] for i in range(5)]
    source = AheadOfTraining(ReferenceRewards(own, pool, stored, reward), prompts, 1)
    drawn = [source.draw(step, 0) for step in range(6)]
    assert sorted(reward.asked) == [f"p{i}" for i in range(5)]
    source.save(tmp_path / "source")
    again = AheadOfTraining(ReferenceRewards(own, pool, stored, reward), prompts, 1)
    again.load(tmp_path / "source")
    waited, kept = ([group.reference_rewards for group in one.draw(6, 0).groups] for one in (again, source))
    assert waited == kept, "what waits keeps them"
    for draw in drawn:
        for group in draw.groups:
            place = int(group.prompt.id[1:])
            assert group.reference_rewards == tuple(float(10 * place + k) for k in range(4))
            assert [one.score.reward for one in group.responses] == [9.0, 9.0]
    inputs = collate(drawn[0].groups, "cpu", process=False, pairs=False).inputs
    assert inputs.reference_rewards_BN.shape == (6, 4)
    assert inputs.rewards_B.tolist() == [9.0] * 6


def trained(folder, artifacts, *more):
    assert main(["train", *words("astar_po", folder, artifacts, "trainer.learning_rate=0.01", *more)]) == 0
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def made(artifacts):
    return {path.name for path in (artifacts / "offline_samples").iterdir() if not path.name.startswith(".")}


@pytest.mark.long
def test_the_value_of_a_prompt_is_that_of_samples_that_runs_share(tmp_path):
    artifacts = tmp_path / "artifacts"
    samples = trained(tmp_path / "run", artifacts, "logging.samples=16", "logging.samples_every=1")
    values = {}
    for sample in samples:
        (ahead,) = set(sample["coefficient"]["advantage"])  # 2 beta (r - V*), beta = 0.001
        value = sample["reward"] - ahead / 0.002
        values.setdefault(sample["prompt_id"], set()).add(round(value, 3))
        right = (exp(value / 0.5) - 1) / (e**2 - 1) * 8  # of 8 rewards that are 0 or 1, so many are 1
        assert right == pytest.approx(round(right), abs=0.02)
    assert all(len(one) == 1 for one in values.values()), "estimated once, before training"
    assert len(set.union(*values.values())) > 1
    (key,) = made(artifacts)
    trained(tmp_path / "again", artifacts, "seed=1", "coefficient.value_beta=0.2")
    assert made(artifacts) == {key}, "whatever the run's seed and V*'s beta"
    assert json.loads((tmp_path / "run" / "provenance.json").read_text())["inputs"]["offline_samples"] == key
    (policy,) = (tmp_path / "again" / "checkpoints").glob("step_*4/policy")
    trained(tmp_path / "other", artifacts, f"reference={policy}")
    assert len(made(artifacts)) == 2, "samples of the reference, whichever it is"


def test_its_samples_are_a_stage_of_the_chain_and_in_the_plan():
    config = load_config(["method=astar_po", "source.samples_per_prompt=16"])
    assert "offline_samples" in chain.read_by(config)
    assert "offline_samples" in explain.facts(config)["writes"]["shared artefacts"]
    work = chain.kind_of(config, "offline_samples").work(config)
    twice = load_config(["method=astar_po", "source.samples_per_prompt=32"])
    more = chain.kind_of(twice, "offline_samples").work(twice).sampled
    assert more > work.sampled > 0 and more == pytest.approx(2**chain.DISTINCT * work.sampled)
    other = load_config(["method=astar_po", "reference=DIR"])
    assert "offline_samples" not in chain.read_by(other), "of another reference than the chain's"


@pytest.mark.parametrize(
    ("given", "hints"),
    [
        (["method=grpo", "coefficient=astar_po"], ["reference rewards", "set source.wrappers=[reference_rewards]"]),
        (["method=sft", "source.wrappers=[reference_rewards]", "reward=rule"], ["the configured training prompts"]),
        (["method=dpo", "source.wrappers=[reference_rewards]"], ["source=online_samples", "leave reference_rewards out"]),
        (["method=astar_po", "reward=none"], ["reward"]),
        (["method=grpo", "source.samples_per_prompt=4"], ["samples_per_prompt"]),
        (["method=astar_po", "coefficient.beta=0"], ["coefficient.beta"]),
    ],
)
def test_a_source_that_cannot_give_them_is_refused(given, hints):
    with pytest.raises(ConfigError) as refused:
        load_config(given)
    for hint in hints:
        assert hint in str(refused.value)
