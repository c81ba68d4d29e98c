"""Rewards through whole runs: ended at a step and resumed, the files are the same byte for byte; evaluated; in the tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tiny import words

from unified_rl.config.records import EvaluationConfig
from unified_rl.presets import loading
from unified_rl.stages.evaluate import evaluate
from unified_rl.stages.training import run_training
from unified_rl.statistics.tables import write_tables

RECORDS = ("metrics.jsonl", "curve.jsonl", "samples.jsonl", "checkpoints/step_000004/policy/model.safetensors")
#: Method and what is rewarded.
REWARDS = {
    "several": (
        "gdpo",
        "reward.parts={right: {source: rule}, steps: {source: rule, weight: -0.5, settings: {incorrect: 0.3}}}",
    ),
}


class Ended(Exception):
    """Someone ends the run."""


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


def train(name: str, folder: Path, artifacts: Path, *more: str, end_after: int = 0) -> None:
    method, *settings = REWARDS[name]

    def on_step(step, entry):
        if step == end_after:
            raise Ended

    run_training(loading.load_config(words(method, folder, artifacts, *settings, *more)), on_step)


@pytest.mark.parametrize("name", REWARDS)
def test_a_run_that_was_ended_goes_on_byte_for_byte(name, artifacts, tmp_path):
    train(name, tmp_path / "whole", artifacts)
    with pytest.raises(Ended):
        train(name, tmp_path / "ended", artifacts, end_after=3)
    train(name, tmp_path / "ended", artifacts, "resume=true")
    for file in RECORDS:
        assert (tmp_path / "ended" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


def test_each_of_several_rewards_is_in_the_tables(artifacts, tmp_path):
    folder = tmp_path / "runs" / "run"
    train("several", folder, artifacts)
    evaluate(folder, EvaluationConfig(problems=4, samples=2, max_new_tokens=16), "final")
    write_tables([tmp_path / "runs"], tmp_path / "tables")
    table = pd.read_csv(tmp_path / "tables" / "dynamics.csv", comment="#")
    assert {"reward_right", "reward_steps", "reward_overlong", "reward_right_sd"} <= set(table)
    pooled = table[table["seed"] == "all"]
    expected = pooled["reward_right"] - 0.5 * pooled["reward_steps"] + pooled["reward_overlong"]
    assert pooled["reward"].to_numpy() == pytest.approx(expected.to_numpy())
