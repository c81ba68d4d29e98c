"""Whole runs with engine=deepspeed on two ranks: the same numbers as one torch process, and what happens when something breaks."""

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

from launch import environment, torchrun
from tiny import words
from transformers import AutoModelForCausalLM, AutoTokenizer

pytestmark = pytest.mark.timeout(900)  # seconds; programs start slowly where cores are shared

#: Seconds within which the launcher has ended every rank after one of them died.
NOTICE = 60
MORE = ("sft.steps=4", "trainer.steps=3", "logging.checkpoint_every=1", "logging.curve_every=0", "logging.samples=0")
DIVIDED = ("engine=deepspeed", "deepspeed.zero_stage=3", "deepspeed.whole_below=0")


def start(ranks: int, arguments: list[str], *before: str) -> subprocess.Popen:
    line = ["-m", "unified_rl.cli", "train", *arguments]
    command = torchrun(ranks, *line) if ranks > 1 else [sys.executable, *line]
    return subprocess.Popen(
        [*before, *command],
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(process: subprocess.Popen) -> None:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output[-5000:]


def metrics(run_dir: Path) -> list[dict]:
    path = run_dir / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def divided(tmp_path_factory):
    folder = tmp_path_factory.mktemp("divided")
    finish(start(2, words("ppo", folder / "run", folder / "artifacts", *MORE, *DIVIDED)))
    return folder


def test_the_same_numbers_as_one_torch_process(divided, tmp_path):
    """SFT stage, sampling from divided weights, policy and value model. Later steps may draw another token by rounding."""
    finish(start(1, words("ppo", tmp_path / "run", tmp_path / "artifacts", *MORE)))
    ours, theirs = metrics(divided / "run")[0], metrics(tmp_path / "run")[0]
    assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)


def test_the_checkpoint_is_a_plain_hugging_face_directory(divided):
    folder = divided / "run" / "checkpoints" / "step_000003" / "policy"
    model, found = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not found["missing_keys"]
    assert model.num_parameters() > 10_000
    AutoTokenizer.from_pretrained(folder)


def test_a_killed_rank_ends_all_and_the_run_goes_on_alone(divided, tmp_path):
    run_dir = tmp_path / "run"
    arguments = words("ppo", run_dir, divided / "artifacts", *MORE, *DIVIDED, "resume=true")
    process = start(2, arguments)
    deadline = time.monotonic() + 600
    while not metrics(run_dir):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True)
    os.kill(max(map(int, listed.stdout.split())), signal.SIGKILL)
    output, _ = process.communicate(timeout=NOTICE)
    assert process.returncode != 0
    assert "Signal 9 (SIGKILL)" in output, "the launcher names the rank that died"
    finish(start(1, arguments))
    assert [entry["step"] for entry in metrics(run_dir)] == [1, 2, 3]
    assert metrics(run_dir)[-1] == pytest.approx(metrics(divided / "run")[-1], rel=1e-2, abs=1e-3)


def test_a_full_disk_during_a_checkpoint_ends_all_ranks_and_the_run_resumes(divided, tmp_path):
    run_dir = tmp_path / "run"
    arguments = words("ppo", run_dir, divided / "artifacts", *MORE, *DIVIDED, "resume=true")
    process = start(2, arguments, "prlimit", f"--fsize={50_000}")  # no file may grow beyond this, as if the disk were full
    output, _ = process.communicate(timeout=600)
    assert process.returncode != 0
    assert "cannot write the trainer's state" in output, output[-5000:]
    assert "free space, then resume" in output
    finish(start(1, arguments))
    assert [entry["step"] for entry in metrics(run_dir)] == [1, 2, 3]
