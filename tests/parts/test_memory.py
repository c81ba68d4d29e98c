"""State per prompt: the rewards of a prompt's earlier responses, as a coefficient reads them, and kept by checkpoints."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import words

from unified_rl.base.errors import CheckpointError
from unified_rl.base.types import Decoding, Group, Problem, Prompt, Response, Score, ScoredResponse
from unified_rl.cli import main
from unified_rl.loop.memory import PromptMemory
from unified_rl.methods import signals

TRACKED = """
from dataclasses import dataclass, replace
import torch
from unified_rl.coefficients import Coefficient, term
from unified_rl.methods.base import with_advantages


@dataclass
class Tracked(Coefficient):
    name: str = "tracked"
    needs = frozenset({"prompt_count", "prompt_mean", "prompt_std"})

    def prepare(self, inputs):  # r - the mean reward of the prompt's earlier responses; 0 for a prompt that is new
        known_B = inputs.prompt_count_B > 0
        assert torch.equal(known_B, ~inputs.prompt_mean_B.isnan()) and torch.equal(known_B, ~inputs.prompt_std_B.isnan())
        return with_advantages(inputs, torch.where(known_B, inputs.rewards_B - inputs.prompt_mean_B, 0))

    def terms(self, logp_BT, inputs):
        return {"advantage": term(advantage=inputs.advantages_BT)}
"""


def group(prompt, rewards):
    response = Response(np.array([1, 0]), np.zeros(2, dtype=np.float32), "stop", 0, Decoding(max_new_tokens=2), 0, "")
    scored = [ScoredResponse(response, Score(reward, "correct", "", "")) for reward in rewards]
    return Group(Prompt(Problem(prompt, "q", "1"), (1,)), tuple(scored))


ROLLOUTS = st.lists(
    st.lists(st.tuples(st.sampled_from("abc"), st.lists(st.floats(-4, 4, width=16), min_size=1, max_size=4)), max_size=4),
    min_size=1,
    max_size=5,
)


@given(ROLLOUTS)
def test_it_recalls_what_came_before_the_rollout(rollouts):
    memory, seen = PromptMemory(), {}
    for rollout in rollouts:
        groups = [group(prompt, rewards) for prompt, rewards in rollout]
        found = memory.recall(groups, "cpu")
        for index, prompt in enumerate(prompt for prompt, rewards in rollout for _ in rewards):
            before = np.array(seen.get(prompt, []))
            assert found["count"][index] == len(before)
            if not len(before):
                assert found["mean"][index].isnan() and found["std"][index].isnan()
                continue
            assert found["mean"][index].item() == pytest.approx(before.mean(), abs=1e-5)
            assert found["std"][index].item() == pytest.approx(before.std(), abs=1e-3)
        memory.note(groups, [], None)
        for prompt, rewards in rollout:
            seen.setdefault(prompt, []).extend(rewards)


def test_a_run_that_stopped_remembers(tmp_path):
    (tmp_path / "tracked.py").write_text(TRACKED)

    def trained(run, *more):
        given = ["data.prompts=6", f"coefficient={tmp_path / 'tracked.py'}:Tracked", "logging.checkpoint_every=1", *more]
        assert main(["train", *words("grpo", tmp_path / run, tmp_path / "artifacts", *given)]) == 0
        return [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]

    whole = trained("whole", "trainer.steps=4")
    trained("parts", "trainer.steps=2")
    assert trained("parts", "trainer.steps=4", "resume=true") == whole
    assert whole[0]["coef/advantage/mean"] == 0
    assert any(entry["coef/advantage/mean"] != 0 for entry in whole)


def test_what_is_damaged_is_named(tmp_path):
    memory = PromptMemory()
    memory.note([group("a", [1.0, 0.0])], [], None)
    memory.save(tmp_path)
    memory = PromptMemory()
    memory.load(tmp_path)
    loaded = memory.recall([group("a", [0.0])], "cpu")
    assert {name: value.item() for name, value in loaded.items()} == {"count": 2, "mean": 0.5, "std": 0.5}
    (tmp_path / "prompts.json").write_text('{"a": [1]}')
    with pytest.raises(CheckpointError, match=r"prompts.json does not hold.*restore the file"):
        PromptMemory().load(tmp_path)


def test_only_what_is_declared_is_remembered():
    assert not signals.per_prompt({"ref_logp", "groups"})
    assert [one.name for one in signals.per_prompt({"prompt_mean", "ref_logp"})] == ["prompt_mean"]
    assert torch.equal(PromptMemory().recall([], "cpu")["count"], torch.zeros(0))
