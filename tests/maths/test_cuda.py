"""On a CUDA device, where there is one: the gradient of every coefficient is the CPU's, in float32."""

from __future__ import annotations

import pytest
import torch
from cases import CASES
from test_gradients import case, our_gradient, relative

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def on(device, batch):
    """The batch in float32 on a device; models are moved in place, so each device gets a batch of its own."""
    single = {"dtype": torch.float32, "device": device}

    def moved(name, value):
        return value.to(**single) if value.is_floating_point() else value.to(device)

    batch.policy.to(**single)
    batch.inputs = batch.inputs._each(moved)
    return batch


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_that_of_the_cpu(name):
    found = {}
    for device in ("cpu", "cuda"):
        batch, coefficient, aggregation, *_ = case(name, seed=5)
        found[device] = our_gradient(on(device, batch), coefficient, aggregation).double().cpu()
    assert relative(found["cuda"], found["cpu"]) < 1e-4
