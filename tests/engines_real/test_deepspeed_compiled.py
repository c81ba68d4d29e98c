"""The compiled pass under real DeepSpeed, up to the stage that keeps weights whole: the torch trainer's updates by the plain pass.

The program of a GPU's layers, traced for real and run without a code generator, since a CPU has none for block masks.
"""

from __future__ import annotations

import pytest

pytest.importorskip("deepspeed", reason="needs the extra: make install-engines, then make test-engines")

import deepspeed_jobs as jobs
import torch
from torch._dynamo.utils import counters

from unified_rl.models.compiled_layers import CompiledLayers
from unified_rl.models.roles import policy_role

pytestmark = pytest.mark.timeout(900)  # seconds; programs start slowly where cores are shared

UPDATES = 3


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return jobs.torch_run("grpo", UPDATES, tmp_path_factory.mktemp("torch"))


@pytest.mark.parametrize(
    "settings", [{"zero_stage": 1}, {"zero_stage": 2}, {"zero_stage": 2, "activation_checkpointing": "layers"}]
)
def test_updates_are_those_of_the_plain_pass(plain, settings):
    torch._dynamo.reset()  # programs of another test would serve
    problem = jobs.Problem("grpo")
    problem.role = policy_role(1.0, CompiledLayers(backend="aot_eager"))
    before = counters["stats"]["unique_graphs"]
    trainer = jobs.deepspeed_trainer(problem, **settings)
    reports = [problem.update(trainer) for _ in range(UPDATES)]
    assert counters["stats"]["unique_graphs"] > before, "nothing was compiled"
    weights = jobs.whole_parameters(trainer)
    assert ((weights - plain["weights"]).norm() / plain["weights"].norm()) < 1e-5
    assert [report.grad_norm for report in reports] == pytest.approx(plain["norms"], rel=1e-4)
    assert torch.allclose(trainer.outputs(problem.sequences)["logp"], plain["outputs"]["logp"], atol=1e-4)
