"""What a grid is expected to cost: every cell, start-up and shared stage once, by what finished cells took."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unified_rl.grids import costs
from unified_rl.grids.definition import PER_SEED, SHARED, Arm, Grid, Preset, cells, is_start
from unified_rl.grids.plan import render
from unified_rl.launch.cells import write_record
from unified_rl.presets.loading import load_config
from unified_rl.records.artifacts import ArtifactStore
from unified_rl.stages.chain import made_for

ARMS = (Arm("RFT", ("method=rft",)), Arm("DPO", ("method=dpo",)), Arm("GRPO+OS", ("method=grpo",)), Arm("PPO", ("method=ppo",)))


@pytest.fixture
def grid(tmp_path):
    size = Preset((0, 1), (f"artifacts={tmp_path / 'artifacts'}",), ("samples=8", "problems=100"))
    return Grid("priced", "Priced", ARMS, {"default": size}, starts=PER_SEED)


def of_label(found, grid, label):
    return next(found.of_cell(cell.name) for cell in cells(grid, "default") if cell.label == label)


def test_every_shared_stage_is_paid_for_once(grid, tmp_path):
    planned = cells(grid, "default")
    found = costs.expected(planned, tmp_path)
    names = [stage.name for stage in found.stages.values()]
    assert sorted(names) == sorted(["base", "sft", "offline_samples"] * 2), "per seed"
    whole = sum(found.of_cell(cell.name) for cell in planned)
    assert whole == pytest.approx(sum(found.cells.values()) + sum(map(found.of_stage, found.stages)))
    shared = costs.expected(cells(replace(grid, starts=SHARED), "default"), tmp_path)
    assert sum(map(shared.of_stage, shared.stages)) == pytest.approx(sum(map(found.of_stage, found.stages)) / 2)
    sft = next(found.of_stage(key) for key, stage in found.stages.items() if stage.name == "sft")
    assert sft > 20 * costs.STARTUP_SECONDS and of_label(found, grid, "SFT") > sft, "the start pays for its policy"


def test_what_costs_more_is_said_to(grid, tmp_path):
    found = costs.expected(cells(grid, "default"), tmp_path)
    rft, dpo, grpo, ppo = (found.cells[next(c.name for c in cells(grid, "default") if c.label == arm.label)] for arm in ARMS)
    assert costs.STARTUP_SECONDS < rft < grpo < ppo and dpo < grpo
    grpo_cell = next(cell for cell in cells(grid, "default") if cell.label == "GRPO+OS")
    by_size = [
        costs.of_cell(grpo_cell, load_config([*grpo_cell.train, *words]))
        for words in ([], ["model.hidden_size=192", "model.intermediate_size=512"], ["trainer.steps=96"])
    ]
    assert by_size[1] > 1.5 * by_size[0] and by_size[2] > 1.4 * by_size[0]
    more = replace(grpo_cell, evaluate=("samples=8", "problems=100", "coverage_problems=50", "coverage_samples=64"))
    extra = costs.of_cell(more, load_config(more.train)) - found.cells[grpo_cell.name]
    assert extra == pytest.approx(2 * 50 * (64**0.6 - 8**0.6) * 0.4 * 96 / costs.SAMPLED_PER_SECOND)


def test_the_learning_curve_is_priced_by_what_it_decodes(grid, tmp_path):
    start, *_, cell = cells(grid, "default")

    def tokens(cell, *words):
        config = load_config([*cell.train, "logging.curve_problems=200", *words])
        bare = load_config([*cell.train, "logging.curve_problems=0"])
        return (costs.of_cell(cell, config) - costs.of_cell(cell, bare)) * costs.SAMPLED_PER_SECOND

    one = 2 * 200 * 0.4 * 96
    assert tokens(cell, "logging.curve_every=8") == pytest.approx(7 * one)
    assert tokens(cell, "logging.curve_every=4", "logging.curve_samples=8") == pytest.approx(13 * one * 8**0.6)
    assert tokens(cell, "logging.curve_every=0") == pytest.approx(2 * one), "before the first step and after the last"
    assert tokens(cell, "logging.curve_every=32") == pytest.approx(3 * one), "the last step has a point in any case"
    assert tokens(start, "logging.curve_samples=8") == pytest.approx(one * 8**0.6), "a start is measured once"


def test_finished_cells_say_how_fast_this_machine_is(grid, tmp_path):
    planned = cells(grid, "default")
    before = costs.expected(planned, tmp_path)
    (tmp_path / "cells").mkdir()
    arms = [cell for cell in planned if not is_start(cell)][:3]
    for cell, slower in zip(arms, (2.0, 3.0, 40.0), strict=True):
        write_record(cell, tmp_path, state="done", seconds=slower * before.cells[cell.name], whole=True)
    write_record(arms[-1], tmp_path, state="done", seconds=1.0, whole=False)
    for cell in [cell for cell in planned if is_start(cell)]:
        write_record(cell, tmp_path, state="done", seconds=1e6, whole=True)
    after = costs.expected(planned, tmp_path)
    assert (after.factor, after.timed) == (pytest.approx(2.5), 2), "the median of whole runs, starts left out"
    assert after.of_cell(planned[-1].name) == pytest.approx(2.5 * before.of_cell(planned[-1].name))


def test_what_is_there_costs_nothing(grid, tmp_path):
    planned = cells(grid, "default")
    base = made_for(load_config(planned[0].train))[0]
    before = costs.expected(planned, tmp_path)
    sft = next(key for key, stage in before.stages.items() if stage.name == "sft")
    assert before.of_stage(sft) > 0 and not before.stages[base.key()].there
    base.build(ArtifactStore(tmp_path / "artifacts"))
    assert costs.expected(planned, tmp_path).stages[base.key()].there
    there = replace(before, stages=before.stages | {sft: replace(before.stages[sft], there=True)})
    assert there.of_stage(sft) == 0 and there.of_cell(planned[0].name) == before.cells[planned[0].name]


def test_the_dry_run_says_it_all(grid, tmp_path):
    said = render(grid, "default", cells(grid, "default"), tmp_path, cores=2)
    assert "of it shared stages" in said and "about 5 min, read by 5 cells" in said
    broken = cells(replace(grid, arms=(Arm("Wrong", ("method=grpo", "trainer.stepz=1")),)), "default")
    assert "unknown key 'trainer.stepz'" in costs.expected(broken, tmp_path).problems[broken[-1].name]
