"""`import unified_rl as ur`: one's own CSV and one's own reward, trained, read, evaluated, drawn, compared; and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny import WORDS

import unified_rl as ur
from unified_rl import api
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.cli import main
from unified_rl.presets import loading

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
KEPT = ("model", "sft", "rollout", "trainer", "generator", "evaluation.max", "evaluation.s", "logging", "threads")
SMALL = dict(word.split("=") for word in WORDS if word.startswith(KEPT)) | {"sft.demonstrations": 0, "sft.steps": 10}


def prefers_even(prompt, response, answer):
    return {"even": float(response.strip()[-1:] in set("02468")), "right": response.strip() == answer}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("python")
    (place / "qa.csv").write_text("question,answer\n" + "".join(f"What is {a} + 1?,{a + 1}\n" for a in range(9)))
    return place


@pytest.fixture(scope="module")
def run(folder):
    settings = {**SMALL, "artifacts": str(folder / "artifacts"), "steps": 3, "task.options.grading_workers": 1}
    return ur.train(folder / "mine", method="grpo", task="table", data=folder / "qa.csv", reward=prefers_even, **settings)


def test_importing_is_light():
    code = (
        "import sys, unified_rl as ur; assert ur.train and ur.load and ur.grid\n"
        "print([one for one in ('torch', 'transformers', 'pandas', 'matplotlib', 'scipy') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        ur.trian  # noqa: B018
    assert {"train", "compare"} <= set(dir(ur))


def test_five_lines(run):
    assert run.state == "complete" and run.config["reward"]["source"] == f"{__file__}:prefers_even"
    assert list(run.metrics["step"]) == [1, 2, 3]
    assert {"text", "reward", "coefficient"} <= set(run.samples)
    assert "Mean reward" in {axis.get_title() for axis in run.plot().axes}
    assert "grpo" in run.explain() and "complete" in repr(run)


def test_evaluation_and_comparison(run, capsys):
    found = run.evaluate(samples=4)
    (row,) = found.to_dict("records")
    assert row["pass_low"] <= row["pass"] <= row["pass_high"] and row["num_problems"] >= 1
    assert main(["evaluate", f"run={run.path}", "name=again", "samples=2"]) == 0
    assert "Pass@2" in capsys.readouterr().out
    compared = ur.compare([run])
    assert len(compared.metrics) == 3 and compared.settings.empty
    assert [one.path for one in ur.compare([str(run.path)]).runs] == [run.path]


def test_words_are_those_of_the_command_line(tmp_path):
    settings = {
        "method": "grpo",
        "steps": 5,
        "coefficient": {"kl_coef": 0.1},
        "data.slices": ["main"],
        "label": "a, 'b' {c}",
        "seed": 3,
    }
    made = loading.load_config(api.words(settings))
    assert (made.trainer.steps, made.coefficient.kl_coef, made.data.slices, made.seed) == (5, 0.1, ["main"], 3)
    assert made.label == "a, 'b' {c}"
    assert loading.load_config(["method=grpo", "steps=5", "data=qa.csv", "model=DIR"]).model.path == "DIR"
    for text in ("1e5", "true", "null", "x: y", "", "two words", "µ"):
        assert loading.load_config(api.words({"label": text})).label == text
    assert "data source" in ur.explain(method="rloo", steps=2)


def test_what_cannot_be_used_is_one_line(tmp_path, folder):
    with pytest.raises(ConfigError, match="did you mean"):
        ur.train(tmp_path / "run", metod="grpo")
    with pytest.raises(ConfigError, match=r"label is <lambda>\(\), and takes a value"):
        ur.explain(label=lambda: 1)
    with pytest.raises(ConfigError, match="seed is a set; give a number"):
        ur.explain(seed={1})
    with pytest.raises(DataError, match="is not a run"):
        ur.load(tmp_path)
    with pytest.raises(ConfigError, match=r"put it into a file and give reward='FILE\.py:NAME'"):
        ur.grid(method=["grpo", "rft"], reward=lambda response: 1.0)


def test_a_grid_of_two_factors_on_one_line(capsys, tmp_path):
    line = ["coefficient=grpo,rloo", "coefficient.kl_coef=0,0.04", "seeds=0..1", "--dry-run", f"out={tmp_path / 'grid'}"]
    assert main(["grid", *line]) == 0
    said = capsys.readouterr().out
    assert all(f"coefficient={name}, coefficient.kl_coef={kl}" in said for name in ("grpo", "rloo") for kl in ("0", "0.04"))
    assert "9 cells: 0 done" in said, "four arms of two seeds, and the start"
