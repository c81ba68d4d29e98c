"""Weights, gradients and optimiser by the planner against DeepSpeed's own estimators: equal to the byte, up to named terms."""

from __future__ import annotations

import pytest

from unified_rl.planning import memory
from unified_rl.planning.memory import Sharding
from unified_rl.planning.plan import sharding_of
from unified_rl.planning.shapes import shape_of
from unified_rl.presets import loading

pytest.importorskip("deepspeed", reason="needs DeepSpeed: make test-engines")

from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs
from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs

STACKS = ("deepseekmath_7b", "deepseekmath_1_3b", "qwen2_5_0_5b")


def shape(stack):
    return shape_of(loading.load_config([f"stack={stack}", "method=grpo"]))[0]


def states(stack, sharding):
    found = shape(stack)
    return sum(part.bytes for part in memory.trained_model("policy", found.parameters, found, sharding))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize(("gpus", "nodes"), [(1, 1), (8, 1), (8, 4)])
def test_stage_2(stack, gpus, nodes):
    parameters, ranks = shape(stack).parameters, gpus * nodes
    _, theirs = estimate_zero2_model_states_mem_needs(parameters, gpus, nodes, cpu_offload=False)
    assert states(stack, Sharding(ranks, 2)) == pytest.approx(theirs, abs=2)
    # Ours adds gradients up in float32, two bytes more of each GPU's share.
    assert states(stack, Sharding(ranks, 2, gradient=4)) == pytest.approx(theirs + 2 * parameters / ranks, abs=2)


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize(("gpus", "nodes"), [(1, 1), (8, 1), (8, 4)])
def test_stage_3(stack, gpus, nodes):
    found, ranks = shape(stack), gpus * nodes
    largest = max(found.layer_parameters, found.head_parameters)
    _, theirs, gathered = estimate_zero3_model_states_mem_needs(found.parameters, largest, gpus, nodes, cpu_offload=False)
    ours = Sharding(ranks, 3)
    assert memory.gathered_bytes(found, ours) == gathered
    # Their count of stage 3 leaves the 16-bit gradients out.
    assert states(stack, ours) == pytest.approx(theirs + 2 * found.parameters / ranks, abs=2)


@pytest.mark.parametrize("stack", STACKS)
def test_offload(stack):
    parameters = shape(stack).parameters
    host, theirs = estimate_zero2_model_states_mem_needs(parameters, 1, 1, cpu_offload=True, additional_buffer_factor=1.0)
    ours = Sharding(1, 2, "optimizer")
    assert states(stack, ours) == theirs
    assert memory.host_bytes(parameters, ours) == host


def test_the_7b_stacks_own_plan():
    config = loading.load_config(["stack=deepseekmath_7b", "method=grpo"])
    found, sharding = shape("deepseekmath_7b"), sharding_of(config)
    _, theirs, _ = estimate_zero3_model_states_mem_needs(found.parameters, found.head_parameters, 8, 1, cpu_offload=False)
    ours = states("deepseekmath_7b", sharding)
    assert theirs < ours < 1.35 * theirs
