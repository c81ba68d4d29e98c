"""CLAIMS.md: what is shipped regenerates from the shipped tables; verdicts by rule; the paper's numbers."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unified_rl.cli import main
from unified_rl.statistics import claims, evidence, paper_effects
from unified_rl.statistics.evidence import CANNOT_TELL, CONTRADICTS, MARGIN, SUPPORTS, direction, no_rise, p_from_interval
from unified_rl.statistics.intervals import paired_difference
from unified_rl.statistics.planning import paired_p_value
from unified_rl.statistics.table_files import write_table

FACTS = {
    "schema": 1,
    "command": "unified-rl tables GRID",
    "matching": "equal updates",
    "seeds": [0, 1],
}


def contrast(label, baseline, metric, estimate, half, *, slice_name="main", k=None, p=0.5):
    row = {"label": label, "baseline": baseline, "slice": slice_name, "split": "test", "metric": metric, "k": k}
    return row | {
        "estimate": estimate,
        "low": estimate - half,
        "high": estimate + half,
        "p": p,
        "num_problems": 200,
        "num_seeds": 5,
    }


def experiment(folder, contrasts, start_pass=None):
    """A folder of tables as `statistics.grid_table` writes them. start_pass: slice -> the SFT policy's Pass@K."""
    write_table(pd.DataFrame(contrasts), folder / "grid_contrasts.csv", FACTS)
    rows = [{"label": "SFT", "slice": name, "metric": "pass", "estimate": value} for name, value in (start_pass or {}).items()]
    if rows:
        write_table(pd.DataFrame(rows), folder / "grid.csv", FACTS)
    return evidence.read_experiment_tables(folder)


def test_what_is_shipped_is_what_the_command_makes(tmp_path):
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "unified_rl.cli", "claims", f"out={tmp_path / 'c.md'}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "c.md").read_text() == claims.OUT.read_text(), f"run: {claims.COMMAND}"
    loaded = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "unified_rl.statistics.evidence" in loaded and "torch" not in loaded


def test_verdicts_are_read_off_the_interval():
    assert [direction(0.01, 0.02), direction(-0.02, -0.01), direction(-0.01, 0.02)] == [SUPPORTS, CONTRADICTS, CANNOT_TELL]
    beyond = MARGIN + 0.01
    assert [no_rise(-0.3, MARGIN), no_rise(beyond, 0.2), no_rise(0.001, beyond)] == [SUPPORTS, CONTRADICTS, CANNOT_TELL]


def test_a_claim_of_each_verdict_and_a_mixture(tmp_path):
    found = experiment(
        tmp_path / "all_methods",
        [
            contrast("Online RFT", "RFT", "greedy", 0.05, 0.02),
            contrast("Online RFT", "RFT", "greedy", -0.05, 0.02, slice_name="hard"),
            contrast("GRPO+OS", "Online RFT", "greedy", -0.05, 0.02),
            contrast("GRPO+PS", "GRPO+OS", "greedy", 0.01, 0.02),
            contrast("GRPO+OS", "SFT", "maj", 0.05, 0.02, k=64),
        ],
    )
    verdicts = {claim.key: claims.verdict_of(claim.ours([found])) for claim in claims.CLAIMS}
    assert verdicts["a"] == "**mixed**: supports in 1, contradicts in 1 of 2 tests"
    assert verdicts["b"] == "**contradicts** (the one test)"
    assert verdicts["c"] == "**cannot tell** (the one test)"
    assert verdicts["d1"] == verdicts["d2"] == verdicts["e2"] == "**not measured yet**"
    assert verdicts["e1"] == "**supports** (the one test)"


def test_arms_are_known_by_what_defines_them_not_by_their_labels(tmp_path):
    """The same experiment, its arms renamed; and another arm that has come to bear the old label."""
    arms = [
        {"label": "Fresh samples", "words": ["method=online_rft"]},
        {"label": "Kept samples", "words": ["method=rft"]},
        {"label": "Online RFT", "words": ["method=online_rft", "trainer.learning_rate=9"]},
        {"label": "RFT", "words": ["method=rft"], "command": "iterate"},
    ]
    rows = [
        contrast("Fresh samples", "Kept samples", "greedy", 0.05, 0.02),
        contrast("Online RFT", "Kept samples", "greedy", -0.3, 0.02),
        contrast("Online RFT", "RFT", "greedy", -0.4, 0.02),
    ]
    tmp_path.joinpath("grid.json").write_text(json.dumps({"arms": arms, "cells": []}))
    (claim,) = [claim for claim in claims.CLAIMS if claim.key == "a"]
    for place in (tmp_path, tmp_path / "tables"):
        found = claim.ours([experiment(place, rows)])
        assert [finding.comparison for finding in found] == ["Fresh samples - Kept samples"]
    common = [{**arm, "words": [word for word in arm["words"] if word != "method=online_rft"]} for arm in arms[:1]]
    tmp_path.joinpath("grid.json").write_text(json.dumps({"arms": common, "common": ["method=online_rft"], "cells": []}))
    assert evidence.read_experiment_tables(tmp_path).label_of(claims.ONLINE_RFT) == "Fresh samples"


def test_every_claim_names_arms_of_the_shipped_grids():
    """An arm that no grid has would be a claim that nothing can ever be said of."""
    shipped = [evidence.read_experiment_tables(folder) for folder in claims.shipped_experiments()]
    for arm in {arm for pair in (*claims.ONLINE_PAIRS, *claims.SUPERVISION_PAIRS) for arm in pair}:
        assert any(found.arms and found.label_of(arm) for found in shipped), arm.default


def test_runs_that_two_experiments_share_are_one_test(tmp_path):
    shared = contrast("Online RFT", "RFT", "greedy", 0.05, 0.02)
    other = contrast("Online RFT", "RFT", "greedy", 0.06, 0.02)
    found = [experiment(tmp_path / name, rows) for name, rows in (("a", [shared]), ("b", [shared]), ("c", [other]))]
    text = claims.document(found)
    assert text.count("| a, b | Online RFT - RFT |") == text.count("| c | Online RFT - RFT |") == 1
    assert "of 2 tests at 5 %" in text and "**supports** (both tests)" in text


def with_runs(folder, rows, keys):
    """The same with cells.csv. keys: label -> its seeds' configurations."""
    cells = [
        {"label": label, "seed": seed, "configuration": key} for label, both in keys.items() for seed, key in enumerate(both)
    ]
    write_table(pd.DataFrame(cells), folder / "cells.csv", FACTS)
    arms = [
        {"label": rows[0]["label"], "words": ["method=online_rft"]},
        {"label": rows[0]["baseline"], "words": ["method=rft"]},
    ]
    folder.joinpath("grid.json").write_text(json.dumps({"arms": arms, "cells": []}))
    return experiment(folder, rows)


def test_one_comparison_is_one_test_under_any_labels_and_run_again(tmp_path):
    """By the runs' configurations, seeds and code included; and by equal numbers, which other code gives for the same runs."""
    ours, renamed = contrast("Online RFT", "RFT", "greedy", 0.05, 0.02), contrast("Fresh", "Kept", "greedy", 0.05, 0.02)
    other = contrast("Online RFT", "RFT", "greedy", 0.05, 0.0200000001)
    online, offline = ("online 0", "online 1"), ("offline 0", "offline 1")
    again = {"Online RFT": ("online 0, new", "online 1, new"), "RFT": ("offline 0, new", "offline 1, new")}
    found = [
        with_runs(tmp_path / "a", [ours], {"Online RFT": online, "RFT": offline}),
        with_runs(tmp_path / "b", [renamed], {"Fresh": online, "Kept": offline}),
        with_runs(tmp_path / "c", [ours], again),
        with_runs(tmp_path / "d", [other], {**again, "RFT": ("others 0", "others 1")}),
    ]
    text = claims.document(found)
    assert text.count("| a, b (Fresh - Kept), c | Online RFT - RFT |") == text.count("| d | Online RFT - RFT |") == 1
    assert "of 2 tests at 5 %" in text


def test_a_comparison_of_some_of_the_runs_of_another_is_no_test_of_its_own(tmp_path):
    """Three of five seeds, copied from the other experiment's cells, as a ladder of sizes has them; and three of other runs."""
    whole, some = contrast("Online RFT", "RFT", "greedy", 0.05, 0.02), contrast("Online RFT", "RFT", "greedy", 0.06, 0.04)
    other = contrast("Online RFT", "RFT", "greedy", 0.01, 0.04)
    for row in (some, other):
        row["num_seeds"] = 3
    runs = {label: tuple(f"{label} {seed}" for seed in range(5)) for label in ("Online RFT", "RFT")}
    few = {label: keys[:3] for label, keys in runs.items()}
    others = {"Online RFT": few["Online RFT"], "RFT": tuple(f"slower RFT {seed}" for seed in range(3))}
    found = [
        with_runs(tmp_path / "ladder", [some], few),
        with_runs(tmp_path / "all", [whole], runs),
        with_runs(tmp_path / "c", [other], others),
    ]
    text = claims.document(found)
    assert "| all, ladder (3 of these seeds) | Online RFT - RFT | main | +5.0 [+3.0, +7.0] | 5 |" in text
    assert "| c | Online RFT - RFT | main | +1.0 [-3.0, +5.0] | 3 |" in text and "+6.0 [" not in text
    assert "of 2 tests at 5 %" in text
    hard = some | {"slice": "hard"}
    assert "of 2 tests" in claims.document([with_runs(tmp_path / "d", [hard], few), found[1]]), "of another slice"


def test_findings_of_another_world_are_named_and_judged_apart(tmp_path):
    """The same ablation there has the same arms: its words are those of the world besides."""
    arms = [
        {"label": "Fresh", "words": ["method=online_rft", "trainer.steps=3"]},
        {"label": "Online RFT", "words": ["method=online_rft"]},
        {"label": "RFT", "words": ["method=rft"]},
        {"label": "GRPO+OS", "words": ["method=grpo"]},
    ]
    here = [contrast("Online RFT", "RFT", "greedy", 0.05, 0.02), contrast("GRPO+OS", "SFT", "maj", 0.2, 0.1, k=64)]
    there = [contrast("Online RFT", "RFT", "greedy", -0.05, 0.02), contrast("GRPO+OS", "SFT", "maj", 0.1, 0.2, k=64)]
    worlds = {"all_methods": (here, []), "all_methods_task_countdown": (there, ["task=countdown"])}
    found = []
    for name, (rows, world) in worlds.items():
        (tmp_path / name).mkdir()
        plan = {"name": name, "arms": arms, "common": world, "world": world, "cells": []}
        (tmp_path / name / "grid.json").write_text(json.dumps(plan))
        found.append(experiment(tmp_path / name, rows))
    text = " ".join(claims.document(found).split())
    assert "| all_methods | Online RFT - RFT | main | +5.0 [" in text
    assert "| all_methods_task_countdown | Online RFT - RFT | main (task=countdown) | -5.0 [" in text
    assert "Verdict: **supports** (the one test); task=countdown: **contradicts** (the one test). Measured" in text
    assert "| 0 of 1; task=countdown: 0 of 1 |" in text
    first = "of the first world (nothing is said of what is built in with task=countdown)"
    assert f"Built in by construction {first}: The demonstrator slips" in text
    assert "Slices with words behind them" in text and "Slices with words" not in claims.document(found[:1])
    assert first not in claims.document(found[:1])


def test_files_that_the_document_names_are_there():
    text = claims.OUT.read_text()
    named = [path for path in re.findall(r"`((?:analysis|unified_rl|experiments)/[\w./]+)`", text)]
    assert len(named) >= 3 and all((claims.OUT.parents[1] / path).exists() for path in named), named


def test_comparisons_of_other_runs_without_any_width_stay_apart(tmp_path):
    nothing = contrast("Online RFT", "RFT", "greedy", 0.0, 0.0)
    keys = [{"Online RFT": (f"{name} 0", f"{name} 1"), "RFT": ("offline 0", "offline 1")} for name in "ab"]
    found = [with_runs(tmp_path / name, [nothing], runs) for name, runs in zip("ab", keys, strict=True)]
    assert "of 2 tests at 5 %" in claims.document(found)


def test_shipped_grids_share_the_runs_of_one_code_and_start_and_no_others():
    """Newer tables have the configuration of every cell; older ones have none, but its words."""
    names = ("negative_signal", "online_vs_offline", "all_methods", "engines")
    one, same, other_code, older = (evidence.read_experiment_tables(claims.SHIPPED / name) for name in names)
    for label in ("SFT", "Online RFT"):
        assert one.runs[label] == same.runs[label] and len(one.runs[label]) == 5
        assert not one.runs[label] & (other_code.runs[label] | older.runs[label])
    assert len(older.runs["SFT"]) == 1 and len(older.runs["Online RFT"]) == 5
    assert same.runs["Online RFT"] not in (same.runs["Stored samples"], same.runs["Online RFT, RFT's rate"])


def test_coverage_is_judged_only_below_its_ceiling(tmp_path):
    rows = [contrast("GRPO+OS", "SFT", "pass", 0.03, 0.005, slice_name=name, k=64) for name in ("main", "hard")]
    found = evidence.coverage_findings([experiment(tmp_path, rows, {"main": 0.95, "hard": 0.7})], (claims.GRPO, claims.SFT))
    assert [finding.verdict for finding in found] == ["not asked", CONTRADICTS]
    assert found[0].p is None and "SFT has Pass@64 = 95.0 %" in found[0].note
    text = claims.document([experiment(tmp_path, rows, {"main": 0.95, "hard": 0.7})])
    assert "| GRPO+OS - SFT, Pass@64 | main | +3.0 [+2.5, +3.5] | 5 | 1 | 200 | - | - | not asked (at its ceiling" in text


def test_holm_is_over_the_whole_document(tmp_path):
    rows = [
        contrast("Online RFT", "RFT", "greedy", 0.05, 0.02, p=0.01),
        contrast("GRPO+OS", "Online RFT", "greedy", 0.05, 0.02, p=0.02),
        contrast("GRPO+OS", "SFT", "maj", 0.05, 0.02, k=8, p=0.04),
    ]
    text = claims.document([experiment(tmp_path, rows)])
    assert "of 3 tests at 5 %" in text
    for p, adjusted in (("0.010", "0.030"), ("0.020", "0.040"), ("0.040", "0.040")):
        assert f"| {p} | {adjusted} | supports |" in text


@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_a_p_value_read_off_an_interval_is_at_its_bound_005_and_never_too_small(seeds):
    rng = np.random.default_rng(seeds)
    checked = 0
    for _ in range(80):
        scores = np.clip(rng.normal(0.6, 0.3, (seeds, 60)) + rng.normal(0, 0.05, (seeds, 1)), 0, 1)
        others = np.full((seeds, 60), 0.5)
        found, p = paired_difference(scores, others), paired_p_value(scores, others)
        degrees = seeds - 1 if seeds > 1 else 61
        read = p_from_interval(found.low, found.high, 0.0, degrees)
        if p < 0.05:
            assert p * 0.8 - 1e-9 <= read < 0.05
            checked += 1
        assert p_from_interval(found.low, found.high, found.low, degrees) == pytest.approx(0.05)
    assert checked > 15


def test_first_round_against_second_allows_for_any_dependence(tmp_path):
    rows = [
        {"iteration": i, "step": 48, "slice": "main", "estimate": gain, "low": gain - 0.02, "high": gain + 0.02}
        | {"num_problems": 200, "num_seeds": 3}
        for i, gain in ((1, 0.2), (2, 0.01))
    ]
    write_table(pd.DataFrame(rows), tmp_path / "iteration_gains.csv", FACTS)
    found = evidence.first_round_findings([evidence.read_experiment_tables(tmp_path)])
    wider = stats.t.ppf(0.9875, 2) / stats.t.ppf(0.975, 2)
    assert (found[0].estimate, found[0].low) == (pytest.approx(0.19), pytest.approx(0.19 - 2 * 0.02 * wider))
    assert found[0].verdict == SUPPORTS
    helps = evidence.renewal_findings([evidence.read_experiment_tables(tmp_path)])
    assert [finding.verdict for finding in helps] == [SUPPORTS, CANNOT_TELL]


#: Grid and arm -> what is done with reward model and reference, and the labels of the initial one that are turned over.
ITERATED = {
    "iterative_rl/both_renewed": ("renewed", "renewed", {}),
    "iterative_rl/reward_model_renewed": ("renewed", "kept", {}),
    "iterative_rl/reference_renewed": ("kept", "renewed", {}),
    "iterative_rl/both_kept": ("kept", "kept", {}),
    "iterative_rl/process_both_renewed": ("renewed", "renewed", {}),
    "iterative_rl/process_both_kept": ("kept", "kept", {}),
    "replayed_reward_model/0_wrong": ("renewed", "kept", {}),
    "harmed/40_wrong": ("renewed", "renewed", {"reward_model.label_false_positive": 0.4}),
}


@pytest.mark.parametrize("findings", [evidence.renewal_findings, evidence.first_round_findings])
def test_of_iterative_arms_only_those_of_algorithm_1_count(findings, tmp_path, monkeypatch):
    """Reward model and reference renewed, and nothing harmed on purpose: what the other arms gain is not what iterating gains."""
    row = {"step": 48, "slice": "main", "estimate": 0.2, "low": 0.1, "high": 0.3, "num_problems": 200, "num_seeds": 5}
    for arm, (reward_model, reference, noise) in ITERATED.items():
        table = pd.DataFrame([row | {"iteration": iteration, "num_starts": 5} for iteration in (1, 2)])
        facts = FACTS | {"iterate": {"reward_model": reward_model, "reference": reference}, "label_noise": noise}
        write_table(table, tmp_path / arm / "iteration_gains.csv", facts)
        (tmp_path / arm).parent.joinpath("grid.json").write_text(json.dumps({"name": arm.partition("/")[0], "cells": []}))
    monkeypatch.setattr(claims, "SHIPPED", tmp_path)
    found = findings([evidence.read_experiment_tables(folder) for folder in claims.shipped_experiments()])
    counted = list(dict.fromkeys(finding.experiment for finding in found))
    assert counted == ["iterative_rl/both_renewed", "iterative_rl/process_both_renewed"]


def test_the_papers_numbers_are_those_of_its_figures():
    def rounded(effects):
        return {effect.benchmark: round(100 * effect.estimate, 2) for effect in effects}

    assert rounded(paper_effects.curve_difference("Online RFT", "RFT")) == {"GSM8K": 2.27, "MATH": 1.2}
    assert rounded(paper_effects.curve_difference("GRPO+OS", "Online RFT")) == {"GSM8K": 1.55, "MATH": 0.6}
    assert rounded(paper_effects.curve_difference("GRPO+PS", "GRPO+OS")) == {"GSM8K": 1.15, "MATH": 0.15}
    assert rounded(paper_effects.sampled_difference("pass", 64)) == {"GSM8K": -1.8, "MATH": -0.7}
    assert rounded(paper_effects.sampled_difference("maj", 64)) == {"GSM8K": 1.5, "MATH": 1.0}
    first = paper_effects.iteration_difference(1)
    assert all(effect.low > 0 for effect in first)


def test_blocks_keep_what_neighbours_share():
    """A series of equal neighbours has as many independent values as blocks, not as points."""
    values = np.repeat(np.random.default_rng(1).normal(size=12), 4)
    apart = paper_effects.block_bootstrap(values, block=1)
    together = paper_effects.block_bootstrap(values, block=4)
    assert (together[1] - together[0]) > 1.4 * (apart[1] - apart[0])


def test_a_folder_without_tables_is_an_error(tmp_path, capsys):
    assert main(["claims", str(tmp_path), f"out={tmp_path / 'c.md'}"]) == 2
    assert "unified-rl tables" in capsys.readouterr().err


def test_without_the_repository_folders_must_be_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["claims", "out=c.md"]) == 2
    assert "name the folders of tables" in capsys.readouterr().err


def test_tables_below_a_grid_are_found(tmp_path):
    experiment(tmp_path / "my_grid" / "tables", [contrast("Online RFT", "RFT", "greedy", 0.05, 0.02)])
    assert main(["claims", str(tmp_path / "my_grid"), f"out={tmp_path / 'c.md'}"]) == 0
    assert "| my_grid | Online RFT - RFT | main |" in (tmp_path / "c.md").read_text()
