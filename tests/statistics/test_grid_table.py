"""A grid's tables: numbers by hand, settings from configurations, Holm's families, censoring, holes made visible."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from synthetic_runs import curve_entry, write_experiment, write_lines, write_status

from unified_rl.base.errors import DataError
from unified_rl.cli import main
from unified_rl.statistics import grid_table
from unified_rl.statistics.grid_cells import largest_ks, read, varying_settings
from unified_rl.statistics.grid_file import NOT_STATED, Primary, matching_of, matching_sentence
from unified_rl.statistics.grid_text import format_tables
from unified_rl.statistics.intervals import mean_interval, paired_difference
from unified_rl.statistics.null_pages import PageSize, null_row
from unified_rl.statistics.page_family import with_holm
from unified_rl.statistics.planning import equivalence_p_value, holm, paired_p_value
from unified_rl.statistics.table_files import read_table

ROOT = Path(__file__).parents[2]
SIZE = {"problems": 20, "samples": 8, "steps": 16}
LABELS = ("RFT", "Online RFT", "GRPO+OS")
RUNS = {"RFT": "rft", "Online RFT": "online_rft", "GRPO+OS": "grpo"}
SEEDS = (0, 1, 2)


def planned(seeds=SEEDS, labels=LABELS):
    cells = [{"id": "initial", "label": "SFT", "seed": 0}]
    return [*cells, *({"id": f"{RUNS[name]}-{seed}", "label": name, "seed": seed} for name in labels for seed in seeds)]


def write_grid_file(root, **facts):
    given = {
        "name": "toy",
        "title": "A toy",
        "hypothesis": "Nothing differs.",
        "matching": {"rule": "equal_updates", "budget": 0, "caption": "Matched by updates: 16 each."},
        "contrasts": [["Online RFT", "RFT"], ["GRPO+OS", "Online RFT"]],
        "seeds": list(SEEDS),
        "cells": planned(),
    }
    (root / "grid.json").write_text(json.dumps(given | facts))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("grid") / "toy"
    write_experiment(root / "runs", labels=LABELS, seeds=SEEDS, **SIZE)
    write_grid_file(root)
    return root


@pytest.fixture
def grid(made, tmp_path):
    return shutil.copytree(made, tmp_path / "toy")


@pytest.fixture(scope="module")
def data(made):
    return grid_table.read_data([made])


def only(table, **conditions):
    for name, value in conditions.items():
        table = table[table[name] == value]
    assert len(table) == 1, (conditions, len(table))
    return table.iloc[0]


# ---- numbers


def test_summary_and_contrasts_are_those_of_the_score_tables(data):
    scores = {
        (cell.label, cell.seed): cell.cell.scores["hard", "test"].greedy for cell in data.cells if cell.cell.path is not None
    }
    online, rft = (np.stack([scores[label, seed] for seed in SEEDS]) for label in ("Online RFT", "RFT"))
    row = only(grid_table.summary(data), label="Online RFT", slice="hard", metric="greedy")
    expected = mean_interval(online)
    assert (row["estimate"], row["low"], row["high"]) == (expected.estimate, expected.low, expected.high)
    assert (row["seeds"], row["num_seeds"], row["spread"]) == ("0 1 2", 3, "95 % interval")
    contrast = only(grid_table.contrast_table(data), label="Online RFT", baseline="RFT", slice="hard", metric="greedy")
    expected = paired_difference(online, rft)
    assert (contrast["estimate"], contrast["low"], contrast["high"]) == (expected.estimate, expected.low, expected.high)
    assert contrast["p"] == paired_p_value(online, rft)
    start = only(grid_table.contrast_table(data), label="RFT", baseline="SFT", slice="hard", metric="greedy")
    expected = paired_difference(rft, scores["SFT", 0][None])
    assert (start["estimate"], start["low"]) == (expected.estimate, expected.low)
    assert "one baseline policy" in start["note"]


def test_p_values_agree_with_their_intervals(data):
    made = grid_table.contrast_table(data).dropna(subset=["p"])
    assert len(made) > 20
    assert ((made["p"] < 0.05) == (made["verdict"] != "includes 0")).all()


def test_holm_is_over_the_whole_page(data):
    made = grid_table.contrast_table(data)
    tested = made.dropna(subset=["p"])
    np.testing.assert_allclose(tested["p_holm"], holm(tested["p"]))
    assert (tested["comparisons"] == len(tested)).all()
    assert ((tested["p_holm"] <= 0.05) == tested["decision"].isin(["above", "below"])).all()
    alone = (tested["p_holm"] > 0.05) & (tested["p"] <= 0.05)
    assert (alone == (tested["decision"] == "apart by itself, not after Holm")).all() and alone.any()
    # 3 labels against the start and 2 planned; the start was evaluated only, and has no curve to compare areas with.
    assert len(tested) == 2 * (4 * 5 + 2 * 2)
    assert tested["conclusion"].isna().all(), "nothing was declared"


def test_the_same_runs_under_another_label_are_no_further_tests(made, tmp_path):
    """RFT's runs copied and renamed: whatever compares them is one test, by configuration, and shows one p-value."""
    folder = shutil.copytree(made, tmp_path / "twice")
    (folder / "grid.json").unlink()
    for run in sorted((folder / "runs").glob("rft-*")):
        config = shutil.copytree(run, run.with_name(f"again-{run.name}")) / "config.yaml"
        config.write_text(config.read_text().replace("label: RFT", "label: Again"))
    found = grid_table.contrast_table(grid_table.read_data([folder])).dropna(subset=["p"])
    ours, again = (found[found["label"] == label].set_index(["slice", "metric"]) for label in ("RFT", "Again"))
    assert len(again) and again["p_holm"].equals(ours["p_holm"])
    once = found[found["label"] != "Again"]
    assert set(found["comparisons"]) == {len(once)}
    np.testing.assert_allclose(once["p_holm"], holm(once["p"]))


def test_a_primary_contrast_has_half_the_error_rate_and_a_conclusion(data):
    primary = Primary("Online RFT", "RFT", "greedy", 0.02)
    tested = grid_table.contrast_table(replace(data, grid=replace(data.grid, primary=(primary,)))).dropna(subset=["p"])
    first = (tested["label"] == "Online RFT") & (tested["baseline"] == "RFT") & (tested["metric"] == "greedy")
    assert first.sum() == 2
    weights = np.where(first, 1 / 2, 1 / (len(tested) - 2))
    np.testing.assert_allclose(tested["p_holm"], holm(tested["p"], weights))
    assert tested[first]["conclusion"].notna().all() and tested[~first]["conclusion"].isna().all()


def primary_row(p, estimate, p_equivalent, seeds=5, label="A", **more):
    row = {"label": label, "baseline": "B", "metric": "greedy", "num_seeds": seeds, "estimate": estimate}
    return row | {"p": p, "p_equivalent": p_equivalent} | more


@pytest.mark.parametrize(
    ("p_holm", "estimate", "p_equivalent", "seeds", "expected", "conclusion"),
    [
        (0.01, 0.1, 0.9, 5, "above", "supported"),
        (0.01, -0.1, 0.9, 5, "above", "contradicted"),
        (0.01, 0.1, 0.9, 5, "below", "contradicted"),
        (0.01, -0.1, 0.9, 5, "below", "supported"),
        (0.01, 0.1, 0.9, 5, "", "above"),
        (0.01, -0.1, 0.9, 5, "", "below"),
        (0.4, 0.0, 0.01, 5, "above", "equivalent within the margin"),
        (0.4, 0.0, 0.2, 5, "below", "cannot tell"),
        (0.01, 0.1, 0.9, 2, "above", "cannot tell"),
    ],
)
def test_conclusions_are_by_the_direction_that_the_hypothesis_states(
    p_holm, estimate, p_equivalent, seeds, expected, conclusion
):
    row = primary_row(p_holm, estimate, p_equivalent, seeds)
    (made,) = with_holm([row], (Primary("A", "B", "greedy", 0.02, expected=expected),))
    assert made["conclusion"] == conclusion
    assert (made["decision"] in ("above", "below")) == (p_holm <= 0.05 and seeds >= 3)


def test_equivalence_is_corrected_over_the_primary_contrasts_of_the_page():
    """Six at a true difference of exactly the margin would have one false "equivalent" in four pages, each being tested at 5 %."""
    labels = "ACDEFG"
    primary = [Primary(label, "B", "greedy", 0.02) for label in labels]
    rows = [primary_row(0.9, 0.0, p, label=label) for label, p in zip(labels, (0.001, 0.02, 0.04, 0.2, 0.3, 0.4), strict=True)]
    made = with_holm(rows, primary)
    np.testing.assert_allclose([row["p_equivalent_holm"] for row in made], holm([row["p_equivalent"] for row in rows]))
    assert [row["conclusion"] == "equivalent within the margin" for row in made] == [True, False, False, False, False, False]
    same = [row | {"test": "one"} for row in (primary_row(0.9, 0.0, 0.04), primary_row(0.9, 0.0, 0.04, label="C"))]
    assert {row["p_equivalent_holm"] for row in with_holm(same, primary)} == {0.04}, "the same runs twice are one test"


def test_the_rate_of_false_equivalence_on_a_page_of_six_is_kept():
    """At the margin itself, where a test of its own is wrong once in twenty: some page in four without the correction."""
    labels = "ACDEFG"
    primary = [Primary(label, "B", "greedy", 0.02) for label in labels]
    rng = np.random.default_rng(0)
    wrong = []
    for _ in range(400):
        rows = [primary_row(0.9, 0.02, p, label=label) for label, p in zip(labels, rng.random(6), strict=True)]
        wrong.append(any(row["conclusion"] == "equivalent within the margin" for row in with_holm(rows, primary)))
    assert 0.02 <= np.mean(wrong) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_every_equivalence_that_is_shipped_stands_after_the_correction():
    """Their tables were made when each was tested by itself."""
    found = 0
    for path in sorted((ROOT / "experiments" / "results").glob("*/*_contrasts.csv")):
        table = read_table(path)[0]
        rows = table[table["conclusion"].notna()] if "conclusion" in table else table.head(0)
        if len(rows):
            concluded = rows["conclusion"].to_numpy() == "equivalent within the margin"
            assert (holm(rows["p_equivalent"])[concluded] <= 0.05).all(), path
            found += concluded.sum()
    assert found, "none is shipped: nothing was checked"


def test_equivalence_is_the_ninety_percent_interval_within_the_margin():
    rng = np.random.default_rng(0)
    a, b = (rng.random((4, 300)) * 0.2 + 0.4 for _ in range(2))
    narrow = paired_difference(a, b, confidence=0.9)
    reach = max(abs(narrow.low), abs(narrow.high))
    assert equivalence_p_value(a, b, 1.01 * reach) < 0.05 < equivalence_p_value(a, b, 0.99 * reach)
    assert equivalence_p_value(a, b + 0.3, 0.02) >= 0.5
    with pytest.raises(ValueError, match="positive"):
        equivalence_p_value(a, b, 0.0)


def test_holm_with_weights():
    """Holm (1979), section 4: the smallest p / weight first, against its share of what weight is left."""
    assert holm([0.01, 0.02, 0.04], [2, 1, 1]).tolist() == pytest.approx([0.02, 0.04, 0.04])
    p = [0.03, 0.2, np.nan, 0.001]
    np.testing.assert_allclose(holm(p, [3, 3, 3, 3]), holm(p))
    with pytest.raises(ValueError, match="positive"):
        holm([0.1, 0.2], [1, 0])


def test_pages_on_which_nothing_differs_decide_nothing_nineteen_times_in_twenty():
    """A short version of `unified-rl interval-coverage pages=1000`; column by column, one page in six would have decided."""
    row = null_row(PageSize(arms=3, seeds=3, problems=60), num_pages=40)
    assert row["share"] <= 0.05 + 3 * row["error"]
    assert row["share"] <= row["share_by_column"] <= row["share_uncorrected"]
    assert row["share_uncorrected"] > 0.5


def test_cells_carry_tokens_and_the_level_or_its_censoring(grid):
    for label, last in (("rft", 0), ("grpo", 1)):  # of 20 problems: 5 right at step 0, then 5 or 15
        entries = [
            curve_entry(step, name, [1] * (5 if step == 0 or not last else 15) + [0] * (15 if step == 0 or not last else 5))
            for name in ("main", "hard")
            for step in (0, 8, 16)
        ]
        for seed in SEEDS:
            write_lines(grid / "runs" / f"{label}-{seed}" / "curve.jsonl", entries)
    shutil.rmtree(grid / "runs" / "online_rft-0")
    shutil.rmtree(grid / "runs" / "online_rft-1")
    shutil.rmtree(grid / "runs" / "online_rft-2")
    data = grid_table.read_data([grid], gain=0.2)
    assert data.levels == {"main": pytest.approx(0.45), "hard": pytest.approx(0.45)}
    cells = grid_table.cells_table(data)
    never = only(cells, label="RFT", seed="1", slice="main")
    assert (never["level_reached"], never["steps_to_level"], never["trained_to_level"]) == ("no", 16, 7000 * 16)
    reached = only(cells, label="GRPO+OS", seed="1", slice="main")
    assert (reached["level_reached"], reached["steps_to_level"], reached["sampled_to_level"]) == ("yes", 8, 8000 * 8)
    assert reached["area"] == pytest.approx((0.25 + 0.75) / 2 / 2 + 0.75 / 2)
    table = grid_table.summary(data)
    row = only(table, label="RFT", slice="main", metric="trained_to_level")
    assert np.isinf(row["estimate"]) and "0 of 3 reached it, the others not in 112000 tokens" in row["note"]
    assert only(table, label="GRPO+OS", slice="main", metric="trained_to_level")["estimate"] == 7000 * 8
    text = format_tables(data, table, grid_table.contrast_table(data))
    assert "never" in next(line for line in text.splitlines() if line.startswith("RFT  "))


def test_only_validation_chooses_a_checkpoint(grid):
    for path in (grid / "runs").glob("rft-*/curve.jsonl"):
        path.write_text(path.read_text().replace('"validation"', '"test"'))
    cells = grid_table.cells_table(grid_table.read_data([grid]))
    assert cells[cells["label"] == "RFT"]["best"].isna().all()
    assert cells[cells["label"] == "RFT"]["note"].str.contains("only validation may choose").all()
    assert cells[cells["label"] == "GRPO+OS"]["best"].notna().all()


# ---- settings


def test_settings_come_from_the_configuration_and_only_those_that_vary(grid):
    for path in (grid / "runs").glob("*/config.yaml"):
        config = yaml.safe_load(path.read_text())
        rate = 3e-5 if config["method"] == "rft" else 1e-4
        config["trainer"] |= {"learning_rate": rate, "beta1": 0.9}
        config |= {"run_dir": str(path.parent), "threads": config["seed"]}
        path.write_text(yaml.safe_dump(config))
    (grid / "runs" / "rft-0").rename(grid / "runs" / "grpo-lr1e-4")
    facts = json.loads((grid / "grid.json").read_text())
    facts["cells"][1]["id"] = "grpo-lr1e-4"
    write_grid_file(grid, cells=facts["cells"])
    _, cells = read([grid])
    assert varying_settings(cells) == ["trainer.learning_rate"]
    table = grid_table.cells_table(grid_table.read_data([grid]))
    moved = table[table["run"] == "grpo-lr1e-4"]
    assert set(moved["label"]) == {"RFT"} and set(moved["trainer.learning_rate"]) == {3e-5}


# ---- holes


def test_failed_and_missing_cells_are_rows_and_stay_out_of_the_numbers(grid, capsys):
    write_status(grid / "runs" / "grpo-1", "failed", 8, 16, "loss is not finite")
    shutil.rmtree(grid / "runs" / "rft-2")
    (grid / "logs").mkdir()
    (grid / "logs" / "rft-2.log").write_text("starting\nerror: no space left\n")
    write_grid_file(grid, cells=[*planned(), {"id": "dpo-0", "label": "DPO", "seed": 0}], contrasts=[["DPO", "RFT"]])
    assert main(["tables", str(grid)]) == 0
    text = capsys.readouterr().out
    cells, _ = read_table(grid / "tables" / "cells.csv")
    assert only(cells, run="grpo-1")["status"] == "failed at step 8 of 16: loss is not finite"
    assert pd.isna(only(cells, run="grpo-1")["greedy"])
    assert only(cells, run="rft-2")["status"] == "missing: error: no space left"
    assert only(cells, run="dpo-0")["status"] == "missing"
    table, provenance = read_table(grid / "tables" / "grid.csv")
    assert only(table, label="GRPO+OS", slice="main", metric="greedy")["seeds"] == "0 2"
    assert (table[table["label"] == "DPO"]["status"] == "no seed complete; seed 0 missing").all()
    assert provenance["unfinished"]["GRPO+OS, seed 1"] == "failed at step 8 of 16: loss is not finite"
    contrasts, _ = read_table(grid / "tables" / "grid_contrasts.csv")
    assert (contrasts[contrasts["label"] == "DPO"]["note"].str.startswith("nothing to compare")).all()
    assert only(contrasts, label="GRPO+OS", baseline="SFT", slice="main", metric="greedy")["num_seeds"] == 2
    for words in ("Matched by updates: 16 each.", "loss is not finite", "error: no space left", "DPO, seed 0 (dpo-0): missing"):
        assert words in text
    assert "nan" not in text


def test_an_iterative_cell_is_a_row_without_numbers(grid):
    run = grid / "iterative" / "it-0"
    run.mkdir(parents=True)
    write_status(run, "finished", 1, 1)
    cell = {"id": "it-0", "label": "iterated", "seed": 0, "command": "iterate", "group": "iterative"}
    write_grid_file(grid, cells=[*planned(), cell])
    row = only(grid_table.cells_table(grid_table.read_data([grid])), label="iterated")
    assert row["status"] == "complete" and "iteration_curves.csv" in row["note"]


def test_a_folder_without_a_grid_file_states_no_rule(made, tmp_path):
    write_experiment(tmp_path / "runs", labels=("RFT",), seeds=(0,), **SIZE)
    assert main(["tables", str(tmp_path / "runs"), f"out={tmp_path}"]) == 0
    _, provenance = read_table(tmp_path / "grid.csv")
    assert provenance["matching"] == NOT_STATED == matching_of([tmp_path / "runs"])
    assert matching_of([made / "runs"]) == "Matched by updates: 16 each."
    assert matching_sentence("equal updates") == "Matching rule: equal updates."
    assert matching_sentence("Matched by updates: 16 each.") == "Matched by updates: 16 each."


def test_the_same_k_for_all_cells(grid):
    before = largest_ks(read([grid])[1])
    assert before == {("main", "test"): 8, ("hard", "test"): 8}
    path = grid / "runs" / "rft-0" / "evaluations" / "final" / "samples.parquet"
    samples = pd.read_parquet(path)
    samples[(samples["mode"] == "greedy") | (samples["sample_index"] < 5)].to_parquet(path, index=False)
    data = grid_table.read_data([grid])
    assert set(grid_table.summary(data).query("metric == 'pass'")["k"]) == {4}


def test_clear_errors(grid, tmp_path, capsys):
    write_grid_file(grid, contrasts=[["RFT", "GRPO"]])
    assert main(["tables", str(grid)]) == 2
    assert "planned contrasts name 'GRPO'" in capsys.readouterr().err
    (grid / "grid.json").write_text("{")
    assert main(["tables", str(grid)]) == 2
    assert "start the grid's command again" in capsys.readouterr().err
    write_grid_file(grid, cells=[{"id": "x"}])
    with pytest.raises(DataError, match="a cell lacks"):
        read([grid])
    write_grid_file(grid)
    lines = (grid / "runs" / "rft-0" / "curve.jsonl").read_text().splitlines()
    entry = json.loads(lines[0])
    lines[0] = json.dumps(entry | {"problem_ids": ["other", *entry["problem_ids"][1:]]})
    (grid / "runs" / "rft-0" / "curve.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"rft-0: the points of the curve on validation/main are over different problems"):
        grid_table.read_data([grid])
