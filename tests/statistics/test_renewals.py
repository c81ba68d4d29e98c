"""What a renewal gained, arm against arm, and from what: runs whose gains and reward models are known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from synthetic_runs import curve_entry, write_lines

from unified_rl.base.errors import ConfigError
from unified_rl.grids.definition import Primary as Declared
from unified_rl.plotting import renewal_quality as figure
from unified_rl.statistics import iterations, renewals
from unified_rl.statistics.grid_file import read_grid
from unified_rl.statistics.intervals import paired_difference
from unified_rl.statistics.make import make
from unified_rl.statistics.options import TablesOptions
from unified_rl.statistics.table_files import read_table

PROBLEMS, SEEDS = 60, (0, 1, 2)
#: arm -> right answers of (iteration 1, its control), of `PROBLEMS`
ARMS = {"Bad": (40, 20), "Good": (30, 28)}


def first(count: int, seed: int) -> list[int]:
    """The first problems, one more or less by seed."""
    return [int(place < count + seed - 1) for place in range(PROBLEMS)]


def iterative(run, label, seed, renewed, control):
    """A finished iterative run with one renewal after 4 steps, and its reward models' words: perfect, and by chance."""
    for index, right in enumerate((control, renewed)):
        folder = run / f"iteration_{index}"
        folder.mkdir(parents=True)
        entries = [curve_entry(0, "main", first(10, seed)), curve_entry(8 - 4 * index, "main", first(right, seed))]
        write_lines(folder / "curve.jsonl", entries)
        write_lines(folder / "metrics.jsonl", [{"step": 1, "reward/mean": 0.5, "reward/accepted": 0.5, "reward/correct": 0.5}])
    (run / "config.yaml").write_text(f"label: {label}\nseed: {seed}\nmodel:\n  seed: {seed}\n")
    entries = [{"iteration": index, "run": f"iteration_{index}", "first_step": 4 * index} for index in (0, 1)]
    facts = {"schema": 1, "steps": 4, "reward_model": "renewed", "iterations": entries}
    (run / "iterate.json").write_text(json.dumps(facts))
    (run / "status.json").write_text(json.dumps({"state": "finished", "step": 0, "steps": 0, "error": None}))
    (run / "agreement").mkdir()
    for index, reward in enumerate(([0.5, 0.5, 0.5, 0.5], [0.9, 0.1, 0.8, 0.7])):
        judged = pd.DataFrame({"prompt_id": ["a", "a", "b", "b"], "reward": reward, "correct": [True, False, True, False]})
        judged["accepted"] = judged["reward"] > 0.5
        judged.assign(sample_index=[0, 1, 0, 1]).to_parquet(run / "agreement" / f"{index}.parquet", index=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("grid")
    cells = []
    for label, (renewed, control) in ARMS.items():
        for seed in SEEDS:
            name = f"{label.lower()}-{seed}"
            iterative(root / "iterative" / name, label, seed, renewed, control)
            cells.append({"id": name, "label": label, "seed": seed, "group": "iterative", "command": "iterate", "words": []})
    primary = [
        {"label": "Bad", "baseline": other, "metric": "gain", "margin": 0.05, "reason": "by hand", "expected": "above"}
        for other in ("Bad", "Good")
    ]
    plan = {"name": "small", "cells": cells, "contrasts": [["Bad", "Good"]], "primary": primary, "matching": "by hand"}
    (root / "grid.json").write_text(json.dumps(plan))
    return root


def test_gains_and_their_difference(folder):
    rows = renewals.tables(read_grid(folder))["renewals"].set_index(["label", "baseline"])
    assert rows.loc[("Bad", "Bad"), "estimate"] == pytest.approx(20 / 60)
    assert rows.loc[("Good", "Good"), "estimate"] == pytest.approx(2 / 60)
    row = rows.loc[("Bad", "Good")]
    assert row["estimate"] == pytest.approx(18 / 60) and row["conclusion"] == "supported"
    a, b, c, d = (np.array([first(count, seed) for seed in SEEDS]) for pair in ARMS.values() for count in pair)
    halves = paired_difference((a + d) / 2, (b + c) / 2)
    assert (row["low"], row["high"]) == (pytest.approx(2 * halves.low), pytest.approx(2 * halves.high))
    assert (row["num_seeds"], row["num_starts"], row["num_problems"], row["comparisons"]) == (3, 3, PROBLEMS, 3)
    assert row["problems_part"] + row["seeds_part"] == pytest.approx(1) and row["seeds_part"] == pytest.approx(
        halves.seed_share
    )


def test_the_quality_of_reward_models_over_all_and_within_a_problem(folder):
    found = renewals.tables(read_grid(folder))["renewal_quality"].set_index(["label", "iteration"])
    assert found.loc[("Bad", 0), "within_auc"] == 0.5 and found.loc[("Bad", 0), "accuracy"] == 0.5
    assert found.loc[("Bad", 1), "within_auc"] == 1.0 and found.loc[("Bad", 1), "auc"] == 1.0
    assert found.loc[("Bad", 1), "accuracy"] == 0.75


def test_the_command_writes_them_and_the_figure_draws_them(folder, tmp_path):
    make(TablesOptions([folder], tmp_path), "unified-rl tables")
    assert {path.suffix for path in figure.draw(tmp_path, tmp_path / "figures")} == {".pdf", ".png", ".md"}


def test_tables_say_what_was_renewed_and_which_judgements_were_turned_over(tmp_path):
    """By which CLAIMS.md knows the arms of Algorithm 1 from those that are harmed on purpose."""
    for name, more in (("harmed", "reward_model:\n  label_false_positive: 0.4\n  label_false_negative: 0.0\n"), ("plain", "")):
        iterative(tmp_path / name, name, 0, 30, 20)
        config = tmp_path / name / "config.yaml"
        config.write_text(config.read_text() + more)
        iterations.write_tables([tmp_path / name], tmp_path / f"tables_{name}")
    harmed, plain = (read_table(tmp_path / f"tables_{name}" / "iteration_gains.csv")[1] for name in ("harmed", "plain"))
    assert harmed["label_noise"] == {"reward_model.label_false_positive": 0.4} and plain["label_noise"] == {}
    assert plain["iterate"]["reward_model"] == "renewed"


def test_a_grid_without_renewals_has_no_such_tables(tmp_path):
    (tmp_path / "grid.json").write_text(json.dumps({"name": "none", "cells": []}))
    assert renewals.tables(read_grid(tmp_path)) == {}


def test_an_arm_stands_against_itself_by_its_gain_alone():
    assert Declared("A", "A", "gain").margin and Declared("A", "B", "gain").margin
    with pytest.raises(ConfigError, match="gain alone"):
        Declared("A", "A", "avg")
