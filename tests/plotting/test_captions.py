"""Every caption of a grid's figures states seeds, intervals, the matching rule and the commit."""

from __future__ import annotations

import json

import pytest
from synthetic_runs import made_by, write_experiment

from unified_rl.cli import main
from unified_rl.plotting import inputs, make
from unified_rl.statistics.tables import write_tables

RULE = "Matched by updates: 16 each."
FIGURES = ("learning_curves", "contrasts", "results_table")


def captions(root, figures=FIGURES):
    write_tables([root / "runs"], root / "tables")
    assert main(["tables", str(root / "runs"), "pair=GRPO+OS|RFT", f"out={root / 'tables'}"]) == 0
    _, errors = make.make(root / "tables", root / "figures", figures)
    assert errors == []
    return {name: " ".join((root / "figures" / f"{name}.md").read_text().split()) for name in figures}


@pytest.fixture
def grid(tmp_path):
    root = tmp_path / "toy"
    write_experiment(root / "runs", labels=("RFT", "GRPO+OS"), seeds=(3, 4), problems=12, samples=8, steps=16)
    for run in ("rft-3", "grpo-3"):
        session = {"from_step": 0, "code": "c0de", "git": {"commit": "0123456789abcdef"}, "packages": {}}
        made_by(root / "runs" / run, {**session, "inputs": {}, "sessions": [session]})
    return root


def test_with_a_matching_rule(grid):
    (grid / "grid.json").write_text(json.dumps({"matching": {"rule": "equal_updates", "caption": RULE}}))
    for name, caption in captions(grid).items():
        for words in ("seeds: 3 4", "95 % intervals over problems only", RULE, "code commit 0123456789ab", "of experiment toy"):
            assert words in caption, (name, words)


def test_without_one_it_says_so(grid):
    assert "Matching rule: not stated." in captions(grid, ("contrasts",))["contrasts"]


def test_a_rule_is_a_sentence(tmp_path):
    source = inputs.Input(None, tmp_path / "curves.csv", {"matching": "equal sampled tokens (2000 tokens)"})
    assert inputs.source_sentence(source).startswith("Matching rule: equal sampled tokens (2000 tokens). Source: curves.csv")


def test_the_figure_of_reward_models_is_one_of_all():
    assert make.FIGURES["reward_models"].INPUTS == ("reward_models.csv",)
