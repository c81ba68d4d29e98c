"""Truncated and masked importance sampling against losses written out token by token, in float64; and what refuses them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from ragged import gradient, ragged_batch, token_logps

from unified_rl import coefficients as c
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.config.axes import ImportanceConfig
from unified_rl.loop.surrogate import SurrogateLoss, aggregation_weights
from unified_rl.methods.importance import corrected
from unified_rl.models.roles import policy_role
from unified_rl.packing.layout import Layout
from unified_rl.presets.loading import load_config

OPTIONS = {
    "truncated token": ImportanceConfig("truncated", "token", cap=1.2, kl="inside"),
    "truncated sequence": ImportanceConfig("truncated", "sequence", cap=1.1, kl="inside"),
    "masked token": ImportanceConfig("masked", "token", cap=1.3, floor=0.8, kl="inside"),
    "masked sequence": ImportanceConfig("masked", "sequence", cap=1.5, floor=0.6, kl="inside"),
    "truncated geometric": ImportanceConfig("truncated", "geometric", cap=1.05, kl="inside"),
}


def batch_of_another_sampler(seed):
    """A ragged batch whose sampler's log-probs are the old policy's with noise, and anything at all on the padding."""
    batch = ragged_batch(seed)
    noise = 0.3 * torch.randn(
        batch.inputs.old_logp_BT.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    sampler = torch.where(batch.inputs.response_mask_BT, batch.inputs.old_logp_BT + noise, torch.nan)
    batch.inputs = replace(batch.inputs, behaviour_logp_BT=sampler, step_ends_BT=None, step_rewards_BT=None)
    return batch


def weights_by_hand(batch, options):
    """One list of plain numbers per response."""
    found = []
    for row, sequence in enumerate(batch.sequences):
        length = len(sequence.response_ids)
        old, sampler = batch.inputs.old_logp_BT[row, :length].tolist(), batch.inputs.behaviour_logp_BT[row, :length].tolist()
        ratios = [math.exp(a) / math.exp(b) for a, b in zip(old, sampler, strict=True)]
        if options.level == "sequence":
            ratios = [math.prod(ratios)] * length
        if options.level == "geometric":
            ratios = [math.prod(ratios) ** (1 / length)] * length
        if options.name == "truncated":
            found.append([min(ratio, options.cap) for ratio in ratios])
        else:
            found.append([ratio if options.floor <= ratio <= options.cap else 0.0 for ratio in ratios])
    return found


def rft_by_hand(batch, logp, weights):
    total = 0.0
    for row, lp in enumerate(logp):
        total = total + sum(w * lp[t] for t, w in enumerate(weights[row])) * batch.inputs.correct_B[row] / len(lp)
    return total / len(logp)


def grpo_by_hand(batch, logp, weights, eps=0.2, beta=0.04):
    total = 0.0
    rewards, groups = batch.inputs.rewards_B.tolist(), batch.inputs.group_B.tolist()
    for row, lp in enumerate(logp):
        group = torch.tensor([r for r, g in zip(rewards, groups, strict=True) if g == groups[row]], dtype=torch.float64)
        spread = group.std(correction=0)
        advantage = (rewards[row] - group.mean()) / spread if spread > 0 else torch.zeros(())
        for t, w in enumerate(weights[row]):
            rho = torch.exp(lp[t] - batch.inputs.old_logp_BT[row, t])
            gain = torch.minimum(rho * advantage, rho.clamp(1 - eps, 1 + eps) * advantage)
            log_ratio = batch.inputs.ref_logp_BT[row, t] - lp[t]
            total = total + w * (gain - beta * (torch.exp(log_ratio) - log_ratio - 1)) / len(lp)
    return total / len(logp)


def ours(batch, coefficient, row_tokens=40):
    inputs = coefficient.prepare(batch.inputs)
    loss = SurrogateLoss(coefficient, inputs, aggregation_weights("sequence_mean", inputs, 1, "keep"))
    batch.policy.zero_grad()
    width = inputs.response_mask_BT.shape[1]
    for packed in Layout(row_tokens, 2 * row_tokens).pack(batch.sequences, None, torch.device("cpu")):
        outputs = {name: packed.scatter(v, width) for name, v in policy_role(1.0)(batch.policy, packed).items()}
        loss(outputs, packed.members()).backward()
    return -gradient(batch.policy), loss.record.metrics()


def by_hand(batch, objective, weights):
    batch.policy.zero_grad()
    objective(batch, [token_logps(batch.policy, sequence) for sequence in batch.sequences], weights).backward()
    return gradient(batch.policy)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(("coefficient", "objective"), [(c.Rft(), rft_by_hand), (c.Grpo(), grpo_by_hand)], ids=["rft", "grpo"])
def test_equals_autograd_of_the_weighted_loss(coefficient, objective, options):
    batch = batch_of_another_sampler(seed=4)
    weights = weights_by_hand(batch, options)
    flat = [w for row in weights for w in row]
    found, metrics = ours(batch, corrected(coefficient, options))
    expected = by_hand(batch, objective, weights)
    assert (found - expected).norm() < 1e-9 * expected.norm()
    touched = [w == 0 if options.name == "masked" else w >= options.cap * (1 - 1e-12) for w in flat]
    assert 0 < sum(touched) < len(flat), "the limit bites on some tokens, not on all"
    assert metrics["importance/mean"] == pytest.approx(sum(flat) / len(flat), rel=1e-9)
    assert metrics["importance/limited"] == pytest.approx(sum(touched) / len(flat), rel=1e-9)
    split, _ = ours(batch, corrected(coefficient, options), row_tokens=1)
    assert (split - found).norm() < 1e-11 * found.norm()


def test_an_equal_sampler_changes_nothing():
    batch = batch_of_another_sampler(seed=1)
    batch.inputs = replace(batch.inputs, behaviour_logp_BT=batch.inputs.old_logp_BT)
    for options in OPTIONS.values():
        assert torch.equal(ours(batch, corrected(c.Grpo(), options))[0], ours(batch, c.Grpo())[0])
    assert corrected(c.Grpo(), ImportanceConfig()) == c.Grpo()


def test_with_one_update_the_old_policy_is_the_current_one():
    """Without old log-probs the factor is taken from the present ones, detached: no gradient flows through the weight."""
    batch = batch_of_another_sampler(seed=2)
    current = torch.nn.utils.rnn.pad_sequence(
        [token_logps(batch.policy, s).detach() for s in batch.sequences], batch_first=True
    )
    given = replace(batch.inputs, old_logp_BT=current)
    batch.inputs = replace(batch.inputs, old_logp_BT=None)
    without, _ = ours(batch, corrected(c.Grpo(), OPTIONS["truncated token"]))
    batch.inputs = given
    assert torch.allclose(without, ours(batch, corrected(c.Grpo(), OPTIONS["truncated token"]))[0], rtol=1e-9, atol=1e-14)


def test_an_absurd_ratio_stays_finite():
    batch = batch_of_another_sampler(seed=3)
    far = torch.where(torch.arange(batch.inputs.old_logp_BT.shape[1]) % 2 == 0, -1e6, 0.0).double()
    batch.inputs = replace(batch.inputs, behaviour_logp_BT=far.expand_as(batch.inputs.old_logp_BT))
    for options in OPTIONS.values():
        assert torch.isfinite(ours(batch, corrected(c.Rft(), options))[0]).all()


def test_mismatch_metrics_are_the_kl_of_the_sampler_to_the_trainer():
    batch = batch_of_another_sampler(seed=6)
    _, metrics = ours(batch, c.Rft())
    mask = batch.inputs.response_mask_BT
    current = torch.nn.utils.rnn.pad_sequence(
        [token_logps(batch.policy, s).detach() for s in batch.sequences], batch_first=True
    )
    log_ratio = (batch.inputs.behaviour_logp_BT - current)[mask]
    assert metrics["sampler/kl_k1"] == pytest.approx(log_ratio.mean().item())
    assert metrics["sampler/kl_k3"] == pytest.approx((torch.exp(-log_ratio) - 1 + log_ratio).mean().item())
    assert metrics["sampler/max_logp_difference"] == pytest.approx(log_ratio.abs().max().item())


def test_a_response_without_a_sampler_is_refused_at_run_time_too():
    batch = batch_of_another_sampler(seed=0)
    batch.inputs = replace(batch.inputs, behaviour_logp_BT=torch.full_like(batch.inputs.old_logp_BT, torch.nan))
    with pytest.raises(DataError, match="importance=none"):
        corrected(c.Grpo(), OPTIONS["masked token"]).prepare(batch.inputs)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("method=sft", "importance=truncated"), "no sampler whose log-probs"),
        (("method=dpo", "importance=masked"), "one loss per pair"),
        (("method=grpo", "importance.cap=3"), "means nothing to importance=none"),
        (("method=grpo", "importance=bypass", "importance.floor=0.1"), "belongs to importance=masked"),
        (("method=grpo", "importance=truncated", "importance.floor=2.5"), "must be below importance.cap"),
        (("method=grpo", "importance=rejected"), "rejects nothing by itself"),
        (("method=grpo", "importance=plain", "importance.reject_cap=3"), "means nothing to importance.reject=none"),
        (("method=grpo", "importance=plain", "importance.reject=k3", "importance.reject_floor=0.1"), "importance.reject=ratio"),
        (("method=grpo", "importance=plain", "importance.rejected=left_out"), "nothing rejects any"),
        (("method=rloo", "importance=bypass"), "has none"),
        (("method=grpo", "importance.kl=inside"), "means nothing to importance=none"),
        (("method=grpo", "importance=masked", "importance.floor=3"), "must be below importance.cap"),
        (("method=grpo", "importance=clipped"), "importance.name"),
    ],
)
def test_what_cannot_be_weighed_is_refused(words, says):
    with pytest.raises(ConfigError, match=says):
        load_config(words)


def test_every_other_coefficient_takes_it():
    for method in ("rft", "online_rft", "ppo", "grpo", "grpo_ps", "rloo", "dr_grpo", "dapo"):
        assert load_config([f"method={method}", "importance=truncated"]).importance.cap == 2.0
