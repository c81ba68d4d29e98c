"""Our rows as verl's advantage estimators and policy losses: gradients are our own on the same data, by verl's own averages.

What is registered with verl needs verl (a plain install of the package will do). Everything before it needs none.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from cases import LENGTH
from ragged import gradient, ragged_batch, token_logps

from unified_rl.adapters import verl as adapter
from unified_rl.base.errors import ConfigError
from unified_rl.loop.surrogate import aggregation_weights
from unified_rl.ops.terms import coefficient
from unified_rl.presets.loading import load_config

try:
    from verl.trainer.ppo import core_algos
except ImportError:
    core_algos = None
needs_verl = pytest.mark.skipif(core_algos is None, reason="verl is not installed: nothing to register a row with")

#: Rows of every aggregation that verl has, of tokens and of sequences, with and without groups.
ROWS = (
    "method=grpo coefficient.kl_coef=0",
    "method=dr_grpo",
    "method=gspo coefficient.clip_low=0.01 coefficient.clip_high=0.01",
    "method=cispo",
    "method=sapo",
    "method=gpg",
    "method=reinforce_pp coefficient.kl_coef=0",
    "method=raft_pp",
    "method=grpo coefficient.kl_coef=0 aggregation=batch_token_mean coefficient.off_policy_delta=0.01",
)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("method=ppo", "no ratio x gate x advantage"),
        ("method=online_rft", "no ratio x gate x advantage"),
        ("method=grpo", "set coefficient.kl_coef=0, and verl's actor.use_kl_loss"),
        ("method=otb", "needs squared_probs"),
        ("method=kl_cov coefficient.kl_coef=0", "over a whole batch|no ratio"),
        ("method=grpo_ps coefficient.kl_coef=0", "set outcome"),
        ("method=dapo", "set aggregation=sequence_mean or batch_token_mean or constant_length"),
        ("method=dr_grpo aggregation.truncated=drop", "leave them out of section aggregation"),
        ("method=dr_grpo importance=truncated", "leave `importance`"),
    ],
)
def test_rows_that_verl_cannot_follow_are_refused(words, says):
    with pytest.raises(ConfigError, match=says):
        adapter.check_row(load_config(words.split()))


@pytest.mark.skipif(core_algos is not None, reason="verl is installed")
def test_without_verl_the_remedy_is_named():
    with pytest.raises(ConfigError, match=r"needs verl .*; install verl"):
        adapter.register("method=dr_grpo", name="ours")


def plain_average(loss_mat, loss_mask, loss_agg_mode, **batch):
    """What verl's three averages are, by their names."""
    sums = (loss_mat * loss_mask).sum(1)
    if loss_agg_mode == "token-mean":
        return sums.sum() / loss_mask.sum()
    if loss_agg_mode == "seq-mean-token-mean":
        return (sums / loss_mask.sum(1)).mean()
    assert loss_agg_mode == "seq-mean-token-sum-norm"
    return sums.mean() / batch["loss_scale_factor"]


def expected_gradient(batch, config):
    """Our own, over the whole batch."""
    inputs = config.coefficient.prepare(replace(batch.inputs, step_rewards_BT=None, step_ends_BT=None))
    logp_BT = padded(batch)
    coef_BT = coefficient(config.coefficient.terms(logp_BT.detach(), inputs), inputs.response_mask_BT)
    weights_B = aggregation_weights(config.aggregation.name, inputs, LENGTH, "keep")
    batch.policy.zero_grad()
    torch.where(inputs.response_mask_BT, weights_B[:, None] * coef_BT * logp_BT, 0).sum().backward()
    return gradient(batch.policy)


def padded(batch):
    return torch.nn.utils.rnn.pad_sequence([token_logps(batch.policy, one) for one in batch.sequences], batch_first=True)


def rewards_at_the_end(batch, off):
    """verl's token_level_rewards: each response's at its last token, and what stands off the mask."""
    mask_BT = batch.inputs.response_mask_BT
    found = torch.where(mask_BT, 0, off).double()
    found[torch.arange(len(found)), mask_BT.sum(1) - 1] = batch.inputs.rewards_B.double()
    return found


def verl_gradient(batch, estimator, loss, mode, off=9.0):
    """As verl's trainer and actor call them."""
    mask_BT = batch.inputs.response_mask_BT
    names = [f"prompt {number}" for number in batch.inputs.group_B.tolist()]
    advantages, returns = estimator(
        token_level_rewards=rewards_at_the_end(batch, off), response_mask=mask_BT, config=None, index=names
    )
    assert advantages.shape == returns.shape == mask_BT.shape
    batch.policy.zero_grad()
    found, metrics = loss(
        old_log_prob=batch.inputs.old_logp_BT,
        log_prob=padded(batch),
        advantages=advantages,
        response_mask=mask_BT,
        loss_agg_mode=mode,
        config=SimpleNamespace(global_batch_info={"loss_scale_factor": LENGTH}),
        rollout_is_weights=None,
    )
    assert all(isinstance(value, float) for value in metrics.values())
    found.backward()
    return -gradient(batch.policy)


def relative(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def in_step(batch):
    """The batch with judgements that are its rewards', as verl knows no other."""
    batch.inputs = replace(batch.inputs, correct_B=(batch.inputs.rewards_B > 0).to(batch.inputs.rewards_B))
    return batch


@pytest.mark.parametrize("words", ROWS)
def test_estimator_and_loss_together_are_our_own_gradient(words):
    config, batch = load_config(words.split()), in_step(ragged_batch(0, drift=0.3))
    adapter.check_row(config)
    mode = adapter.AGGREGATIONS[config.aggregation.name]
    found = verl_gradient(batch, adapter.estimator(config), adapter.policy_loss(config, plain_average), mode)
    assert relative(found, expected_gradient(batch, config)) < 1e-9


def test_another_average_than_the_row_s_is_refused():
    config, batch = load_config(["method=dr_grpo"]), ragged_batch(0)
    with pytest.raises(ConfigError, match=r"set actor\.loss_agg_mode=seq-mean-token-sum-norm"):
        verl_gradient(batch, adapter.estimator(config), adapter.policy_loss(config, plain_average), "token-mean")


def test_weights_of_the_sampler_multiply_the_coefficient():
    config, batch = load_config(["method=gpg"]), ragged_batch(0)
    mask_BT, loss = batch.inputs.response_mask_BT, adapter.policy_loss(config, plain_average)
    given = (batch.inputs.old_logp_BT, padded(batch).detach().requires_grad_(), mask_BT.double(), mask_BT, "token-mean")
    plain, _ = loss(*given)
    halved, _ = loss(*given, rollout_is_weights=torch.full(mask_BT.shape, 0.5))
    assert halved.item() == pytest.approx(plain.item() / 2)


@needs_verl
@pytest.mark.parametrize("words", ROWS)
def test_registered_with_verl_the_gradient_is_our_own(words):
    config, batch = load_config(words.split()), in_step(ragged_batch(1, drift=0.3))
    adapter.register(*words.split(), name=words)
    mode = adapter.AGGREGATIONS[config.aggregation.name]
    found = verl_gradient(batch, core_algos.get_adv_estimator_fn(words), core_algos.get_policy_loss_fn(words), mode)
    assert relative(found, expected_gradient(batch, config)) < 1e-7  # verl adds 1e-8 to a response's length
    with pytest.raises(ConfigError, match="another name"):
        adapter.register(*words.split(), name=words)


@needs_verl
def test_verl_s_own_grpo_is_our_row_in_its_dialect():
    """Its estimator and its vanilla loss, against the row with its std, its epsilon and its dual clip."""
    from verl.workers.config import FSDPActorConfig

    words = "method=grpo coefficient.kl_coef=0 coefficient.std=sample coefficient.std_epsilon=1e-6 coefficient.dual_clip=3"
    config = adapter.register(*words.split(), "aggregation=batch_token_mean", name="dialect")
    batch = in_step(ragged_batch(2, drift=0.5))
    ours = verl_gradient(
        batch, core_algos.get_adv_estimator_fn("dialect"), core_algos.get_policy_loss_fn("dialect"), "token-mean"
    )
    actor = FSDPActorConfig(strategy="fsdp", rollout_n=4, ppo_micro_batch_size_per_gpu=1)
    vanilla = core_algos.get_policy_loss_fn("vanilla")

    def theirs(**given):
        loss, metrics = vanilla(**{**given, "config": actor})
        return loss, {name: float(value) for name, value in metrics.items()}

    found = verl_gradient(batch, core_algos.get_adv_estimator_fn("grpo"), theirs, "token-mean", off=0.0)
    assert relative(found, ours) < 1e-6
    assert config.aggregation.name == "batch_token_mean"
