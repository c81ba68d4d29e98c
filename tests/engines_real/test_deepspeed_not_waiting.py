"""DeepSpeed's update reads nothing from the device between its first and last micro-batch, by the torch trainer's own gate."""

from __future__ import annotations

import pytest

pytest.importorskip("deepspeed", reason="needs the extra: make install-engines, then make test-engines")

import deepspeed_jobs as jobs
from waiting import read_by

pytestmark = pytest.mark.timeout(900)  # seconds; programs start slowly where cores are shared


@pytest.mark.parametrize("stage", [1, 2])
def test_of_an_update(stage):
    problem = jobs.Problem("grpo")
    trainer = jobs.deepspeed_trainer(problem, zero_stage=stage)
    problem.update(trainer)  # what is set up once is not counted
    found, micro_batches = read_by(trainer, problem.sequences, problem._loss(), problem.unit)
    assert micro_batches > 2
    assert not found
