"""Real training, really killed (SIGKILL) at several phases, ends with the same files byte for byte as training left alone."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from forked import Command
from tiny import words

from unified_rl.presets.loading import load_config
from unified_rl.stages.chain import stage

RECORDS = ("metrics.jsonl", "curve.jsonl", "samples.jsonl")


def start(arguments: list[str]) -> Command:
    return Command("train", *arguments)


def finish(arguments: list[str]) -> None:
    process = start(arguments)
    output = process.finish()
    assert process.returncode == 0, output


def kill_when(process: Command, condition, what: str) -> bool:
    """SIGKILL as soon as `condition()` holds; False if the process finished first."""
    deadline = time.monotonic() + 150
    while process.returncode is None:
        if condition():
            process.kill()
            return True
        assert time.monotonic() < deadline, f"never saw: {what}"
        time.sleep(0.0005)
    assert process.returncode == 0, process.printed()
    return False


def lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def same_results(run_dir: Path, reference: Path) -> None:
    for name in RECORDS:
        assert (run_dir / name).read_bytes() == (reference / name).read_bytes(), f"{name} differs"
    last = sorted(path.name for path in (reference / "checkpoints").iterdir())[-1]
    for file in ("policy/model.safetensors", "optimizer.safetensors", "value/model.safetensors", "value_optimizer.safetensors"):
        if (reference / "checkpoints" / last / file).exists():
            assert (run_dir / "checkpoints" / last / file).read_bytes() == (
                reference / "checkpoints" / last / file
            ).read_bytes(), file


PPO = ("rollout.epochs=2", "rollout.minibatches=2", "trainer.steps=5", "reward.source=exact", "reward.supervision=process")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(words("ppo", folder / "run", folder / "artifacts", *PPO))
    return folder / "run"


def test_killed_at_several_phases(undisturbed, tmp_path):
    """PPO with several minibatch updates: policy, value model and both optimisers have state to lose."""
    run_dir, artifacts = tmp_path / "run", tmp_path / "artifacts"
    arguments = words("ppo", run_dir, artifacts, *PPO, "resume=true")

    def sft_is_half_done():
        return any(lines(path) >= 10 for path in artifacts.glob("sft/*.partial/metrics.jsonl"))

    def writing_a_checkpoint():
        return bool(list((run_dir / "checkpoints").glob(".*.tmp")))

    phases = [
        ("the SFT stage half done", sft_is_half_done),
        ("a step after no checkpoint", lambda: lines(run_dir / "metrics.jsonl") >= 1),
        ("a checkpoint being written", writing_a_checkpoint),
        ("a step after a checkpoint", lambda: lines(run_dir / "metrics.jsonl") >= 3),
    ]
    killed = [what for what, condition in phases if kill_when(start(arguments), condition, what)]
    assert len(killed) >= 3, f"the run ended too early to be killed; killed at: {killed}"
    finish(arguments)
    same_results(run_dir, undisturbed)


ANNEAL = ("stages.anneal.kind=sft", "stages.anneal.inputs.policy=sft", "stages.anneal.settings.logging.checkpoint_every=5")
ANNEALED = (*ANNEAL, "stages.anneal.settings.trainer={steps: 30, learning_rate: 1e-4, schedule: linear}", "sft.steps=10")


@pytest.mark.long
def test_a_stage_more_is_killed_and_goes_on(tmp_path):
    """base -> sft -> anneal -> rl, by configuration alone: killed in the middle of annealing, and again in the run."""
    finish(words("grpo", tmp_path / "whole", tmp_path / "undisturbed", *ANNEALED))
    arguments = words("grpo", tmp_path / "run", tmp_path / "artifacts", *ANNEALED, "resume=true")
    key = stage(load_config(arguments), "anneal").key()
    partial, made = tmp_path / "artifacts" / "sft" / f"{key}.partial", tmp_path / "artifacts" / "sft" / key

    def annealing():
        return any(partial.glob("checkpoints/step_*")) and lines(partial / "metrics.jsonl") % 5 > 1

    assert kill_when(start(arguments), annealing, "annealing") and not made.exists()
    kept = next(partial.glob("checkpoints/step_*")).name
    kill_when(start(arguments), lambda: lines(tmp_path / "run" / "metrics.jsonl") >= 1, "the run")
    finish(arguments)
    same_results(tmp_path / "run", tmp_path / "whole")
    alone = tmp_path / "undisturbed" / "sft" / key
    assert kept != "step_000030"
    for file in ("metrics.jsonl", "checkpoints/step_000030/policy/model.safetensors"):
        assert (made / file).read_bytes() == (alone / file).read_bytes(), file
    assert '"from_step": ' + str(int(kept[5:])) in (made / "provenance.json").read_text(), "it went on from its checkpoint"


@pytest.mark.long
def test_a_finished_run_can_be_extended(undisturbed, tmp_path):
    run_dir, artifacts = tmp_path / "run", undisturbed.parent / "artifacts"
    finish(words("ppo", run_dir, artifacts, *PPO, "trainer.steps=3"))
    finish(words("ppo", run_dir, artifacts, *PPO, "trainer.steps=5", "resume=true"))
    for name in ("metrics.jsonl", "samples.jsonl"):
        mine, theirs = ((folder / name).read_text().splitlines() for folder in (run_dir, undisturbed))
        assert set(theirs) <= set(mine)  # the shorter run also logged its own last step's samples


@pytest.mark.long
@pytest.mark.timeout(900)  # minutes on a quiet machine, and no sooner stuck on a busy one
@pytest.mark.parametrize(
    ("method", "truncated"),
    [("grpo", "drop"), *(pytest.param(*one, marks=pytest.mark.nightly) for one in (("dpo", "keep"), ("dapo", "drop")))],
)
def test_killed_at_random_moments_many_times(method, truncated, tmp_path):
    """Ten kills at random delays after the first sign of life."""
    more = (f"aggregation.truncated={truncated}", "trainer.steps=40", "logging.checkpoint_every=3")
    finish(words(method, tmp_path / "reference", tmp_path / "artifacts", *more))
    arguments = words(method, tmp_path / "run", tmp_path / "artifacts", *more, "resume=true")
    rng = np.random.default_rng(0)
    for _ in range(10):
        process, before = start(arguments), lines(tmp_path / "run" / "timings.jsonl")
        delay = rng.uniform(0, 1.0)
        if kill_when(process, lambda: lines(tmp_path / "run" / "timings.jsonl") != before, "progress"):  # noqa: B023
            continue
        time.sleep(delay)
    finish(arguments)
    same_results(tmp_path / "run", tmp_path / "reference")
