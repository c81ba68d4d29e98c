"""Cells run as real processes: a failing one does not stop the others, a finished one is not run again."""

from __future__ import annotations

import fcntl
from dataclasses import replace

from tiny import WORDS

from unified_rl.config import RewardConfig
from unified_rl.grids import reward_ablation
from unified_rl.grids.lr_sweep import RATES
from unified_rl.grids.lr_sweep import cells as sweep_cells
from unified_rl.grids.reproduce import METHODS, PRESETS, iterative_cells, method_cells, start_cell
from unified_rl.launch.cell_worker import work
from unified_rl.launch.cells import Cell, Standing, finished, standing
from unified_rl.launch.local import run_cells
from unified_rl.loading import load_config
from unified_rl.stages.iterate import check_iterate


def test_cells_fail_alone_and_finish_once(tmp_path, capsys):
    artifacts = f"artifacts={tmp_path / 'artifacts'}"
    good = Cell("good", ("method=grpo", *WORDS, "trainer.steps=1", artifacts), ("samples=2", "problems=2"))
    bad = Cell("bad", ("method=grpo", *WORDS, artifacts, "generator.top_k=5"), None)
    assert standing(good, tmp_path) == Standing("missing")
    assert run_cells([bad, good], tmp_path, workers=1, threads=1) == ["bad"]
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
    assert run_cells([good], tmp_path, workers=1, threads=1) == []
    assert "[1/1] good: done already" in capsys.readouterr().out
    assert (samples.stat().st_mtime_ns, (tmp_path / "logs" / "good.log").read_text()) == before


def test_every_preset_is_a_legal_grid_of_matched_cells():
    for preset in PRESETS.values():
        cells = method_cells(preset)
        assert len({cell.name for cell in cells}) == len(cells) == preset.seeds * len(preset.methods)
        configs = {cell.name: load_config(cell.train) for cell in [start_cell(preset), *cells]}
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
    for preset in PRESETS.values():
        for cell in iterative_cells(preset):
            check_iterate(load_config(cell.train))
            assert (cell.command, cell.group) == ("iterate", "iterative")  # tables of `runs` pool labels: not these


def test_the_reward_ablation_varies_nothing_but_the_reward():
    for name, preset in reward_ablation.PRESETS.items():
        cells = reward_ablation.cells(preset)
        assert len({cell.name for cell in cells}) == len(cells) == 7 * preset.seeds
        configs = [load_config(cell.train) for cell in cells]
        assert len({config.label for config in configs}) == 7
        assert {label for pair in reward_ablation.contrasts() for label in pair} == {
            "SFT",
            *(config.label for config in configs),
        }
        for supervision in ("outcome", "process"):
            arms = [config for config in configs if config.reward.supervision == supervision and config.seed == 0]
            arms = [config for config in arms if "slow" not in config.label]
            kept = [replace(config, label="", reward=RewardConfig(supervision=supervision)) for config in arms]
            assert all(config == kept[0] for config in kept), name


def test_the_sweep_gives_every_method_the_same_rates_on_a_seed_of_its_own():
    cells = sweep_cells(METHODS)
    configs = [load_config(cell.train) for cell in cells]
    for method in METHODS:
        assert {config.trainer.learning_rate for config in configs if config.method == method} == set(RATES)
    assert not {config.seed for config in configs} & set(range(PRESETS["full"].seeds))
    assert {config.logging.curve_split for config in configs} == {"validation"}
