"""Killed, or cut off from power, at every file operation, a command goes on to the same bytes as one that was left alone."""

from __future__ import annotations

from pathlib import Path

import power
import pytest
from tiny import words

from unified_rl.cli import main

COMMON = (
    "sft.steps=2",
    "sft.demonstrations=32",
    "logging.checkpoint_every=1",
    "logging.curve_every=1",
    "logging.keep_checkpoints=1",
)
GRPO = ("grpo", "train", ("trainer.steps=2", *COMMON))
PPO = ("ppo", "train", ("trainer.steps=2", "rollout.minibatches=2", *COMMON))
ITERATE = (
    "grpo",
    "iterate",
    (
        *("iterate.iterations=1", "iterate.steps=1", "iterate.control_steps=1", "iterate.agreement_problems=2"),
        *(
            "reward=model",
            "reward_model.prompts=8",
            "reward_model.samples_per_prompt=2",
            "trainer.schedule=constant",
            *COMMON,
        ),
    ),
)


def results(root: Path) -> dict[str, bytes]:
    """The bytes that must come out the same."""
    run = root / "run"
    kept = [path for name in ("metrics", "curve", "samples") for path in run.rglob(f"{name}.jsonl")]
    kept += [path for path in run.rglob("*") if path.suffix in (".safetensors", ".parquet")]
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(kept)}


def goes_on_from_every_state(tmp_path: Path, case: tuple, every: int) -> int:
    """How many states were gone on from. every: n takes each n-th of them."""
    method, command, more = case
    root = tmp_path / "root"
    root.mkdir()
    line = [command, *words(method, root / "run", root / "artifacts", *more, "resume=true")]
    with power.recording(root, tmp_path / "copies") as recorder:
        assert main(line) == 0
    wanted = results(root)
    assert any(name.endswith("metrics.jsonl") for name in wanted)
    states = recorder.copies[::every]
    for copy in states:
        power.put(copy, root)
        assert main(line) == 0, copy
        found = results(root)
        assert found.keys() == wanted.keys(), copy
        assert [name for name in wanted if found[name] != wanted[name]] == [], copy
    return len(states)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("case", [GRPO, PPO, ITERATE], ids=["grpo", "ppo", "iterate"])
def test_every_state(tmp_path, case):
    assert goes_on_from_every_state(tmp_path, case, every=1) > 50


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", [GRPO, PPO, ITERATE], ids=["grpo", "ppo", "iterate"])
def test_some_states(tmp_path, case):
    goes_on_from_every_state(tmp_path, case, every=20)
