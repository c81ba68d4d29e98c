"""Pre-training by real DeepSpeed on two ranks: what one torch process makes, killed or not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("deepspeed", reason="needs the extra: make install-engines, then make test-engines")

from launch import environment, torchrun
from tiny_mix import SMALL
from transformers import AutoModelForCausalLM

pytestmark = pytest.mark.timeout(900)
DIVIDED = ("trainer.name=deepspeed", "deepspeed.zero_stage=3", "deepspeed.whole_below=0")


def start(ranks: int, *words: str) -> subprocess.Popen:
    line = ["-m", "unified_rl.cli", "pretrain", *SMALL, *words]
    command = torchrun(ranks, *line) if ranks > 1 else [sys.executable, *line]
    return subprocess.Popen(
        command, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def finish(process: subprocess.Popen) -> None:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output[-5000:]


def entries(run_dir: Path) -> list[dict]:
    path = run_dir / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process with the torch trainer."""
    folder = tmp_path_factory.mktemp("alone")
    finish(start(1, f"run_dir={folder / 'run'}", f"artifacts={folder / 'artifacts'}"))
    return folder


def test_divided_by_two_ranks_and_killed_it_makes_what_one_process_makes(alone, tmp_path):
    """Every step's numbers by source, and the model; from a checkpoint on, after one rank has been killed."""
    run_dir = tmp_path / "run"
    words = (f"run_dir={run_dir}", f"artifacts={alone / 'artifacts'}", *DIVIDED, "resume=true")
    process, deadline = start(2, *words), time.monotonic() + 600
    while len(entries(run_dir)) < 5:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()  # the launcher; its ranks end with it
    process.communicate(timeout=120)
    finish(start(2, *words))
    ours, theirs = entries(run_dir), entries(alone / "run")
    assert [entry["step"] for entry in ours] == list(range(1, 13))
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(other, rel=1e-3, abs=1e-5)
    last = Path("checkpoints") / "step_000012" / "policy"
    models = [AutoModelForCausalLM.from_pretrained(folder / last) for folder in (run_dir, alone / "run")]
    for (name, mine), (_, other) in zip(models[0].named_parameters(), models[1].named_parameters(), strict=True):
        assert (mine - other).abs().max() < 1e-4, name
