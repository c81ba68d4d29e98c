"""DeepSpeed and vLLM in one job on one and two ranks: pushed weights, gathered piece by piece, are the trainer's on every rank."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest
import vllm_tiny as tiny
from launch import environment, torchrun
from tiny import words

pytestmark = [
    tiny.needs_vllm,
    pytest.mark.timeout(600),  # seconds; programs start slowly where cores are shared
    pytest.mark.skipif(
        importlib.util.find_spec("deepspeed") is None, reason="needs the extra: make install-engines, then make test-engines"
    ),
]
JOB = Path(__file__).with_name("vllm_job.py")


@pytest.mark.parametrize("ranks", [1, 2])
def test_every_cycle_samples_from_the_trained_weights(tmp_path, ranks):
    done = subprocess.run(
        torchrun(ranks, str(JOB), str(tmp_path)), capture_output=True, text=True, env=environment(), timeout=580, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    for stage, found in json.loads((tmp_path / "found.json").read_text()).items():
        assert len(found["sampler"]) == 3
        assert max(found["sampler"]) < 1e-4, f"ZeRO-{stage}: sampled log-probs are the trainer's"
        assert max(found["probe"]) < 1e-4
        assert min(found["moved"]) > 0.01, "what an update changes is far larger"


def test_a_whole_run_on_two_ranks(tmp_path):
    """The command itself: SFT stage and GRPO at stage 3, every rank sampling its share with an engine of its own."""
    more = (
        "engine=deepspeed",
        "deepspeed.zero_stage=3",
        "deepspeed.whole_below=0",
        "generator=vllm",
        "vllm.cpu_cache_gib=0.05",
    )
    line = ["-m", "unified_rl.cli", "train", *words("grpo", tmp_path / "run", tmp_path / "artifacts", *more)]
    done = subprocess.run(torchrun(2, *line), capture_output=True, text=True, env=environment(), timeout=580, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    entries = [json.loads(text) for text in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4]
    assert max(entry["sampler/max_logp_difference"] for entry in entries) < 1e-4
    assert max(entry["sync/logp_difference"] for entry in entries) < 1e-4
    assert all(entry["sampler/staleness_max"] == 0 for entry in entries)


def test_rollouts_beside_the_training_of_two_ranks(tmp_path):
    more = ("engine=deepspeed", "generator=vllm", "vllm.placement=separate", "vllm.cpu_cache_gib=0.05")
    ahead = ("rollout.staleness=1", "importance=truncated")
    line = ["-m", "unified_rl.cli", "train", *words("grpo", tmp_path / "run", tmp_path / "artifacts", *more, *ahead)]
    done = subprocess.run(torchrun(2, *line), capture_output=True, text=True, env=environment(), timeout=580, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    entries = [json.loads(text) for text in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [entry["sampler/staleness_max"] for entry in entries] == [0, 1, 1, 1]
    assert max(entry["sync/logp_difference"] for entry in entries) < 1e-4
