"""On a CUDA device, where there is one: the gradient of every coefficient and every loss is the CPU's, in float32.

Without one the same code is rehearsed on a device that is not the host (`away.py`), which finds what fails but for the arithmetic.
"""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from away import AWAY, Device
from cases import CASES, LENGTH
from ragged import gradient
from test_another_device import CORRECTIONS
from test_gradients import case, our_gradient, relative

from unified_rl.coefficients import Grpo
from unified_rl.config.axes import ImportanceConfig
from unified_rl.loop.surrogate import CompanionLoss, SurrogateLoss, aggregation_weights
from unified_rl.methods import COEFFICIENTS
from unified_rl.methods.importance import corrected
from unified_rl.methods.losses import LOSSES
from unified_rl.methods.signals import per_micro_batch
from unified_rl.models.policy_model import build_value_model
from unified_rl.models.roles import policy_role, value_role
from unified_rl.packing.packed_rows import pack

devices = pytest.mark.parametrize(
    "device",
    [
        pytest.param(
            torch.device("cuda"), id="cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
        ),
        pytest.param(AWAY, id="away", marks=pytest.mark.long),
    ],
)


def on(device, batch):
    """The batch in float32 on a device; models are moved in place, so each device gets a batch of its own."""
    single = {"dtype": torch.float32, "device": device}

    def moved(name, value):
        return value.to(**single) if value.is_floating_point() else value.to(device)

    for model in (batch.policy, batch.reference):
        model.to(**single)
    batch.inputs = batch.inputs._each(moved)
    return batch


def assert_alike(device, name, gradient_of):
    """gradient_of: (batch, coefficient, aggregation) of the case `name` -> a vector."""
    found = {}
    for place in (torch.device("cpu"), device):
        with Device() if place == AWAY else nullcontext():
            batch, coefficient, aggregation, *_ = case(name, seed=5)
            found[place] = gradient_of(on(place, batch), coefficient, aggregation).cpu().double()
    assert relative(found[device], found[torch.device("cpu")]) < 1e-4


def summed(model, role, sequences, loss, inputs):
    """The gradient of a role's loss over packed micro-batches."""
    model.zero_grad()
    for packed in pack(sequences, row_tokens=40, micro_batch_tokens=80):
        here = packed.to(inputs.group_B.device)
        outputs = {name: here.scatter(v, inputs.response_mask_BT.shape[1]) for name, v in role(model, here).items()}
        loss(outputs, here.members()).backward()
    return gradient(model)


def test_every_registered_coefficient_is_among_them():
    assert {type(coefficient) for coefficient, *_ in CASES.values()} >= set(COEFFICIENTS.values())


@devices
@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_that_of_the_cpu(name, device):
    assert_alike(device, name, our_gradient)


@devices
@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.role == "policy"])
def test_that_of_a_loss_beside_the_terms_is(name, device):
    def gradient_of(batch, coefficient, aggregation):
        inputs = coefficient.prepare(batch.inputs)
        free = frozenset(one.output for one in per_micro_batch(LOSSES[name].differentiates))
        role = policy_role(1.0, differentiated=free, teacher=batch.reference)
        weights_B = aggregation_weights(aggregation, inputs, LENGTH, "keep")
        loss = SurrogateLoss(coefficient, inputs, weights_B, losses={LOSSES[name]: 0.7})
        return summed(batch.policy, role, batch.sequences, loss, inputs)

    assert_alike(device, "grpo", gradient_of)


@devices
@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.role == "value"])
def test_that_of_the_value_model_is(name, device):
    def gradient_of(batch, coefficient, aggregation):
        inputs = coefficient.prepare(batch.inputs)
        loss = CompanionLoss(LOSSES[name], inputs, aggregation_weights(aggregation, inputs, LENGTH, "keep"))
        return summed(build_value_model(batch.policy), value_role(), batch.sequences, loss, inputs)

    assert_alike(device, "ppo", gradient_of)


@devices
@pytest.mark.parametrize(("name", "level", "reject"), CORRECTIONS)
def test_that_under_an_importance_correction_is(name, level, reject, device):
    options = ImportanceConfig(name=name, level=level, reject=reject)

    def gradient_of(batch, coefficient, aggregation):
        batch.inputs = batch.inputs.adding({"behaviour_logp_BT": batch.inputs.ref_logp_BT})
        return our_gradient(batch, corrected(Grpo(), options), aggregation)

    assert_alike(device, "grpo", gradient_of)
