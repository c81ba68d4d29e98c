"""Several ranks, really launched by torchrun, do what one does: every coefficient, every aggregation, and whole runs."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import environment, words

from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.training.ranks import join_ranks, shares

JOB = Path(__file__).with_name("ranks_job.py")


def torchrun(size: int, *arguments: str) -> subprocess.Popen:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)]
    command = [sys.executable, *launch, *arguments]
    return subprocess.Popen(command, env=with_tests(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def with_tests() -> dict[str, str]:
    """An environment in which a script can import what the tests share."""
    tests = Path(__file__).parents[1]
    return environment() | {"PYTHONPATH": os.pathsep.join(map(str, (tests.parent, tests, tests / "maths")))}


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=250)
    assert process.returncode == 0, output
    return output


@given(st.lists(st.integers(1, 50), max_size=20), st.integers(1, 5))
def test_shares_are_a_partition_and_nearly_even(costs, size):
    dealt = shares(costs, size)
    assert sorted(item for items in dealt for item in items) == list(range(len(costs)))
    loads = [sum(costs[item] for item in items) for items in dealt]
    assert max(loads) - min(loads) <= max(costs, default=0)


def test_a_job_without_a_launcher_is_one_rank(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_ranks().size == 1


def test_half_a_launch_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="launch with torchrun"):
        join_ranks()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one rank makes of the cases, own or all; each is made once."""
    memory = {}

    def of(which):
        if which not in memory:
            out = tmp_path_factory.mktemp("alone") / f"{which}.npz"
            with pytest.MonkeyPatch.context() as patch:
                patch.syspath_prepend(JOB.parent)
                patch.syspath_prepend(JOB.parents[1] / "maths")
                importlib.import_module("ranks_job").main(out, which)
            memory[which] = np.load(out)
        return memory[which]

    return of


@pytest.mark.timeout(900)  # seconds; four programs start slowly where cores are shared
@pytest.mark.parametrize(
    ("which", "size"),
    [
        pytest.param("own", 3, marks=pytest.mark.long),
        pytest.param("all", 2, marks=pytest.mark.nightly),
        pytest.param("all", 4, marks=pytest.mark.nightly),
    ],
)
def test_every_coefficient_and_aggregation_is_updated_alike(alone, which, size, tmp_path):
    finish(torchrun(size, str(JOB), str(tmp_path / "many.npz"), which))
    many, one = np.load(tmp_path / "many.npz"), alone(which)
    assert set(many) == set(one)
    for key in one:
        error = np.linalg.norm(many[key] - one[key]) / max(np.linalg.norm(one[key]), 1e-30)
        assert error < 1e-9, f"{key}: {error}"


LAST_LOOK = """
import atexit
import torch.distributed as dist

atexit.register(lambda: print("still joined" if dist.is_initialized() else "left"))
from unified_rl.training.ranks import join_ranks

join_ranks().barrier()
"""


def test_objects_of_every_size_are_gathered_in_order(tmp_path):
    """About the size that one exchange takes, a byte less and more, and some far larger, each rank another."""
    job = tmp_path / "gather_job.py"
    job.write_text(
        "from unified_rl.training.ranks import HEAD_BYTES, join_ranks\n"
        "ranks = join_ranks()\n"
        "for size in (0, HEAD_BYTES - 40, *range(HEAD_BYTES - 30, HEAD_BYTES + 2), 3 * HEAD_BYTES):\n"
        "    of_rank = lambda rank: (rank, bytes([rank + 1]) * (size if rank != 1 else size // 2))\n"
        "    assert ranks.gather(of_rank(ranks.rank)) == [of_rank(rank) for rank in range(ranks.size)], size\n"
    )
    finish(torchrun(3, str(job)))


def test_ranks_leave_before_the_interpreter_shuts_down(tmp_path):
    """A communication thread that outlives it aborts about one job in four of four ranks after its work is done."""
    script = tmp_path / "last_look.py"
    script.write_text(LAST_LOOK)
    output = finish(torchrun(2, str(script)))
    assert (output.count("left"), output.count("still joined")) == (2, 0)


def train(size: int, *arguments: str) -> subprocess.Popen:
    return torchrun(size, "-m", "unified_rl.cli", "train", *arguments)


def metrics(run_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


MORE = ("trainer.steps=5", "reward.source=exact", "reward.supervision=process", "rollout.minibatches=2")


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_ranks")
    finish(train(2, *words("ppo", folder / "run", folder / "artifacts", *MORE)))
    return folder / "run"


def test_a_run_of_two_ranks_begins_as_a_run_of_one(two_ranks, tmp_path):
    """SFT stage, sampling, value model, several updates per rollout. Later steps may draw another token where rounding differs."""
    assert main(["train", *words("ppo", tmp_path / "run", tmp_path / "artifacts", *MORE)]) == 0
    ours, theirs = metrics(two_ranks)[0], metrics(tmp_path / "run")[0]
    assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
    assert json.loads((two_ranks / "status.json").read_text())["state"] == "finished"


@pytest.mark.long
def test_a_killed_rank_ends_the_job_and_it_resumes_to_the_same_bytes(two_ranks, tmp_path):
    run_dir, artifacts = tmp_path / "run", two_ranks.parent / "artifacts"
    arguments = words("ppo", run_dir, artifacts, *MORE, "resume=true")
    process = train(2, *arguments)
    deadline = time.monotonic() + 120
    while not (run_dir / "metrics.jsonl").exists() or (run_dir / "metrics.jsonl").read_text().count("\n") < 3:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.002)
    os.kill(_ranks_of(process)[-1], signal.SIGKILL)
    process.communicate(timeout=60)  # the launcher ends the other rank within this time
    assert process.returncode != 0
    finish(train(2, *arguments))
    for name in ("metrics.jsonl", "curve.jsonl", "samples.jsonl"):
        assert (run_dir / name).read_bytes() == (two_ranks / name).read_bytes(), name


def _ranks_of(launcher: subprocess.Popen) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(launcher.pid)], capture_output=True, text=True, check=True)
    return sorted(int(word) for word in listed.stdout.split())


@pytest.mark.long
def test_iterative_rl_with_a_renewed_reward_model(tmp_path):
    settings = ("reward_model.prompts=4", "reward_model.samples_per_prompt=2", "reward_model.epochs=1")
    plan = ("iterate.iterations=1", "iterate.steps=2", "iterate.control_steps=1", "iterate.agreement_problems=4")
    run_dir = tmp_path / "run"
    command = ("-m", "unified_rl.cli", "iterate", *words("grpo", run_dir, tmp_path / "artifacts", "reward=model"))
    finish(torchrun(2, *command, *settings, *plan))
    assert json.loads((run_dir / "status.json").read_text())["state"] == "finished"
    assert [len(metrics(run_dir / f"iteration_{index}")) for index in range(2)] == [3, 3]


@pytest.mark.long
def test_what_the_first_rank_refuses_ends_all(two_ranks):
    process = train(2, *words("ppo", two_ranks, two_ranks.parent / "artifacts", *MORE))
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "already holds a run" in output
