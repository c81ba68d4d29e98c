"""The ablations of pre-training: what they define, that their words mean what they say, and one from nothing to its tables."""

from __future__ import annotations

import pandas as pd
import pytest

from unified_rl.cli import main
from unified_rl.grids import pretraining
from unified_rl.grids.definition import cells
from unified_rl.grids.runner import load_grid
from unified_rl.stages.chain import stage
from unified_rl.stages.kinds.pretrain import config_of, runs_of

NAMES = ("one_or_two_stage", "code_or_general", "arxiv", "corpus_quality")


@pytest.mark.parametrize("name", NAMES)
def test_arms_read_equally_many_tokens_of_mathematics(name):
    """By the weights and budgets of their own configurations, to a step."""
    grid, text = load_grid(f"experiments/{name}.py")
    for part in ("Hypothesis", "Arms", "Settings:", "Seeds:", "Budget:", "Matching rule:", "What cannot be matched:"):
        assert part in text, f"the docstring has no {part!r}"
    assert f"Budget: {8 * len(grid.arms)} runs" in " ".join(text.split())
    assert len(grid.primary) == 1 and grid.primary[0].reason and "Primary contrast:" in text
    found = cells(grid, "default")
    assert len(found) == 8 * len(grid.arms), "no start policy, eight seeds"
    for cell in [cell for cell in found if cell.seed == 3]:
        *before, own = runs_of(cell.train)
        section = own.pretraining
        share = section.sources[0].weight / sum(one.weight for one in section.sources)
        assert section.sources[0].name == "mathematics" and section.sources[0].held_out
        assert share * section.tokens == pytest.approx(pretraining.MATHEMATICS, abs=section.step_tokens)
        assert (own.seed, own.model.seed) == (3, 3) and all(one.seed == 3 for one in before)
        for run in (*before, own):
            for one in run.pretraining.sources:
                weight = one.weight / sum(other.weight for other in run.pretraining.sources)
                holds = getattr(run.pretraining.world, one.name)
                assert weight * run.pretraining.tokens < holds, "no source is gone through twice"


def test_two_stages_are_the_same_tokens_as_one():
    grid, _ = load_grid("experiments/one_or_two_stage.py")
    total = {
        cell.label: sum(run.pretraining.tokens for run in runs_of(cell.train))
        for cell in cells(grid, "default")
        if cell.seed == 0
    }
    assert sorted(set(total.values())) == [pretraining.MATHEMATICS, pretraining.MATHEMATICS + pretraining.OTHER]
    constant = [cell for cell in cells(grid, "default") if "constant" in cell.label and cell.seed == 0]
    schedules = [run.trainer.schedule for cell in constant for run in runs_of(cell.train)]
    assert schedules == ["constant"] * 3


def test_the_declared_properties_are_swept():
    grid, _ = load_grid("experiments/code_or_general.py")
    seeds = [cell for cell in cells(grid, "default") if cell.seed == 0]
    worlds = {cell.label: config_of(cell.command, cell.train).pretraining.world for cell in seeds}
    swept = {(world.shows_values, world.paraphrases) for label, world in worlds.items() if label.startswith("code")}
    assert swept == {(0.5, 0.5), (0, 0), (1, 0), (0, 1)}


@pytest.mark.long
def test_a_grid_from_nothing_to_its_tables(tmp_path, capsys):
    words = ["preset=testing", f"out={tmp_path / 'grid'}", f"artifacts={tmp_path / 'artifacts'}", "seeds=1", "arms=*code*"]
    assert main(["grid", "arxiv", *words[:-1], "arms=*alone*,arxiv*"]) == 0
    found = pd.read_csv(tmp_path / "grid" / "tables" / "pretraining.csv", comment="#")
    assert set(found["label"]) == {"mathematics alone", "arXiv-like, then mathematics"}
    assert set(found["source_tokens"]) == {2048} and set(found["total_tokens"]) == {2048, 4096}
    differences = pd.read_csv(tmp_path / "grid" / "tables" / "pretraining_contrasts.csv", comment="#")
    assert set(differences["metric"]) >= {"left_at_half", "computing_loss"}
    capsys.readouterr()
    assert main(["grid", "arxiv", *words[:-1], "arms=*alone*,arxiv*", "--status"]) == 0
    assert "2 done" in capsys.readouterr().out


def chain_of(cell):
    """(stages that a run's start is made of, their settings) of a cell of `after_pretraining`."""
    config = config_of(cell.command, cell.train)
    return {name: stage(config, name) for name in ("first", "mathematics", "demonstrated")}


@pytest.mark.parametrize("preset", ["testing", pytest.param("default", marks=pytest.mark.long)])
def test_sft_and_rl_of_one_base_model_share_it_and_two_base_models_share_nothing(preset):
    grid, _ = load_grid("experiments/after_pretraining.py")
    mine = {cell.label: chain_of(cell) for cell in cells(grid, preset) if cell.seed == 0}
    keys = {label: {name: one.key() for name, one in chain.items()} for label, chain in mine.items()}
    assert keys["SFT"] == keys["GRPO+OS after code"] and keys["SFT after general text"] == keys["GRPO+OS after general text"]
    assert not set(keys["SFT"].values()) & set(keys["SFT after general text"].values())


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_base_models_go_through_sft_and_rl(tmp_path):
    words = ["preset=testing", f"out={tmp_path / 'grid'}", f"artifacts={tmp_path / 'artifacts'}"]
    assert main(["grid", "after_pretraining", *words]) == 0
    made = {kind: len(list((tmp_path / "artifacts" / kind).glob("*/metrics.jsonl"))) for kind in ("pretrain", "sft")}
    assert made == {"pretrain": 4, "sft": 2}
    found = pd.read_csv(tmp_path / "grid" / "tables" / "grid_contrasts.csv", comment="#")
    assert ("GRPO+OS after code", "GRPO+OS after general text") in set(zip(found["label"], found["baseline"], strict=True))
