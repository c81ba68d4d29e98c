"""Real DeepSpeed on two ranks of this machine equals the single-process torch trainer, for every method and ZeRO stage."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("deepspeed", reason="needs the extra: make install-engines, then make test-engines")

import deepspeed_jobs as jobs
import torch
from launch import run_job
from maths.test_gradients import CASES

pytestmark = pytest.mark.timeout(900)  # seconds; programs start slowly where cores are shared

UPDATES = 3
STAGES = [{"zero_stage": stage} for stage in (1, 2, 3)]
#: On one method: no division at all, what waits in host memory, and layers that are run again in the backward pass.
VARIANTS = [
    {"zero_stage": 0},
    {"zero_stage": 2, "offload": "optimizer"},
    {"zero_stage": 3, "offload": "optimizer_and_parameters"},
    {"zero_stage": 2, "activation_checkpointing": "layers"},
    {"zero_stage": 3, "activation_checkpointing": "layers"},
    {"zero_stage": 3, "whole_below": 1000},
]
METHODS = [*CASES, jobs.VALUE, jobs.REWARD]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Every method at stages 1 to 3, and GRPO's variants, in one launch."""
    folder = tmp_path_factory.mktemp("ranks")
    return run_job(folder, 2, job="compare", methods=METHODS, settings=STAGES, updates=UPDATES, variants=VARIANTS)


@pytest.fixture(scope="module")
def torch_runs(tmp_path_factory):
    """Memory of what the torch trainer does for a method."""
    memory = {}

    def of(method):
        if method not in memory:
            memory[method] = jobs.torch_run(method, UPDATES, tmp_path_factory.mktemp("torch"))
        return memory[method]

    return of


def relative(found, expected):
    """The norm of the difference by that of the expected; of two that are nothing (a set of k with no gradient here) it is 0."""
    apart = (found - expected).norm()
    return (apart / expected.norm()).item() if apart else 0.0


def check(found, expected):
    assert relative(found["first"], expected["first"]) < 1e-5, "gradient of the first update, after clipping"
    assert relative(found["weights"], expected["weights"]) < 1e-5
    for name in ("norms", "losses", "rates"):
        assert found[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-6)
    for name, values in expected["outputs"].items():
        assert torch.allclose(found["outputs"][name], values, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("settings", STAGES, ids=json.dumps)
def test_every_method_and_stage(found, torch_runs, method, settings):
    check(found[method, json.dumps(settings)], torch_runs(method))


@pytest.mark.parametrize("settings", VARIANTS, ids=json.dumps)
def test_offload_and_activation_checkpointing_change_nothing(found, torch_runs, settings):
    check(found["grpo", json.dumps(settings)], torch_runs("grpo"))


def test_ranks_held_different_work_and_the_clip_bit(found, torch_runs):
    assert found["passes"][0] != found["passes"][1], "ranks with equal numbers of micro-batches test no padding"
    assert torch_runs("grpo")["norms"][0] > jobs.OPTIONS.max_grad_norm
