"""Cells run as real processes: a failing one does not stop the others, a finished one is not run again."""

from __future__ import annotations

from tiny import WORDS

from experiments.cells import Cell, finished, run_cells
from experiments.lr_sweep import RATES
from experiments.lr_sweep import cells as sweep_cells
from experiments.reproduce import METHODS, PRESETS, method_cells, start_cell
from unified_rl.loading import load_config


def test_cells_fail_alone_and_finish_once(tmp_path, capsys):
    artifacts = f"artifacts={tmp_path / 'artifacts'}"
    good = Cell("good", ("method=grpo", *WORDS, "trainer.steps=1", artifacts), ("samples=2", "problems=2"))
    bad = Cell("bad", ("method=grpo", *WORDS, artifacts, "generator.top_k=5"), None)
    assert run_cells([bad, good], tmp_path, workers=1, threads=1) == ["bad"]
    assert "top_k" in capsys.readouterr().out
    assert finished(tmp_path / "runs" / "good", good)
    assert not finished(tmp_path / "runs" / "good", Cell("good", (*good.train, "seed=7"), None)), "another run under this name"
    samples = tmp_path / "runs" / "good" / "evaluations" / "test" / "samples.parquet"
    before = (samples.stat().st_mtime_ns, (tmp_path / "logs" / "good.log").read_text())
    assert run_cells([good], tmp_path, workers=1, threads=1) == []
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


def test_the_sweep_gives_every_method_the_same_rates_on_a_seed_of_its_own():
    cells = sweep_cells(METHODS)
    configs = [load_config(cell.train) for cell in cells]
    for method in METHODS:
        assert {config.trainer.learning_rate for config in configs if config.method == method} == set(RATES)
    assert not {config.seed for config in configs} & set(range(PRESETS["full"].seeds))
    assert {config.logging.curve_split for config in configs} == {"validation"}
