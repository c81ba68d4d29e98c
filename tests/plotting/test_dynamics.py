"""dynamics.csv and its figure: numbers by hand, what is missing made visible."""

from __future__ import annotations

import pandas as pd
import pytest
from synthetic_runs import write_evaluation, write_lines, write_run

from unified_rl.base.errors import DataError
from unified_rl.plotting import dynamics
from unified_rl.statistics import dynamics as analysis
from unified_rl.statistics.experiment import read_experiment
from unified_rl.statistics.tables import write_tables


def run_with(path, label, method, seed, rows, **options):
    write_run(path, label, method, seed, 1.0, problems=4, samples=2, steps=8, **options)
    write_lines(path / "metrics.jsonl", [{"step": step, **row} for step, row in enumerate(rows, 1)])


@pytest.fixture
def experiment(tmp_path):
    facts = {"method": "sft_policy", "label": "SFT", "seed": 0, "step": 0}
    write_evaluation(tmp_path / "exp" / "initial", facts, 0.0, 4, 2)
    for seed, reward in ((0, 0.2), (1, 0.6)):
        rows = [{"reward/mean": reward, "kl/k3": 0.01 * step, "response/length": 30.0} for step in range(3)]
        run_with(tmp_path / "exp" / f"grpo-{seed}", "GRPO+OS", "grpo", seed, rows)
    run_with(tmp_path / "exp" / "rft-0", "RFT", "rft", 0, [{"reward/mean": 0.5, "ratio/clip_fraction": 0.0}])
    run_with(tmp_path / "exp" / "rft-1", "RFT", "rft", 1, [], state="failed", done=0)
    return tmp_path / "exp"


def test_means_and_spread_over_seeds(experiment):
    table = analysis.dynamics(read_experiment([experiment]))
    pooled = table[(table["label"] == "GRPO+OS") & (table["seed"] == "all")]
    assert list(pooled["step"]) == [1, 2, 3]
    assert list(pooled["reward"]) == pytest.approx([0.4] * 3)
    assert list(pooled["reward_sd"]) == pytest.approx([0.4 / 2**0.5] * 3), "n - 1 of two seeds"
    assert list(pooled["kl"]) == pytest.approx([0, 0.01, 0.02]) and list(pooled["num_seeds"]) == [2] * 3
    assert pooled["entropy"].isna().all(), "nobody logged it"
    rft = table[(table["label"] == "RFT") & (table["seed"] == "all")].iloc[0]
    assert rft["reward"] == 0.5 and pd.isna(rft["reward_sd"]) and rft["num_seeds"] == 1
    assert "1 of 2 seeds; seed 1 failed" in rft["status"]
    failed = table[(table["label"] == "RFT") & (table["seed"] == "1")]
    assert len(failed) == 1 and failed["step"].isna().all() and "failed" in failed["status"].iloc[0]


def test_the_figure_leaves_out_what_is_always_zero_and_says_so(experiment, tmp_path):
    write_tables([experiment], tmp_path / "tables")
    files = dynamics.draw(tmp_path / "tables", tmp_path / "out")
    assert [path.name for path in files] == ["dynamics.pdf", "dynamics.png", "dynamics.md"]
    caption = " ".join(files[2].read_text().split())
    assert "means over up to 2 seeds (0 1); bands are one standard deviation" in caption and "nothing is smoothed" in caption
    assert "Zero at every step, and not drawn: Clipped tokens." in caption
    assert "RFT, seed 1: failed" in caption


def test_nothing_to_draw_is_an_error(experiment, tmp_path):
    for path in experiment.glob("*/metrics.jsonl"):
        path.unlink()
    write_tables([experiment], tmp_path / "tables")
    with pytest.raises(DataError, match="nothing to draw yet"):
        dynamics.draw(tmp_path / "tables", tmp_path / "out")
