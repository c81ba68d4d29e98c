"""A run with a token budget ends with the step that reaches it; interrupted or not, its files are the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import words

from unified_rl.base.errors import ConfigError
from unified_rl.presets import loading
from unified_rl.stages.iterate import check_iterate
from unified_rl.stages.training import run_training

RECORDS = ("metrics.jsonl", "curve.jsonl", "samples.jsonl")


def train(line: list[str]) -> Path:
    run_training(loading.load_config(line))
    return Path(next(word for word in line if word.startswith("run_dir=")).partition("=")[2])


def totals(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def status(run: Path) -> dict:
    return json.loads((run / "status.json").read_text())


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    """Eight steps without a budget."""
    folder = tmp_path_factory.mktemp("budget")
    run = train(words("grpo", folder / "free", folder / "artifacts", "trainer.steps=8", "rollout.epochs=2"))
    assert status(run)["ended_by"] == "steps"
    return run


def line(free: Path, name: str, *more: str) -> list[str]:
    return words("grpo", free.parent / name, free.parent / "artifacts", "trainer.steps=8", "rollout.epochs=2", *more)


@pytest.mark.parametrize("counts", ["sampled", "trained"])
def test_the_step_that_reaches_the_budget_is_the_last(free, counts):
    before, reached = (totals(free)[step - 1][f"tokens/{counts}"] for step in (4, 5))
    budget = f"trainer.token_budget={before + 1}"
    run = train(line(free, counts, budget, f"trainer.budget_counts={counts}"))
    assert totals(run) == totals(free)[:5] and totals(run)[-1][f"tokens/{counts}"] == reached
    assert status(run) == {"state": "finished", "step": 5, "steps": 8, "error": None, "ended_by": "token_budget"}
    last = [json.loads(entry)["step"] for entry in (run / "curve.jsonl").read_text().splitlines()][-1]
    assert last == 5 and (run / "checkpoints" / "step_000005").is_dir(), "the last step has its curve point and checkpoint"

    taken_up = line(free, f"{counts}_again", budget, f"trainer.budget_counts={counts}")
    train([*taken_up, "trainer.steps=3"])  # as if it had been stopped there, off the checkpoints' beat
    again = train([*taken_up, "resume=true"])
    assert (again / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()
    assert status(again) == status(run)
    changed = (again / "metrics.jsonl").stat().st_mtime_ns, sorted(again.glob("checkpoints/*/*/model.safetensors"))
    (again / "status.json").write_text('{"state": "running", "step": 5, "steps": 8}')  # killed after its last checkpoint
    train([*taken_up, "resume=true"])
    assert status(again) == status(run) and len(totals(again)) == 5
    assert changed[1] == sorted(again.glob("checkpoints/*/*/model.safetensors"))


def test_a_budget_met_exactly_ends_the_run(free):
    run = train(line(free, "exact", f"trainer.token_budget={totals(free)[1]['tokens/sampled']}"))
    assert (status(run)["step"], status(run)["ended_by"]) == (2, "token_budget")


def test_steps_stay_the_upper_limit_and_the_status_says_which_ended_it(free):
    run = train(line(free, "rich", "trainer.token_budget=1000000000"))
    for name in RECORDS:
        assert (run / name).read_bytes() == (free / name).read_bytes()
    assert (status(run)["step"], status(run)["ended_by"]) == (8, "steps")


def test_what_needs_the_last_step_beforehand_is_refused():
    with pytest.raises(ConfigError, match=r"set trainer.schedule=constant, or trainer.token_budget=0"):
        loading.load_config(["method=grpo", "trainer.token_budget=100", "trainer.schedule=linear"])
    with pytest.raises(ConfigError, match=r"leave trainer.token_budget out"):
        check_iterate(loading.load_config(["method=grpo", "reward=model", "trainer.token_budget=100"]))
    for word in ("trainer.token_budget=-1", "trainer.budget_counts=seen"):
        with pytest.raises(ConfigError, match=word.partition("=")[0]):
            loading.load_config(["method=grpo", word])
