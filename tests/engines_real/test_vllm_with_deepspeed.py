"""DeepSpeed and vLLM in one job on one and two ranks: pushed weights, gathered piece by piece, are the trainer's on every rank."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest
import vllm_tiny as tiny
from launch import environment, torchrun

pytestmark = [
    tiny.needs_vllm,
    pytest.mark.skipif(
        importlib.util.find_spec("deepspeed") is None, reason="needs the extra: make install-engines, then make test-engines"
    ),
]
JOB = Path(__file__).with_name("vllm_job.py")


@pytest.mark.parametrize("ranks", [1, 2])
def test_every_cycle_samples_from_the_trained_weights(tmp_path, ranks):
    done = subprocess.run(
        torchrun(ranks, str(JOB), str(tmp_path)), capture_output=True, text=True, env=environment(), timeout=290, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    for stage, found in json.loads((tmp_path / "found.json").read_text()).items():
        assert len(found["sampler"]) == 3
        assert max(found["sampler"]) < 1e-4, f"ZeRO-{stage}: sampled log-probs are the trainer's"
        assert max(found["probe"]) < 1e-4
        assert min(found["moved"]) > 0.01, "what an update changes is far larger"
