"""Losses on a device that is not the host: nothing is left on the host, nothing is asked of the device, nothing brought to it.

What `test_cuda.py` asks of a GPU, where there is none: the same code on a device that keeps its tensors apart from the host's. It
computes with the host's kernels, so gradients are the host's to the bit or nearly so.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch
from away import AWAY, Device
from cases import CASES, LENGTH
from ragged import ragged_batch
from test_gradients import relative

from unified_rl.coefficients import Grpo, Ppo
from unified_rl.config.axes import IMPORTANCES, REJECTIONS, ImportanceConfig
from unified_rl.loop.surrogate import CompanionLoss, SurrogateLoss, aggregation_weights
from unified_rl.methods.importance import corrected
from unified_rl.methods.losses import LOSSES
from unified_rl.methods.signals import per_micro_batch
from unified_rl.packing.packed_rows import pack
from unified_rl.pretraining.loss import RowLoss
from unified_rl.training.reward_loss import RewardLoss

WATCHED, LEVELS = frozenset({0, 5}), ("token", "sequence", "geometric")


@cache
def batch_of(seed, pairs=False):
    """A ragged batch whose sampler is a little off the policy."""
    batch = ragged_batch(seed, pairs=pairs)
    off = 0.2 * (torch.rand(batch.inputs.old_logp_BT.shape, generator=torch.Generator().manual_seed(1)) - 0.5)
    return replace(batch, inputs=replace(batch.inputs, behaviour_logp_BT=batch.inputs.old_logp_BT + off))


def without_steps(batch):
    return replace(batch, inputs=replace(batch.inputs, step_rewards_BT=None, step_ends_BT=None))


def numbers(inputs, names, differentiated):
    """What a pass might have said of each token, whole, on the host: log-probs near the old ones, the rest between 0 and 1."""
    shape, random = inputs.response_mask_BT.shape, torch.Generator().manual_seed(3)
    found = {name: torch.rand(shape, generator=random, dtype=torch.float64) for name in names}
    found["logp"] = inputs.old_logp_BT + 0.3 * (torch.rand(shape, generator=random, dtype=torch.float64) - 0.5)
    return {name: (value, name in differentiated) for name, value in found.items()}


def gradient(inputs, packs, outputs, loss, seen):
    """Of all micro-batches' differentiated outputs, as one vector on the host; and what of `seen` came while a loss was at work."""
    found, waited, device = [], [], inputs.group_B.device
    for packed in packs:
        here = packed.members()
        members = replace(here, **{name: getattr(here, name).to(device) for name in ("rows_b", "row_N", "token_N")})
        leaves = {name: value[here.rows_b].to(device).requires_grad_(free) for name, (value, free) in outputs.items()}
        before = len(seen)
        loss(leaves, members).backward()
        waited += seen[before:]
        found += [leaf.grad.cpu().flatten() for leaf in leaves.values() if leaf.grad is not None]
    return torch.cat(found), waited


def compared(batch, names, differentiated, loss_of, unit=None):
    """Relative difference of both devices' gradients, and what losses and their backward passes read or brought."""
    packs = pack(batch.sequences, row_tokens=20, micro_batch_tokens=20, unit_B=unit)
    outputs = numbers(batch.inputs, {"logp", *names}, differentiated)
    assert len(packs) > 1
    here, _ = gradient(batch.inputs, packs, outputs, loss_of(batch.inputs, outputs), [])
    with Device() as device:
        inputs = batch.inputs._each(lambda name, value: value.to(AWAY))
        there, waited = gradient(inputs, packs, outputs, loss_of(inputs, outputs), device.seen)
    return relative(there, here), waited


def surrogate(coefficient, aggregation, losses, inputs, outputs):
    inputs = coefficient.prepare(inputs)
    weights_B = None if coefficient.contains_weights else aggregation_weights(aggregation, inputs, LENGTH, "keep")
    loss = SurrogateLoss(coefficient, inputs, weights_B, WATCHED, losses)
    if coefficient.unit == "batch":
        loss.fix({name: value.to(inputs.group_B.device) for name, (value, _) in outputs.items()})
    return loss


def of_coefficient(coefficient, aggregation, process=False, pairs=False, losses=None):
    batch, losses = batch_of(5, pairs=pairs), losses or {}
    batch = batch if process else without_steps(batch)
    unit = batch.inputs.group_B.numpy() if coefficient.unit in ("pair", "group") else None
    free = {one.output for loss in losses for one in per_micro_batch(loss.differentiates)}
    names = {"entropy", *(one.output for one in per_micro_batch(coefficient.needs)), *free}
    return compared(batch, names, {"logp", *free}, partial(surrogate, coefficient, aggregation, losses), unit)


@pytest.mark.parametrize("name", CASES)
def test_every_coefficient(name):
    coefficient, aggregation, _, process, pairs = CASES[name]
    apart, waited = of_coefficient(coefficient, aggregation, process, pairs)
    assert apart < 1e-12
    assert not waited


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.role == "policy"])
def test_every_loss_beside_the_terms(name):
    apart, waited = of_coefficient(Grpo(), "sequence_mean", losses={LOSSES[name]: 0.7})
    assert apart < 1e-12
    assert not waited


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.role != "policy"])
def test_every_loss_of_a_role_beside_the_policy(name):
    def companion(inputs, outputs):
        prepared = Ppo().prepare(inputs)
        return CompanionLoss(LOSSES[name], prepared, aggregation_weights("sequence_mean", prepared, 1, "keep"))

    role = LOSSES[name].role
    apart, waited = compared(without_steps(batch_of(5)), {role}, {role}, companion)
    assert apart < 1e-12
    assert not waited


def test_the_reward_models_loss():
    batch = batch_of(5)

    def loss_of(inputs, outputs):
        ends = [np.array([max(len(one.response_ids) - 2, 0)]) for one in batch.sequences]
        return RewardLoss(ends, [np.array([at % 2]) for at in range(len(ends))], inputs.group_B.device)

    apart, waited = compared(batch, {"logit"}, {"logit"}, loss_of)
    assert apart < 1e-12
    assert not waited


def test_the_loss_of_pre_training():
    batch = batch_of(5)
    apart, waited = compared(
        batch, {"entropy"}, {"logp"}, lambda inputs, outputs: RowLoss(batch.sequences, inputs.group_B, sources=3)
    )
    assert apart < 1e-12
    assert not waited


CORRECTIONS = [
    *((name, level, "none") for name in IMPORTANCES if name not in ("none", "rejected") for level in LEVELS),
    *(("rejected", "token", reject) for reject in REJECTIONS if reject != "none"),
]


@pytest.mark.parametrize(("name", "level", "reject"), CORRECTIONS)
def test_every_importance_correction(name, level, reject):
    options = ImportanceConfig(name=name, level=level, reject=reject, normalised="none" if name == "bypass" else "batch")
    apart, waited = of_coefficient(corrected(Grpo(), options), "sequence_mean")
    assert apart < 1e-12
    assert not waited


def test_what_is_left_read_or_brought_is_found():
    """A loss that leaves something on the host fails on a GPU; one that reads or brings something makes it wait."""
    with pytest.raises(RuntimeError, match="two devices"):
        waited_for(lambda values: values * torch.ones(values.shape[-1]))
    for name, way in {
        "_local_scalar_dense": lambda values: values * values.detach().sum().item(),
        "nonzero": lambda values: values * len(values.detach().nonzero()),
        "index": lambda values: values[values.detach() < 0].sum() + 0 * values,
        "repeat_interleave": lambda values: values.repeat_interleave(torch.ones_like(values[:, 0]).long(), 0),
        "a copy between host and device": lambda values: values * torch.tensor([2.0]).to(values.device),
    }.items():
        assert name in waited_for(way)


def waited_for(way):
    """What a loss that is the sum of `way` of the log-probs reads and brings."""
    loss_of = lambda inputs, outputs: lambda leaves, members: way(leaves["logp"]).sum()  # noqa: E731
    return compared(batch_of(5), set(), {"logp"}, loss_of)[1]
