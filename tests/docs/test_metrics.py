"""Every metric that a run logs is described, and none is described that no run logs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import words

from unified_rl.cli import main
from unified_rl.records import metric_names

#: What only runs with vLLM log; tests/engines_real holds those against the table.
WITH_VLLM = {"sync/logp_difference", "sync/max_logp_difference"}
UNIFORM = """
from dataclasses import dataclass
from unified_rl.coefficients import Coefficient, term


@dataclass
class Uniform(Coefficient):
    name: str = "uniform"
    needs = frozenset({"uniform_kl"})

    def terms(self, logp_BT, inputs):
        return {"likelihood": term(distance=inputs.uniform_kl_BT)}
"""
#: Method -> further words: together these runs log everything.
RUNS = {
    "grpo": ("rollout.minibatches=2", "importance=truncated", "losses.entropy_bonus=0.01", "reward.false_positive=0.5"),
    "grpo_ps": ("reward.false_negative=0.5", "reward.false_positive=0.5"),
    "ppo": ("losses.teacher_reverse_kl=0.1", "losses.teacher_forward_kl=0.1", "losses.teacher_jsd=0.1", "teacher={teacher}"),
    "otb": (),
    "dpo": (),
    "remax": ("logging.form=ends_in:7",),
    "vine_ppo": ("reward.completions=2",),
    "spo": ("data.prompts=4", "source.samples_per_prompt=2"),
    "sft": (),
    "online_rft": ("coefficient={folder}/uniform.py:Uniform",),
    "gdpo": ("reward.parts={{right: {{source: rule}}, form: {{source: format, settings: {{pattern: 'lines_under:3'}}}}}}",),
}

PRETRAINING = (
    *("mix=tiny", "model.hidden_size=32", "model.num_heads=2", "model.num_layers=1", "model.intermediate_size=48", "threads=1"),
    *(f"pretraining.world.{name}={size}" for name, size in {"mathematics": 4000, "code": 3000, "general": 3000}.items()),
    *("pretraining.world.arxiv=2000", "pretraining.world.held_out=12", "pretraining.context_tokens=128"),
    *("pretraining.rows_per_step=4", "pretraining.tokens=1024", "pretraining.held_out_every=1", "pretraining.keep_every=1"),
    "pretraining.warmup_steps=1",
)


def logged(run: Path, name: str = "metrics") -> set[str]:
    entries = [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]
    return {key for entry in entries for key in entry}


@pytest.mark.long
def test_what_runs_log_is_what_is_described(tmp_path):
    (tmp_path / "uniform.py").write_text(UNIFORM)
    assert main(["train", *words("online_rft", tmp_path / "teacher", tmp_path / "artifacts", "trainer.steps=1")]) == 0
    (teacher,) = (tmp_path / "teacher" / "checkpoints").glob("step_*/policy")
    keys, phases = set(), set()
    for method, more in RUNS.items():
        own = [word.format(teacher=teacher, folder=tmp_path) for word in more]
        assert main(["train", *words(method, tmp_path / method, tmp_path / "artifacts", "trainer.steps=2", *own)]) == 0
        keys |= logged(tmp_path / method)
        phases |= logged(tmp_path / method, "timings") - {"step"}
    assert main(["pretrain", *PRETRAINING, f"run_dir={tmp_path / 'base'}", f"artifacts={tmp_path / 'artifacts'}"]) == 0
    keys |= logged(tmp_path / "base")
    phases |= logged(tmp_path / "base", "timings") - {"step"}
    found = {key: metric_names.described(key) for key in keys}
    assert sorted(key for key, metric in found.items() if metric is None) == [], "describe it in records/metric_names.py"
    dead = {metric.name for metric in metric_names.every()} - {metric.name for metric in found.values()} - WITH_VLLM
    assert sorted(dead) == [], "no run logs it"
    assert phases == {metric.name for metric in metric_names.TIMINGS}


def test_a_key_is_the_metric_of_its_own_name_before_one_of_any():
    names = {
        "coef/total/mean": "coef/total/mean",
        "coef/kl/mean": "coef/TERM/mean",
        "reward/right/std": "reward/NAME/std",
        "loss/entropy_bonus": "loss/NAME",
        "value/loss": "ROLE/loss",
        "value/mean": None,
        "reward/no_such": None,
    }
    found = {key: metric_names.described(key) for key in names}
    assert {key: metric and metric.name for key, metric in found.items()} == names


def test_names_are_told_apart_and_nothing_is_left_blank():
    every = metric_names.every()
    assert len({metric.name for metric in every}) == len(every)
    assert all(metric.unit and metric.text and metric.when for metric in [*every, *metric_names.TIMINGS])
