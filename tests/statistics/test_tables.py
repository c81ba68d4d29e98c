"""Run directories -> tables: numbers against hand-worked ones, holes made visible, contradictions refused."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from synthetic_runs import (
    curve_entry,
    sample_row,
    write_evaluation,
    write_experiment,
    write_lines,
    write_run,
    write_samples,
    write_status,
)

from unified_rl.base.errors import DataError
from unified_rl.cli import main
from unified_rl.statistics import tables
from unified_rl.statistics.experiment import read_experiment
from unified_rl.statistics.intervals import mean_interval, paired_difference
from unified_rl.statistics.table_files import read_table

SIZE = {"problems": 12, "samples": 8, "steps": 16}


@pytest.fixture
def experiment(tmp_path):
    return write_experiment(tmp_path / "exp", labels=("RFT", "GRPO+OS"), seeds=(0, 1), **SIZE)


def only(table, **conditions):
    """The one row with these values."""
    for name, value in conditions.items():
        table = table[table[name] == value]
    assert len(table) == 1, (conditions, len(table))
    return table.iloc[0]


# ---- numbers


def hand_made(path, label, answers, greedy, *, method="grpo", seed=0):
    """A run (or the SFT policy) whose samples per problem are spelled out: "7" is right, None no answer."""
    if method != "sft_policy":
        write_run(path, label, method, seed, 1.0, problems=2, samples=1, steps=8)
        shutil.rmtree(path / "evaluations")
    rng, rows = np.random.default_rng(0), []
    for problem, given in answers.items():
        for index, answer in enumerate(["7" if greedy[problem] else "8", *given]):
            row = sample_row(problem, "main", index == 0, index - 1, answer == "7", rng)
            verdict = "correct" if answer == "7" else "unparsable" if answer is None else "incorrect"
            rows.append(row | {"answer": answer, "answer_class": answer, "verdict": verdict})
    facts = {"method": method, "label": label, "seed": seed, "step": 0 if method == "sft_policy" else 8}
    write_samples(path, rows, facts, len(next(iter(answers.values()))))


def test_numbers_by_hand(tmp_path):
    answers = {"p": ["7", "7", "8", None], "q": ["8", "8", "8", "7"], "r": ["9"] * 4}
    hand_made(tmp_path / "x", "GRPO+OS", answers, {"p": 1, "q": 1, "r": 0})
    answers = {"r": ["7"] * 4, "q": ["8"] * 4, "p": ["8"] * 4}
    hand_made(tmp_path / "y", "SFT", answers, {"p": 0, "q": 0, "r": 0}, method="sft_policy")
    cells = read_experiment([tmp_path])
    table = tables.pass_maj(cells)
    # Pass@2: p has 2 right of 4: 1 - C(2,2)/C(4,2) = 5/6; q 1 - C(3,2)/C(4,2) = 1/2; r 0.
    assert only(table, label="GRPO+OS", metric="pass", k=2)["estimate"] == pytest.approx((5 / 6 + 1 / 2 + 0) / 3)
    # Maj@2 of p over its 6 pairs: 77 -> 1, twice 7 against 8 -> 1/2, twice 7 and an abstention -> 1, 8 and it -> 0: 4/6.
    # Of q: three pairs 88 -> 0, three pairs 78 -> 1/2: 1/4.
    assert only(table, label="GRPO+OS", metric="maj", k=2)["estimate"] == pytest.approx((4 / 6 + 1 / 4 + 0) / 3)
    # Maj@4: p elects 7, q and r do not.
    assert only(table, label="GRPO+OS", metric="maj", k=4)["estimate"] == pytest.approx(1 / 3)
    silent = tables.pass_maj(cells, no_answer="class")
    # With abstention as a class, the pairs of 7 with it are ties as well: (1 + 2/2 + 2/2) / 6 = 1/2.
    assert only(silent, label="GRPO+OS", metric="maj", k=2)["estimate"] == pytest.approx((1 / 2 + 1 / 4 + 0) / 3)
    results = tables.results(cells)
    row = only(results, label="GRPO+OS")
    assert row["greedy"] == pytest.approx(2 / 3)
    assert row["avg"] == pytest.approx(3 / 12)
    assert row["k"] == 4
    assert (row["maj"], row["pass"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    expected = paired_difference([1, 1, 0], [0, 0, 0])
    assert (row["difference"], row["difference_low"]) == (pytest.approx(2 / 3), pytest.approx(expected.low))
    assert pd.isna(only(results, label="SFT")["difference"])


def test_problems_are_matched_by_id_not_by_place(experiment):
    before = tables.curves(read_experiment([experiment]))
    path = experiment / "rft-1" / "curve.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    for entry in entries:
        entry["problem_ids"], entry["correct"] = entry["problem_ids"][::-1], entry["correct"][::-1]
    write_lines(path, entries)
    pd.testing.assert_frame_equal(tables.curves(read_experiment([experiment])), before)


def test_curves_per_seed_and_pooled(experiment):
    curves = tables.curves(read_experiment([experiment]))
    where = {"label": "RFT", "step": 16, "slice": "hard"}
    seeds = [only(curves, seed=seed, **where) for seed in ("0", "1")]
    pooled = only(curves, seed="all", **where)
    assert pooled["accuracy"] == pytest.approx(np.mean([row["accuracy"] for row in seeds]))
    assert (pooled["num_seeds"], pooled["num_problems"]) == (2, 12)
    assert pooled["low"] < pooled["accuracy"] < pooled["high"]
    assert "over problems only" in seeds[0]["note"]
    assert "for these 2 policies: an interval over seeds takes 3" in pooled["note"]
    assert pooled["sampled_tokens"] == 8000 * 16
    assert "SFT" not in set(curves["label"])


def test_pooled_interval_is_that_of_the_score_table(experiment):
    cells = [cell for cell in read_experiment([experiment]) if cell.label == "GRPO+OS"]
    expected = mean_interval(np.stack([cell.scores["main", "test"].greedy for cell in cells]))
    row = only(tables.results(read_experiment([experiment])), label="GRPO+OS", slice="main")
    assert (row["greedy"], row["greedy_low"], row["greedy_high"]) == (expected.estimate, expected.low, expected.high)
    assert (row["seeds"], row["num_samples"], row["temperature"], row["step"]) == ("0 1", 8, 0.7, 16)


def test_labels_come_from_the_run_not_from_its_directory(experiment):
    (experiment / "rft-0").rename(experiment / "grpo-99")
    assert set(tables.runs(read_experiment([experiment]))["label"]) == {"SFT", "RFT", "GRPO+OS"}


def test_methods_are_in_the_order_of_the_method_table(experiment):
    assert list(dict.fromkeys(tables.results(read_experiment([experiment]))["label"])) == ["SFT", "RFT", "GRPO+OS"]


# ---- holes


def test_a_missing_run_is_a_visible_row(experiment):
    shutil.rmtree(experiment / "grpo-1")
    cells = read_experiment([experiment])
    assert only(tables.runs(cells), label="GRPO+OS", seed="1")["status"] == "missing"
    assert only(tables.curves(cells), label="GRPO+OS", seed="1")["status"] == "missing"
    row = only(tables.results(cells), label="GRPO+OS", slice="main")
    assert row["status"] == "1 of 2 seeds; seed 1 missing"
    assert row["num_seeds"] == 1


def test_a_failed_run_is_left_out_of_the_mean_and_named(experiment):
    write_status(experiment / "grpo-1", "failed", 8, 16, "loss is not finite at step 9")
    cells = read_experiment([experiment])
    row = only(tables.results(cells), label="GRPO+OS", slice="main")
    assert row["num_seeds"] == 1
    assert "seed 1 failed at step 8 of 16: loss is not finite at step 9" in row["status"]
    pooled = only(tables.curves(cells), label="GRPO+OS", seed="all", step=16, slice="main")
    assert pooled["num_seeds"] == 1
    assert pooled["status"].startswith("1 of 2 seeds")


def test_a_label_without_any_finished_run_is_still_there(experiment):
    for seed in (0, 1):
        shutil.rmtree(experiment / f"grpo-{seed}" / "evaluations")
    cells = read_experiment([experiment])
    row = only(tables.results(cells), label="GRPO+OS", slice="main")
    assert pd.isna(row["greedy"])
    assert row["status"] == "no seed complete; seed 0 not evaluated; seed 1 not evaluated"
    assert "-" in next(line for line in tables.format_results(tables.results(cells)).splitlines() if line.startswith("GRPO+OS"))
    assert pd.isna(only(tables.pass_maj(cells), label="GRPO+OS", slice="hard")["estimate"])


def test_an_unfinished_evaluation_does_not_count(experiment):
    path = experiment / "grpo-0" / "evaluations" / "final" / "meta.json"
    path.write_text(path.read_text().replace('"complete": true', '"complete": false'))
    row = only(tables.runs(read_experiment([experiment])), label="GRPO+OS", seed="0")
    assert (row["status"], row["evaluation_status"]) == ("complete", "not evaluated (unfinished: final)")


def test_an_evaluation_of_an_earlier_step_is_said_to_be_one(experiment):
    write_status(experiment / "grpo-0", "finished", 32, 32)
    row = only(tables.runs(read_experiment([experiment])), label="GRPO+OS", seed="0")
    assert row["evaluation_status"] == "evaluated at step 16 of 32"


def test_only_the_latest_evaluated_step_counts(experiment):
    before = tables.results(read_experiment([experiment]))
    facts = {"method": "grpo", "label": "GRPO+OS", "seed": 0, "step": 8}
    write_evaluation(experiment / "grpo-0", facts, 0.5, SIZE["problems"], SIZE["samples"], name="early")
    pd.testing.assert_frame_equal(tables.results(read_experiment([experiment])), before)


def test_a_run_without_a_policy_to_compare_with(experiment):
    shutil.rmtree(experiment / "initial")
    results = tables.results(read_experiment([experiment]))
    assert results["difference"].isna().all()
    assert results["greedy"].notna().all()


def test_a_run_that_has_written_nothing_but_its_configuration(experiment):
    path = experiment / "fresh"
    path.mkdir()
    (path / "config.yaml").write_text("method: dpo\nlabel: DPO\nseed: 0\n")
    cells = read_experiment([experiment])
    assert only(tables.runs(cells), label="DPO", seed="0")["status"] == "not started"
    assert len(tables.curves(cells).query("label == 'DPO'")) >= 1
    tables.results(cells)


# ---- contradictions


def test_the_same_label_and_seed_twice(experiment):
    shutil.copytree(experiment / "rft-0", experiment / "copy")
    with pytest.raises(DataError, match="both have label='RFT' and seed=0"):
        read_experiment([experiment])


def test_policies_measured_on_different_problems(experiment):
    path = experiment / "rft-1" / "evaluations" / "final" / "samples.parquet"
    samples = pd.read_parquet(path)
    samples["problem_id"] = samples["problem_id"].str.replace("main-0", "main-zero")
    samples.to_parquet(path)
    with pytest.raises(DataError, match="evaluated on different problems of test/main"):
        tables.results(read_experiment([experiment]))


def test_curves_measured_on_different_problems(experiment):
    write_lines(experiment / "rft-1" / "curve.jsonl", [curve_entry(0, "main", [1, 0, 1])])
    with pytest.raises(DataError, match="measured their curves on different problems"):
        tables.curves(read_experiment([experiment]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda samples: samples.assign(verdict="incorrect"), "has verdict 'incorrect', but answer_class '7'"),
        (lambda samples: pd.concat([samples, samples.iloc[[5]]]), "is there twice"),
        (lambda samples: samples.drop(index=5), "between 7 and 8 samples"),
        (lambda samples: samples.drop(columns="verdict"), "lacks the columns verdict"),
    ],
)
def test_an_evaluation_that_contradicts_itself(experiment, change, words):
    path = experiment / "grpo-0" / "evaluations" / "final" / "samples.parquet"
    change(pd.read_parquet(path)).to_parquet(path)
    with pytest.raises(DataError, match=words):
        tables.results(read_experiment([experiment]))


def test_two_evaluations_of_one_step_must_be_chosen_from(experiment):
    folder = experiment / "grpo-0" / "evaluations"
    shutil.copytree(folder / "final", folder / "again")
    with pytest.raises(DataError, match="evaluation="):
        tables.results(read_experiment([experiment]))
    assert len(tables.results(read_experiment([experiment], evaluation="final"))) == 6


# ---- files and the command


def test_the_command_writes_tables_that_read_back(experiment, tmp_path, capsys):
    assert main(["tables", str(experiment), f"out={tmp_path / 'tables'}", "ties=wrong"]) == 0
    printed = capsys.readouterr().out
    assert "Maj@8" in printed
    assert "GRPO+OS" in printed
    assert "interval over problems only: fewer than 3" in printed
    results, provenance = read_table(tmp_path / "tables" / "results.csv")
    assert provenance["ties"]["rule"] == "wrong"
    assert provenance["seeds"] == [0, 1]
    assert provenance["unfinished"] == {}
    assert set(results["label"]) == {"SFT", "RFT", "GRPO+OS"}
    curves, _ = read_table(tmp_path / "tables" / "curves.csv")
    assert set(curves["seed"]) == {"0", "1", "all"}
    first = {path.name: path.read_bytes() for path in (tmp_path / "tables").iterdir()}
    main(["tables", str(experiment), f"out={tmp_path / 'tables'}", "ties=wrong"])
    assert {path.name: path.read_bytes() for path in (tmp_path / "tables").iterdir()} == first
    further = ("contrasts", "cells", "grid", "grid_contrasts")
    assert set(first) == {f"{name}.csv" for name in (*tables.TABLES, *further)} and len(first) == 11


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main(["tables", str(tmp_path), f"out={tmp_path / 'tables'}"]) == 2
    assert "no run and no evaluation below" in capsys.readouterr().err


def test_a_table_that_is_not_one(tmp_path):
    with pytest.raises(DataError, match=r"curves\.csv does not exist; make it with: unified-rl tables"):
        read_table(tmp_path / "curves.csv")
    (tmp_path / "curves.csv").write_text("label,step\nRFT,1\n")
    with pytest.raises(DataError, match="is not an analysis table"):
        read_table(tmp_path / "curves.csv")
