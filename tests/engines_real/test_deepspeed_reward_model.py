"""The reward model's stage with engine=deepspeed on two ranks: the torch trainer's model, and a kill in the middle of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("deepspeed", reason="needs the extra: make install-engines, then make test-engines")

import torch
from launch import environment, torchrun
from safetensors.torch import load_file
from tiny import words

pytestmark = pytest.mark.timeout(900)  # seconds; programs start slowly where cores are shared

REWARD = (
    "reward=model",
    "reward_model.prompts=16",
    "reward_model.samples_per_prompt=4",
    "reward_model.sequences_per_step=8",
    "reward_model.epochs=4",
    "reward_model.checkpoint_every=4",
    "sft.steps=20",
    "trainer.steps=1",
    "logging.curve_every=0",
)
DIVIDED = ("engine=deepspeed", "deepspeed.zero_stage=3", "deepspeed.whole_below=0", "sft.trainer=torch")


def start(ranks: int, run_dir: Path, artifacts: Path, *more: str) -> subprocess.Popen:
    line = ["-m", "unified_rl.cli", "train", *words("grpo", run_dir, artifacts, *REWARD, *more)]
    command = torchrun(ranks, *line) if ranks > 1 else [sys.executable, *line]
    return subprocess.Popen(
        command, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def finish(process: subprocess.Popen) -> None:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output[-5000:]


def trained(artifacts: Path) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """Weights and log of the one reward model there."""
    (folder,) = (found.parent for found in (artifacts / "reward_model").glob("*/artifact.json"))
    weights = {}
    for name in ("model.safetensors", "reward_head.safetensors"):
        weights |= load_file(folder / "model" / name)
    return weights, [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_alike(ours: Path, theirs: Path) -> None:
    (weights, log), (expected, other_log) = trained(ours), trained(theirs)
    assert weights.keys() == expected.keys()
    ours_flat, theirs_flat = (torch.cat([value.ravel() for value in found.values()]) for found in (weights, expected))
    assert (ours_flat - theirs_flat).norm() / theirs_flat.norm() < 1e-4
    assert [line["step"] for line in log] == list(range(1, 33))
    assert [line["loss"] for line in log] == pytest.approx([line["loss"] for line in other_log], rel=1e-3)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    finish(start(1, folder / "run", folder / "artifacts"))
    return folder / "artifacts"


def test_killed_on_two_ranks_and_resumed_on_two_it_is_the_torch_trainers(alone, tmp_path):
    artifacts = tmp_path / "artifacts"
    process = start(2, tmp_path / "run", artifacts, *DIVIDED)
    deadline = time.monotonic() + 600
    while not list(artifacts.glob("reward_model/*.partial/checkpoints/step_*")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    ranks = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True)
    os.kill(max(map(int, ranks.stdout.split())), signal.SIGKILL)  # the launcher ends the other
    process.communicate(timeout=60)
    assert not list(artifacts.glob("reward_model/*/artifact.json")), "killed before the end"
    finish(start(2, tmp_path / "run", artifacts, *DIVIDED, "resume=true"))
    assert_alike(artifacts, alone)
