"""How the variance of an estimate divides, and that every table says it beside its seeds and starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_runs import write_evaluation, write_run, write_status

from unified_rl.cli import main
from unified_rl.statistics import variance_split
from unified_rl.statistics.intervals import LEAST_OF_SEEDS, mean_interval, mean_squares
from unified_rl.statistics.table_files import read_table
from unified_rl.statistics.variance_split import COLUMNS, columns, in_words, starts_share

SIZE = {"problems": 12, "samples": 4}
SEEDS = (0, 1, 2, 3)


def test_starts_by_hand():
    """Two starts of two seeds: within 0.02, between 0.16, so 0.07 of starts; of the mean's variance 0.035 beside 0.005."""
    assert starts_share([0.2, 0.4, 0.6, 0.8], "aabb") == pytest.approx(0.035 / 0.040)
    assert starts_share([0.2, 0.8, 0.4, 0.6], "abba") == pytest.approx(0.0)  # less apart than chance would have them


@pytest.mark.parametrize("starts", ["aaaa", "abcd"])
def test_one_start_and_one_for_each_seed_cannot_be_told_from_seeds(starts):
    assert starts_share([0.2, 0.4, 0.6, 0.8], starts) is None


def test_variance_components_are_recovered():
    """Drawn with sd 0.05 of starts and 0.03 of seeds: 40 starts of unequal numbers of seeds, against the truth of their design."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 6, 400)
    starts = np.repeat(np.arange(400), sizes)
    means = 0.05 * rng.standard_normal(400)[starts] + 0.03 * rng.standard_normal(len(starts))
    of_starts, within = 0.05**2 * (sizes**2).sum() / sizes.sum() ** 2, 0.03**2 / sizes.sum()
    assert starts_share(means.tolist(), starts.tolist()) == pytest.approx(of_starts / (of_starts + within), abs=0.03)


@settings(max_examples=50, deadline=None)
@given(st.integers(3, 6), st.integers(2, 30), st.integers(0, 2**31))
def test_the_parts_are_those_of_the_interval_and_sum_to_one(num_seeds, num_problems, seed):
    table = np.random.default_rng(seed).random((num_seeds, num_problems))
    found = columns(mean_interval(table), [place // 2 for place in range(num_seeds)])
    squares = mean_squares(table)
    problems, seeds = (
        max(float(squares.problem - squares.rest), 0.0),
        max(float(squares.seed), LEAST_OF_SEEDS * float(squares.rest)),
    )
    assert found["problems_part"] == pytest.approx(problems / (problems + seeds))
    assert sum(part or 0.0 for part in found.values()) == pytest.approx(1.0)


def test_over_problems_only_nothing_is_split():
    found = columns(mean_interval(np.random.default_rng(0).random((2, 9))), "ab")
    assert set(found.values()) == {None} and in_words(found) == "-"


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Four seeds of a method, two from each of two starts; what `unified-rl tables` and `figures` say of them."""
    root = tmp_path_factory.mktemp("starts")
    for seed in SEEDS:
        start, run = root / "runs" / f"start-{seed}", root / "runs" / f"grpo-{seed}"
        write_evaluation(start, {"method": "sft", "label": "SFT", "seed": seed, "step": 0}, 0.8 * (seed // 2), **SIZE)
        (start / "config.yaml").write_text(f"method: sft\nlabel: SFT\nseed: {seed}\ntrainer:\n  steps: 0\n")
        write_status(start, "finished", 0, 0)
        write_run(run, "GRPO+OS", "grpo", seed, 1.5 + 0.8 * (seed // 2), steps=16, **SIZE)
        for folder in (start, run):
            with (folder / "config.yaml").open("a") as file:
                file.write(f"model:\n  path: ''\n  seed: {seed // 2}\nsft:\n  seed: {seed // 2}\n")
    assert main(["tables", str(root / "runs"), "pair=GRPO+OS|SFT", f"out={root / 'tables'}"]) == 0
    return root


@pytest.mark.parametrize("name", ["pass_maj", "curves", "coverage", "crossovers", "grid", "grid_contrasts", "contrasts"])
def test_every_table_has_seeds_starts_and_parts(tables, name):
    table = read_table(tables / "tables" / f"{name}.csv")[0]
    pooled = table[(table["num_seeds"] == 4) & table["low"].notna() & (table["label"] == "GRPO+OS")]
    if "spread" in pooled:
        pooled = pooled[pooled["spread"] == "95 % interval"]  # of tokens it is the range over seeds
    assert len(pooled) and set(pooled["num_starts"]) == {2}
    assert np.allclose(pooled[list(COLUMNS)].sum(axis=1), 1) and pooled[list(COLUMNS)].notna().all(axis=None)


def test_what_no_problem_is_behind_has_its_starts(tables):
    """Dynamics: their spread is the seeds' own."""
    table = read_table(tables / "tables" / "dynamics.csv")[0]
    assert set(table.loc[table["seed"] == "all", "num_starts"]) == {2}
    assert set(table.loc[table["seed"] != "all", "num_starts"]) == {1}


def test_the_summary_has_them_for_each_of_its_measures(tables):
    table = read_table(tables / "tables" / "results.csv")[0].query("label == 'GRPO+OS'")
    for measure in ("greedy", "avg", "maj", "pass", "difference"):
        assert np.allclose(table[[f"{measure}_{name}" for name in COLUMNS]].sum(axis=1), 1)


def test_printed_tables_captions_and_latex_say_them(tables, capsys):
    words = ["tables", str(tables / "runs"), "pair=GRPO+OS|SFT", f"out={tables / 'again'}"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    row = read_table(tables / "tables" / "results.csv")[0].query("label == 'GRPO+OS' and slice == 'main'").iloc[0].to_dict()
    split = in_words(row, "greedy_")
    assert split.count("/") == 2 and f"0 1 2 3  2       {split}" in printed
    assert printed.count(variance_split.HEADING) >= 4 and variance_split.READING in printed
    assert main(["figures", "results_table", "contrasts", f"tables={tables / 'tables'}", f"out={tables / 'figures'}"]) == 0
    latex = (tables / "figures" / "results_table.tex").read_text()
    assert r"Seeds & Starts & Variance \%" in latex and f"4 & 2 & {split}" in latex
    for name in ("results_table", "contrasts"):
        caption = (tables / "figures" / f"{name}.md").read_text()
        assert "4 seeds share 2 SFT policies" in caption and "% from starts" in caption and "% from seeds" in caption
    assert Path(tables / "figures" / "results_table_markdown.md").read_text().count(f"| 4 | 2 | {split} |") == 1
