"""The entropy bonus: its gradient flows through the whole distribution, not through the sampled tokens' log-probs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import textbook
import torch
from cases import c
from ragged import entropies, gradient, ragged_batch, token_logps
from tiny import words

from unified_rl import planning
from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.loop.surrogate import SurrogateLoss, aggregation_weights
from unified_rl.methods.losses import of_policy
from unified_rl.models.roles import policy_role
from unified_rl.packing.packed_rows import pack
from unified_rl.planning import explain
from unified_rl.presets.loading import load_config

WEIGHT = 0.3
BONUS = {"entropy_bonus": WEIGHT}


@pytest.mark.parametrize("micro_batch_tokens", [20, 10_000])
def test_the_gradient_is_that_of_the_objective_with_the_entropy_in_it(micro_batch_tokens):
    batch = ragged_batch(3)
    inputs = c.Grpo().prepare(replace(batch.inputs, step_ends_BT=None, step_rewards_BT=None))
    batch.inputs = inputs
    lengths = inputs.response_mask_BT.sum(1).tolist()
    old, ref = ([row[:n] for row, n in zip(x, lengths, strict=True)] for x in (inputs.old_logp_BT, inputs.ref_logp_BT))
    logp = [token_logps(batch.policy, sequence) for sequence in batch.sequences]
    bonus = sum(entropies(batch.policy, sequence).mean() for sequence in batch.sequences) / len(batch.sequences)
    (textbook.grpo(batch, logp, old, ref) + WEIGHT * bonus).backward()
    expected = gradient(batch.policy)

    batch.policy.zero_grad()
    loss = SurrogateLoss(c.Grpo(), inputs, aggregation_weights("sequence_mean", inputs, 1, "keep"), losses=of_policy(BONUS))
    role = policy_role(1.0, differentiated=frozenset({"entropy"}))
    for packed in pack(batch.sequences, row_tokens=40, micro_batch_tokens=micro_batch_tokens):
        outputs = {name: packed.scatter(v, max(lengths)) for name, v in role(batch.policy, packed).items()}
        loss(outputs, packed.members()).backward()
    assert torch.allclose(-gradient(batch.policy), expected, rtol=1e-9, atol=1e-12)
    metrics = loss.record.metrics()
    assert metrics["loss/entropy_bonus"] == pytest.approx(-metrics["entropy/mean"], rel=1e-12)


def test_a_run_with_the_bonus_keeps_more_entropy(tmp_path):
    found = {}
    for name, more in (("without", ()), ("with", ("losses.entropy_bonus=1",))):
        given = words("online_rft", tmp_path / name, tmp_path / "artifacts", "trainer.learning_rate=0.003", *more)
        assert main(["train", *given]) == 0
        found[name] = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
    assert found["with"][0]["entropy/mean"] == found["without"][0]["entropy/mean"], (
        "the first update is made of the same samples"
    )
    assert found["with"][0]["loss/entropy_bonus"] == pytest.approx(-found["with"][0]["entropy/mean"])
    assert found["with"][-1]["entropy/mean"] > found["without"][-1]["entropy/mean"]
    assert "loss/entropy_bonus" not in found["without"][0]


def test_it_is_explained_planned_and_refused_by_name():
    config = load_config(["method=grpo", "losses.entropy_bonus=0.02"])
    assert "+ 0.02 sum w -H(pi(.|q, o_<t))" in explain.render(explain.facts(config))

    def buffers(config):
        return next(part["bytes"] for part in planning.plan(config)["memory"]["parts"] if part["part"] == "log-prob buffers")

    assert buffers(config) > buffers(load_config(["method=grpo"]))
    with pytest.raises(ConfigError, match="did you mean 'entropy_bonus'"):
        load_config(["method=grpo", "losses.entropy_bonsu=0.02"])
    with pytest.raises(ConfigError, match=r"losses\.value is not known"):
        load_config(["method=ppo", "losses.value=0.02"])
