"""cot_pass.csv and the metric of grids: right answers by right steps, from what evaluations store, against counting by hand."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from synthetic_runs import write_samples

from unified_rl.plotting import cot_pass as figure
from unified_rl.statistics import cot_pass, grid_table
from unified_rl.statistics.experiment import read_experiment
from unified_rl.statistics.grid_file import GridFacts, Primary
from unified_rl.statistics.tables import write_tables

#: Per problem: (right, sound) of its four samples.
SAMPLES = [[(1, 1), (1, 0), (0, 0), (0, 0)], [(1, 0), (1, 0), (0, 0), (0, 0)], [(1, 1), (1, 1), (1, 1), (0, 0)]]


def by_hand(k: int, place: int) -> float:
    """Mean over problems of the share of K-subsets with a sample that is right (place 0), or sound (1)."""
    subsets = [list(itertools.combinations(problem, k)) for problem in SAMPLES]
    return float(np.mean([np.mean([any(sample[place] for sample in subset) for subset in found]) for found in subsets]))


@pytest.fixture
def runs(tmp_path):
    """The policy SFT, which is never right, and a run GRPO+OS."""
    for folder, label, method, samples in (
        ("initial", "SFT", "sft_policy", [[(0, 0)] * 4] * 3),
        ("grpo-0", "GRPO+OS", "grpo", SAMPLES),
    ):
        rows = [answer(problem, "greedy", 0, 0, 0) for problem in range(3)]
        rows += [answer(place, "sample", index, *one) for place, of in enumerate(samples) for index, one in enumerate(of)]
        facts = {"method": method, "label": label, "seed": 0, "step": 0, "problems": {"main": 3}}
        write_samples(tmp_path / folder, rows, facts, 4)
    return tmp_path


def answer(problem, mode, index, right, sound):
    given = "7" if right else "8"
    return {
        **{"problem_id": f"main-{problem}", "slice": "main", "split": "test", "mode": mode, "sample_index": index},
        **{"seed": index + 1, "text": "", "answer": given, "answer_class": given, "gold": "7", "gold_class": "7"},
        **{"verdict": "correct" if right else "incorrect", "sound": bool(sound)},
    }


def test_the_table_is_what_counting_gives(runs):
    table = cot_pass.cot_pass(read_experiment([runs])).set_index(["label", "metric", "k"])
    for k, (place, metric) in itertools.product((1, 2, 4), enumerate(("pass", "cot_pass"))):
        row = table.loc["GRPO+OS", metric, k]
        assert (row["estimate"], row["difference"]) == (pytest.approx(by_hand(k, place)), pytest.approx(by_hand(k, place)))
    assert table.loc["GRPO+OS", "unsound", 1]["estimate"] == pytest.approx(3 / 7)
    assert table.loc["SFT", "unsound", 1]["note"] == "no right sample"


def test_evaluations_that_do_not_say_have_no_rows(runs):
    (path,) = (runs / "grpo-0").glob("evaluations/*/samples.parquet")
    pd.read_parquet(path).drop(columns="sound").to_parquet(path, index=False)
    assert set(cot_pass.cot_pass(read_experiment([runs]))["label"]) == {"SFT"}
    for path in runs.glob("*/evaluations/*/samples.parquet"):
        pd.read_parquet(path).drop(columns="sound", errors="ignore").to_parquet(path, index=False)
    write_tables([runs], runs / "tables")
    assert not (runs / "tables" / "cot_pass.csv").exists()


def test_only_a_grid_that_is_about_it_compares_by_it(runs):
    data = grid_table.read_data([runs])
    found = grid_table.summary(data).set_index(["label", "metric"])["estimate"]
    assert found["GRPO+OS", "cot_pass"] == pytest.approx(by_hand(4, 1)) and found["GRPO+OS", "pass"] == 1.0
    assert "cot_pass" not in set(grid_table.contrast_table(data)["metric"])
    about = GridFacts(primary=(Primary("GRPO+OS", "SFT", "cot_pass", 0.05),))
    table = grid_table.contrast_table(grid_table.GridData(about, data.cells, data.scores, data.levels))
    (row,) = table[table["metric"] == "cot_pass"].to_dict("records")
    assert row["estimate"] == pytest.approx(by_hand(4, 1)) and row["margin"] == 0.05 and row["conclusion"] == "cannot tell"


def test_the_figure_draws_both_curves_of_every_policy(runs):
    write_tables([runs], runs / "tables")
    assert {path.suffix for path in figure.draw(runs / "tables", runs / "figures")} == {".pdf", ".png", ".md"}
    caption = " ".join((runs / "figures" / "cot_pass.md").read_text().split())
    assert "CoT-Pass@K" in caption and "Problems: main 3" in caption
    assert json.loads((runs / "tables" / "cot_pass.csv").read_text().splitlines()[0][1:])["table"] == "cot_pass"
