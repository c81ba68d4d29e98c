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
    "a judge that errs by answer": ("online_rft", "reward.false_positive=0.3", "reward.noise_unit=answer"),
    "errors along the length, corrected": (
        "reinforce",
        *("reward.false_positive=0.2", "reward.false_negative=0.1", "reward.correction=backward"),
        *("reward.noise_by=length", "reward.noise_slope=0.1", "reward.noise_centre=6"),
    ),
    "rates counted, forward": (
        "online_rft",
        *("reward.false_positive=0.2", "reward.false_negative=0.1", "coefficient.by=reward", "reward.correction=forward"),
        *("reward.correction_rates=estimated", "reward.audited=40", "reward_model.prompts=16"),
    ),
    "steps corrected": (
        "grpo_ps",
        *("reward.false_positive=0.2", "reward.correction=backward", "reward.correction_rates=given"),
        "reward.assumed_false_positive=0.2",
    ),
    "what steps gain": ("vine_ppo", "reward.completions=3"),
    "what steps gain, beside another": (
        "grpo_ps",
        "reward=several",
        "reward.parts={gains: {source: step_values, settings: {completions: 2}}, right: {source: rule, weight: 0.5}}",
    ),
    "nodes of a tree": ("tree_rl", "rollout.responses_per_prompt=6"),
    "a loophole": ("grpo", "reward.loophole=lines_under:2"),
    "a majority": ("grpo", "reward=majority"),
    "chance": ("grpo", "reward=random", "reward.random_rate=0.3"),
    "a form": ("grpo", "reward=format", "reward.pattern=ends_in:T"),
    "wrong answers": ("rloo", "reward=wrong"),
}
#: A run in the quick suite; the others are long.
QUICK = ("several", "rates counted, forward", "steps corrected", "what steps gain")


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


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in REWARDS])
def test_a_run_that_was_ended_goes_on_byte_for_byte(name, artifacts, tmp_path):
    train(name, tmp_path / "whole", artifacts)
    with pytest.raises(Ended):
        train(name, tmp_path / "ended", artifacts, end_after=3)
    train(name, tmp_path / "ended", artifacts, "resume=true")
    for file in RECORDS:
        assert (tmp_path / "ended" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


@pytest.mark.long
def test_every_reward_is_evaluated_and_in_the_tables(artifacts, tmp_path):
    for place, name in enumerate(REWARDS):
        folder = tmp_path / "runs" / f"run_{place}"
        train(name, folder, artifacts, f"label='{name}'")
        evaluate(folder, EvaluationConfig(problems=4, samples=2, max_new_tokens=16), "final")
    write_tables([tmp_path / "runs"], tmp_path / "tables")
    for table in ("results.csv", "dynamics.csv", "pass_maj.csv"):
        assert set(pd.read_csv(tmp_path / "tables" / table, comment="#")["label"]) >= set(REWARDS), table


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
