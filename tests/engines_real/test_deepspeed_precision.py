"""An update smaller than bfloat16's resolution is not lost under DeepSpeed: float32 masters move as float32 weights would."""

from __future__ import annotations

import pytest

pytest.importorskip("deepspeed", reason="needs the extra: make install-engines, then make test-engines")

import deepspeed_jobs as jobs
import torch
from launch import run_job

from unified_rl.training.torch_trainer import TorchTrainer

pytestmark = pytest.mark.timeout(900)  # seconds; programs start slowly where cores are shared

SETTINGS = [{"zero_stage": stage} for stage in (1, 2, 3)]


@pytest.fixture(scope="module", params=[1, 2], ids=["one rank", "two ranks"])
def found(request, tmp_path_factory):
    return run_job(tmp_path_factory.mktemp("precision"), request.param, job="precision", settings=SETTINGS)


@pytest.fixture(scope="module")
def wanted():
    """How far the same updates move float32 weights that begin at the same, rounded numbers."""
    problem = jobs.in_bfloat16()
    problem.model.float()
    before = jobs.vector(problem.model.parameters())
    trainer = TorchTrainer(problem.model, problem.role, jobs.SMALL_STEPS, jobs.LAYOUT)
    for _ in range(jobs.SMALL_UPDATES):
        problem.update(trainer)
    return jobs.vector(problem.model.parameters()) - before


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_updates_below_the_resolution_add_up(settings, found, wanted):
    one = found[jobs.place(settings)]
    assert torch.nn.functional.cosine_similarity(one["moved"], wanted, dim=0) > 0.95
    assert one["moved"].norm() > 0.95 * wanted.norm()
    assert torch.equal(one["weights"], one["masters"].bfloat16().float()), "the model computes with the masters, rounded"
