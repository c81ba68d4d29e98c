"""Cells run as real processes: a failing one does not stop the others, a finished one is not run again."""

from __future__ import annotations

import fcntl
from dataclasses import replace

from tiny import WORDS

from unified_rl.config.rewards import RewardConfig
from unified_rl.grids.definition import cells, is_start
from unified_rl.grids.reproduce import FURTHER, GRID, PAPER
from unified_rl.grids.runner import load_grid
from unified_rl.launch.cell_worker import work
from unified_rl.launch.cells import Cell, Standing, finished, standing
from unified_rl.launch.local import LocalPool
from unified_rl.launch.resources import Ledger
from unified_rl.presets.loading import load_config
from unified_rl.stages.iterate import check_iterate


def test_cells_fail_alone_and_finish_once(tmp_path, capsys):
    artifacts = f"artifacts={tmp_path / 'artifacts'}"
    good = Cell("good", ("method=grpo", *WORDS, "trainer.steps=1", artifacts), ("samples=2", "problems=2"))
    bad = Cell("bad", ("method=grpo", *WORDS, artifacts, "generator.top_k=5"), None)
    assert standing(good, tmp_path) == Standing("missing")
    assert LocalPool(tmp_path, Ledger(1)).run([bad, good]) == ["bad"]
    printed = capsys.readouterr().out
    assert "[1/2] bad: FAILED: training on samples with" in printed and "top_k" in printed and "cells/min, about" in printed
    assert (standing(good, tmp_path).state, standing(bad, tmp_path).state) == ("done", "failed")
    assert "top_k" in standing(bad, tmp_path).detail
    assert finished(tmp_path / "runs" / "good", good)
    assert not finished(tmp_path / "runs" / "good", Cell("good", (*good.train, "seed=7"), None)), "another run under this name"
    samples = tmp_path / "runs" / "good" / "evaluations" / "test" / "samples.parquet"
    before = (samples.stat().st_mtime_ns, (tmp_path / "logs" / "good.log").read_text())
    with good.lock(tmp_path).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert standing(good, tmp_path).state == "running", "whoever holds the lock"
        assert work(good, tmp_path).state == "held"
    assert LocalPool(tmp_path, Ledger(1)).run([good]) == []
    assert "[1/1] good: done already" in capsys.readouterr().out
    assert (samples.stat().st_mtime_ns, (tmp_path / "logs" / "good.log").read_text()) == before


def test_every_preset_is_a_legal_grid_of_matched_cells():
    for name, preset in GRID.presets.items():
        found = [cell for cell in cells(GRID, name) if cell.command == "train"]
        methods = [arm for arm in GRID.arms_in(name) if arm.command == "train"]
        assert len({cell.name for cell in found}) == len(found) == 1 + len(preset.seeds) * len(methods)
        configs = {cell.name: load_config(cell.train) for cell in found}
        assert configs["sft_policy"].trainer.steps == 0
        ways = {
            (
                config.sft.steps,
                config.sft.seed,
                config.trainer.steps,
                config.rollout.prompts_per_step * config.rollout.responses_per_prompt,
            )
            for name, config in configs.items()
            if name != "sft_policy"
        }
        assert len(ways) == 1, "same SFT policy, same number of updates, same number of responses per update"


def test_iterative_cells_are_legal_and_stand_apart():
    for name in GRID.presets:
        iterated = [cell for cell in cells(GRID, name) if cell.command == "iterate"]
        assert [cell.name for cell in iterated] == [f"seed{seed}" for seed in GRID.preset(name).seeds]
        for cell in iterated:
            check_iterate(load_config(cell.train))
            assert cell.group == "iterative"  # tables of `runs` pool labels: not these


def test_the_reward_ablation_varies_nothing_but_the_reward():
    grid, _ = load_grid("reward_ablation")
    for preset in grid.presets:
        found = [cell for cell in cells(grid, preset) if not is_start(cell)]
        assert len({cell.name for cell in found}) == len(found) == 7 * len(grid.preset(preset).seeds)
        configs = [load_config(cell.train) for cell in found]
        assert len({config.label for config in configs}) == 7
        assert {label for pair in grid.contrasts for label in pair} == {"SFT", *(config.label for config in configs)}
        for supervision in ("outcome", "process"):
            arms = [config for config in configs if config.reward.supervision == supervision and config.seed == 0]
            arms = [config for config in arms if "slow" not in config.label]
            kept = [replace(config, label="", reward=RewardConfig(supervision=supervision)) for config in arms]
            assert all(config == kept[0] for config in kept), preset


def test_the_sweep_gives_every_method_the_same_rates_on_a_seed_of_its_own():
    grid, _ = load_grid("lr_sweep")
    configs = [load_config(cell.train) for cell in cells(grid, "default") if not is_start(cell)]
    swept = (*PAPER, *FURTHER)
    rates = {method: {config.trainer.learning_rate for config in configs if config.method == method} for method in swept}
    assert len(set(map(frozenset, rates.values()))) == 1 and len(rates["sft"]) == 4
    assert not {config.seed for config in configs} & set(GRID.preset("full").seeds)
    assert {config.logging.curve_split for config in configs} == {"validation"}
