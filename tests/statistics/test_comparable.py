"""What is pooled and compared: by resolved configurations and protocols, never by labels."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_runs import write_experiment

from unified_rl.base.errors import DataError
from unified_rl.cli import main
from unified_rl.grids.definition import cells
from unified_rl.grids.runner import load_grid
from unified_rl.presets import loading
from unified_rl.records.config_file import flat
from unified_rl.statistics.comparable import PLACES, decoding_words, is_seed, protocol, settings_apart
from unified_rl.statistics.experiment import read_experiment
from unified_rl.statistics.table_files import read_table

ROOT = Path(__file__).parents[2]
SIZE = {"problems": 12, "samples": 4, "steps": 16}


def resolved(*words):
    return flat(loading.as_dict(loading.load_config(list(words))))


BASE = resolved("method=grpo")


# ---- labels


@pytest.mark.parametrize(
    ("words", "label"),
    [
        (["method=grpo"], "GRPO+OS"),
        (["method=grpo", "trainer.steps=3"], "GRPO+OS"),
        (["method=grpo", "reward=exact", "reward.supervision=process"], "GRPO+OS, reward=exact, reward.supervision=process"),
        (["method=rft", "source=online_samples"], "RFT, source=online_samples"),
        (["method=grpo", "coefficient.kl_coef=0.1"], "GRPO+OS, coefficient.kl_coef=0.1"),
        (["method=grpo", "source=online_samples"], "GRPO+OS"),
        (["method=grpo", "losses.entropy_bonus=0.01"], "GRPO+OS, losses.entropy_bonus=0.01"),
        (["method=rft", "source=online_samples", "label=mine"], "mine"),
    ],
)
def test_a_label_says_what_differs_from_the_row(words, label):
    assert loading.load_config(words).label == label


# ---- pooling


@st.composite
def changed(draw):
    """A configuration with some settings otherwise, and their names."""
    names = draw(st.lists(st.sampled_from(sorted(BASE)), max_size=3, unique=True))
    return BASE | {name: draw(st.sampled_from(["other", 12345, None])) for name in names}


@given(changed(), changed())
@settings(max_examples=300, deadline=None)
def test_pooled_if_and_only_if_they_differ_in_seeds_alone(a, b):
    apart = {name for name in BASE if a[name] != b[name]}
    free = {
        name for name in apart if name in PLACES or name.split(".")[-1] in ("seed", "noise_seed") or name.startswith("plan.")
    }
    assert (not settings_apart(a, b)) == (apart == free)
    assert set(settings_apart(a, b)) == apart - free


def test_a_setting_that_only_one_has_is_a_difference_and_every_seed_is_known():
    assert settings_apart({}, {"losses.entropy_bonus": 0.01}) == {"losses.entropy_bonus": (None, 0.01)}
    assert {name for name in BASE if is_seed(name)} >= {
        "seed",
        "sft.seed",
        "reward.noise_seed",
        "reward_model.seed",
    }


@pytest.fixture
def experiment(tmp_path):
    return write_experiment(tmp_path / "exp", labels=("RFT", "GRPO+OS"), seeds=(0, 1), **SIZE)


def test_runs_of_other_settings_are_no_seeds_of_one_another(experiment, capsys):
    path = experiment / "grpo-1" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["trainer"]["learning_rate"] = 3e-5
    path.write_text(yaml.safe_dump(config))
    assert main(["tables", str(experiment)]) == 2
    message = capsys.readouterr().err
    assert "grpo-0" in message and "grpo-1" in message
    assert "trainer.learning_rate None against 3e-05" in message and "label=NAME" in message
    config["label"] = "GRPO, slow"
    path.write_text(yaml.safe_dump(config))
    assert {cell.label for cell in read_experiment([experiment])} >= {"GRPO+OS", "GRPO, slow"}


# ---- decoding and problems


def change_meta(path, **facts):
    path = path / "evaluations" / "final" / "meta.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


@pytest.mark.parametrize("run", ["grpo-1", "initial"])  # a seed of the same label; another label
@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"decoding": {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_new_tokens": 96}}, "decoding.temperature"),
        ({"decoding": {"temperature": 0.7, "top_p": 1.0, "top_k": 0, "max_new_tokens": 12}}, "decoding.max_new_tokens"),
        ({"task": "gsm8k"}, "task 'arithmetic' against 'gsm8k'|task 'gsm8k' against 'arithmetic'"),
    ],
)
def test_evaluations_that_were_made_differently_stand_in_no_common_table(experiment, run, facts, words):
    change_meta(experiment / run, **facts)
    with pytest.raises(DataError, match=words) as refused:
        read_experiment([experiment])
    assert "evaluation=NAME" in str(refused.value)


def test_templates_are_part_of_the_protocol(experiment):
    for path in experiment.iterdir():
        change_meta(path, task_settings={"template": "cot"})
    read_experiment([experiment])
    change_meta(experiment / "rft-0", task_settings={"template": "boxed"})
    with pytest.raises(DataError, match=r"task_settings.template"):
        read_experiment([experiment])


def test_the_same_ids_with_other_answers_are_other_problems(experiment, capsys):
    path = experiment / "grpo-0" / "evaluations" / "final" / "samples.parquet"
    rows = pd.read_parquet(path)
    rows["gold"] = "8"
    rows.to_parquet(path, index=False)
    assert main(["tables", str(experiment)]) == 2
    assert "different problems" in capsys.readouterr().err


def test_decoding_stands_in_every_table(experiment, capsys):
    assert main(["tables", str(experiment)]) == 0
    for name in ("results", "pass_maj", "coverage", "crossovers", "grid", "grid_contrasts"):
        table, facts = read_table(experiment / "tables" / f"{name}.csv")
        measured = table[table["metric"].isin(["greedy", "avg", "maj", "pass"])] if "metric" in table else table
        assert set(measured["decoding"]) == {"arithmetic, T=0.7, top_p=1, top_k=0, at most 96 tokens"} == {facts["decoding"]}, (
            name
        )


def test_greedy_evaluations_have_no_temperature():
    meta = {"task": "x", "decoding": {"temperature": 0.7, "top_p": 1.0, "max_new_tokens": 9}, "samples_per_problem": 0}
    assert decoding_words(protocol(meta)) == "x, at most 9 tokens"


# ---- equalities that the documentation claims


def test_equalities_of_the_documentation_hold_between_resolved_configurations():
    lines = re.findall(
        r"unified-rl train (method=.*?) \.\.\. *# = (\w+)$", (ROOT / "docs" / "paradigm.md").read_text(), re.MULTILINE
    )
    assert lines
    for words, method in lines:
        apart = settings_apart(resolved(*words.split()), resolved(f"method={method}"))
        assert set(apart) == {"method"}, (words, apart)


@pytest.mark.parametrize(
    ("name", "pair", "differs"),
    [
        ("online_vs_offline", ("Stored samples", "RFT"), {"method", "trainer.learning_rate"}),  # "RFT at Online RFT's rate"
        ("online_vs_offline", ("Online RFT, RFT's rate", "RFT"), {"method", "source.name"}),
        ("online_vs_offline", ("Online RFT", "Stored samples"), {"source.name"}),
        ("online_vs_offline", ("Online RFT", "Refreshed every 4"), {"source.name", "source.refresh_every"}),
        ("reward_ablation", ("GRPO+OS, learned, slow", "GRPO+OS, learned"), {"trainer.learning_rate"}),
    ],
)
def test_what_the_ablations_say_of_their_arms_is_so(name, pair, differs, monkeypatch):
    monkeypatch.chdir(ROOT)
    by_label = {cell.label: cell for cell in cells(load_grid(name)[0], "default")}
    assert set(settings_apart(*(resolved(*by_label[label].train) for label in pair))) == differs
