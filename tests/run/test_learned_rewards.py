"""The reward axis through real runs: learned, mixed and noisy rewards, and what is refused before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import words

from unified_rl.base.errors import CheckpointError, ConfigError
from unified_rl.planning import explain
from unified_rl.presets import loading
from unified_rl.stages.training import run_training

SMALL = (
    "reward_model.prompts=16",
    "reward_model.samples_per_prompt=4",
    "reward_model.completions=4",
    "reward_model.epochs=6",
    "reward_model.sequences_per_step=16",
    "reward_model.learning_rate=3e-3",
    "reward_model.warmup_steps=0",
)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


def train(artifacts: Path, folder: Path, method: str, *more: str) -> list[dict]:
    config = loading.load_config(words(method, folder, artifacts, *SMALL, *more))
    run_training(config)
    return [json.loads(line) for line in (folder / "metrics.jsonl").open()]


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("grpo", ("reward=model",)),
        ("grpo", ("reward=model", "reward_model.kind=process", "reward.reduction=product")),
        ("grpo", ("reward=model", "reward.output=logit")),
        ("grpo_ps", ("reward=model",)),
        ("grpo_ps", ("reward=model", "reward.form=min", "reward_model.labels=exact")),
        ("ppo", ("reward=model",)),
        ("ppo", ("reward=model", "reward.supervision=process")),
        ("online_rft", ("reward=model",)),
        ("dpo", ("reward=model",)),
        ("grpo", ("reward=mixture", "reward.rule_weight=0.3")),
        ("grpo", ("reward=model", "reward.members=2", "reward.pessimism=minus_std", "reward.pessimism_scale=0.5")),
        ("grpo", ("reward.false_positive=0.3", "reward.false_negative=0.1")),
        ("grpo_ps", ("reward.false_positive=0.3",)),
        ("rft", ("reward.false_negative=0.5",)),
        ("gdpo", ("reward.parts.judge={source: model, weight: 0.5}", "rollout.staleness=1", "importance=truncated")),
        ("grpo_ps", ("reward=several", "reward.parts.steps.source=exact", "reward.parts.answer={source: rule, weight: 0.3}")),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_every_way_to_be_rewarded_trains(method, more, artifacts, tmp_path):
    metrics = train(artifacts, tmp_path / "run", method, *more)
    assert len(metrics) == 4
    for entry in metrics:
        if "reward/mean" in entry:  # a step without pairs has none
            assert 0 <= entry["reward/accepted"] <= 1
            assert 0 <= entry["reward/correct"] <= 1


def test_outcome_and_process_supervision_are_one_switch_on_the_same_rollouts(artifacts, tmp_path):
    first = {}
    for supervision in ("outcome", "process"):
        folder = tmp_path / supervision
        train(artifacts, folder, "grpo", "reward=model", "reward_model.kind=process", f"reward.supervision={supervision}")
        entries = [json.loads(line) for line in (folder / "samples.jsonl").open()]
        first[supervision] = [(e["prompt_id"], e["seed"], e["tokens"]) for e in entries if e["step"] == 1]
        rewards = [e["reward"] for e in entries if e["step"] == 1]
        steps = [e["step_rewards"] for e in entries if e["step"] == 1]
        assert all((step is None) == (supervision == "outcome") for step in steps)
        if supervision == "process":
            assert all(reward == pytest.approx(min(step)) for reward, step in zip(rewards, steps, strict=True))
    assert first["outcome"] == first["process"]


def test_a_reward_model_is_made_once_and_recorded(artifacts, tmp_path):
    keys = set()
    for name in ("a", "b"):
        train(artifacts, tmp_path / name, "grpo_ps", "reward=model", "seed=3")
        keys.add(json.loads((tmp_path / name / "provenance.json").read_text())["inputs"]["reward_model"])
    (key,) = keys
    folder = artifacts / "reward_model" / key / "model"
    metrics = train(artifacts, tmp_path / "by_path", "grpo_ps", "reward=model", "seed=3", f"reward.model_path={folder}")
    assert metrics == [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").open()]


def test_noise_is_in_the_reward_and_not_in_the_record(artifacts, tmp_path):
    train(artifacts, tmp_path / "run", "grpo", "reward.false_positive=1.0", "reward.false_negative=1.0", "logging.samples=16")
    for line in (tmp_path / "run" / "samples.jsonl").open():
        entry = json.loads(line)
        assert entry["reward"] == float(entry["verdict"] != "correct")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("reward.form=min",), r"reward\.form=min means nothing to reward\.source=rule"),
        (("reward.rule_weight=0.9", "reward=model"), r"reward\.rule_weight.*mixture"),
        (("reward=model", "reward.false_positive=0.1"), r"reward\.false_positive.*rule or exact"),
        (("reward=model", "reward.correct=2"), r"reward\.correct"),
        (("reward=model", "reward.supervision=process", "reward_model.kind=outcome"), "outcome model"),
        (("reward=model", "reward.reduction=min"), r"reward\.reduction=min combines"),
        (("reward=model", "reward_model.kind=process", "reward.reduction=product", "reward.output=logit"), "product"),
        (("reward.false_positive=1.5",), r"reward\.false_positive=1\.5"),
        (("reward=rule", "reward.supervision=process"), r"reward\.source=model"),
        (("reward_model.labels=guess",), r"reward_model\.labels='guess'"),
        (("reward_model.kinds=process",), "did you mean reward_model.kind"),
        (("reward.noise_by=length", "reward.false_positive=0.1"), "set both or neither"),
        (("reward.noise_unit=problem",), "but none does"),
        (("reward.noise_centre=3",), r"reward\.noise_centre=3.* is read by nothing here"),
        (("reward.assumed_false_positive=0.1",), r"reward\.assumed_false_positive.*correction_rates"),
        (("reward.loophole=ends_in:7", "reward.correction=backward"), "accepted right or wrong"),
        (("reward.false_positive=0.6", "reward.false_negative=0.4", "reward.correction=backward"), "below 1"),
        (("reward=model", "reward.correction=backward"), r"reward\.correction=backward means nothing.*rule or exact"),
        (("method=online_rft", "reward.correction=backward"), r"method=online_rft coefficient\.by=reward"),
        (("method=dpo", "reward.correction=backward"), "which responses are accepted"),
        (("reward=format",), r"reward\.pattern=contains"),
        (("reward=majority", "reward.supervision=process"), r"reward\.source=majority judges the final answer only"),
        (("reward=model", "reward.pessimism=worst"), r"reward\.members to 2 or more"),
        (("reward=model", "reward.members=2", "reward.model_path=x"), "leave either out"),
        (("reward=model", "reward.members=2", "reward.pessimism_scale=2"), r"reward\.pessimism_scale.*set reward\.pessimism"),
        (("reward=several",), r"reward\.parts names none"),
        (("reward.parts.a.source=rule",), r"belongs to reward\.source=several"),
        (("reward=several", "reward.parts.a.source=several"), r"reward\.parts\.a\.source=several is no single reward"),
        (
            ("reward=several", "reward.parts.a.settings={corect: 2}"),
            r"reward\.parts\.a\.settings\.corect.*did you mean 'correct'",
        ),
        (("reward=several", "reward.parts.a.settings={form: min}"), r"reward\.parts\.a\.form=min means nothing"),
        (("reward=several", "reward.parts.a.settings={false_positive: 2}"), r"reward\.parts\.a\.settings\.false_positive=2"),
        (("reward=several", "reward.parts.a.wieght=2"), r"parts\.a\.wieght.*Did you mean.*weight"),
        (
            ("reward=several", "reward.parts.a.source=rule", "reward.supervision=process"),
            r"reward\.parts\.a\.source=rule judges",
        ),
        (("coefficient=gdpo",), r"normalises several rewards apart.*reward\.source=several"),
        (("method=gdpo", "coefficient.kl_coef=0.1", "coefficient.kl_in=reward"), r"set coefficient\.kl_in=loss"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_means_nothing_is_refused(more, says):
    with pytest.raises(ConfigError, match=says):
        loading.load_config(["method=grpo", *more])


def test_a_reward_model_that_does_not_fit_is_refused_before_the_run_begins(artifacts, tmp_path):
    def refused(*more: str) -> None:
        run_training(loading.load_config(words("grpo_ps", tmp_path / "new", artifacts, "reward=model", *more)))

    with pytest.raises(CheckpointError, match=r"reward_model\.json"):
        refused(f"reward.model_path={tmp_path}")
    train(artifacts, tmp_path / "orm", "grpo", "reward=model")
    key = json.loads((tmp_path / "orm" / "provenance.json").read_text())["inputs"]["reward_model"]
    with pytest.raises(ConfigError, match="outcome model"):
        refused(f"reward.model_path={artifacts / 'reward_model' / key / 'model'}")
    assert not (tmp_path / "new").exists()


def test_explain_says_how_a_model_becomes_a_reward():
    says = lambda *more: explain.facts(loading.load_config(["method=grpo", *more]))["axes"]["reward"]  # noqa: E731
    assert "r = sigma(s) at the response's end" in says("reward=model")
    assert "min over steps of sigma(s)" in says("reward=model", "reward_model.kind=process")
    assert "r_k = s of step k (sum form" in says("reward=model", "reward.supervision=process", "reward.output=logit")
    assert "min form, PURE" in says("reward=model", "reward.supervision=process", "reward.form=min")
    assert "0.3 rule + 0.7 r" in says("reward=mixture", "reward.rule_weight=0.3")
    assert "rates 0.2 (wrong as right) and 0 (right as wrong)" in says("reward.false_positive=0.2")
    corrected = ("reward.false_positive=0.2", "reward.correction=backward")
    assert "a baseline and a std over the group cancel it" in says(*corrected)
    assert "cancel it" not in says(
        *corrected, "coefficient=policy_gradient", "coefficient.baseline=none", "coefficient.std=none"
    )
    assert "cancel it" not in says(*corrected, "reward.noise_by=length", "reward.noise_slope=0.01")
