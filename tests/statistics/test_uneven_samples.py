"""Evaluations whose first problems have more samples: means over all problems, Pass@K and Maj@K over those with samples enough."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from synthetic_runs import write_experiment

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.config.records import EvaluationConfig
from unified_rl.records.evaluations import check_rows
from unified_rl.statistics.counts import read_counts, write_counts
from unified_rl.statistics.experiment import read_experiment
from unified_rl.statistics.gains import coverage_gains, crossovers
from unified_rl.statistics.grid_table import contrast_table, read_data, summary
from unified_rl.statistics.tables import format_results, pass_maj, results

PROBLEMS, FIRST, SAMPLES, FEW = 30, 12, 16, 4
KEY = ("main", "test")


def number(problem: str) -> int:
    return int(problem.rpartition("-")[2])


def thinned(folder) -> None:
    """As if the problems after the first had been sampled less."""
    for meta_file in folder.rglob("meta.json"):
        samples = pd.read_parquet(meta_file.with_name("samples.parquet"))
        kept = (samples["mode"] == "greedy") | (samples["problem_id"].map(number) < FIRST) | (samples["sample_index"] < FEW)
        samples[kept].to_parquet(meta_file.with_name("samples.parquet"), index=False)
        meta = json.loads(meta_file.read_text())
        meta |= {"samples_per_problem": FEW, "coverage_problems": FIRST, "coverage_samples": SAMPLES}
        meta_file.write_text(json.dumps(meta))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same experiment with all samples, and thinned."""
    places = [tmp_path_factory.mktemp(name) for name in ("whole", "thinned")]
    for place in places:
        write_experiment(place, ["GRPO+OS"], (0, 1, 2), PROBLEMS, SAMPLES, steps=8)
    thinned(places[1])
    return places


def test_means_are_of_all_problems_and_k_of_the_first(both):
    for whole, uneven in zip(*(read_experiment([place]) for place in both), strict=True):
        a, b = whole.scores[KEY], uneven.scores[KEY]
        first = np.array([number(problem) < FIRST for problem in a.problem_ids])
        assert np.array(b.whole_ids).tolist() == np.array(a.problem_ids)[first].tolist()
        np.testing.assert_allclose(b.average()[first], a.average()[first])
        assert b.average()[~first] * FEW == pytest.approx(np.round(b.average()[~first] * FEW)), "of four samples each"
        np.testing.assert_allclose(b.pass_at(), a.pass_at()[first])
        np.testing.assert_allclose(b.maj_at("uniform", "no_vote"), a.maj_at("uniform", "no_vote")[first])
        assert b.greedy.tolist() == a.greedy.tolist() and not a.same_problems(b)


def test_every_table_takes_them(both):
    cells = read_experiment([both[1]])
    table = results(cells)
    assert set(table["num_problems"]) == {PROBLEMS} and set(table["k_problems"]) == {FIRST} and set(table["k"]) == {SAMPLES}
    assert f"main ({PROBLEMS} problems, Maj@{SAMPLES} and Pass@{SAMPLES} of {FIRST})" in format_results(table)
    assert set(pass_maj(cells)["num_problems"]) == {FIRST}
    assert set(coverage_gains(cells)["num_problems"].dropna()) == {FIRST}
    assert set(crossovers(cells)["num_problems"].dropna()) == {FIRST}
    data = read_data([both[1]])
    for metric, count in (("greedy", PROBLEMS), ("avg", PROBLEMS), ("maj", FIRST), ("pass", FIRST)):
        for found in (summary(data), contrast_table(data)):
            assert set(found[found["metric"] == metric]["num_problems"].dropna()) == {count}, metric


def test_a_file_of_counts_keeps_them(both, tmp_path):
    cells = read_experiment([both[1]])
    write_counts(cells, tmp_path / "votes.parquet", {})
    pd.testing.assert_frame_equal(results(read_counts(tmp_path / "votes.parquet")[0]), results(cells))


def test_samples_that_are_missing_are_still_seen(both, tmp_path):
    write_experiment(tmp_path, ["GRPO+OS"], (0,), PROBLEMS, SAMPLES, steps=8)
    thinned(tmp_path)
    for meta_file in tmp_path.rglob("meta.json"):
        meta = json.loads(meta_file.read_text())
        meta_file.write_text(json.dumps(meta | {"coverage_samples": SAMPLES + 1, "samples_per_problem": FEW}))
    with pytest.raises(DataError, match="all must have the same"):
        _ = [cell.scores for cell in read_experiment([tmp_path])]


def test_rows_are_counted_against_the_meta_data(tmp_path):
    meta = {"problems": {"main": 3, "hard": 1}, "samples_per_problem": 1, "coverage_problems": 2, "coverage_samples": 3}
    each = {("main", 0): 3, ("main", 1): 3, ("main", 2): 1, ("hard", 0): 3}
    rows = [(name, f"{name}-{place}", "sample", k) for (name, place), count in each.items() for k in range(count)]
    samples = pd.DataFrame(rows, columns=["slice", "problem_id", "mode", "sample_index"]).assign(verdict="correct")
    check_rows(samples, meta, tmp_path)
    with pytest.raises(DataError, match=r"9 sample answers, and meta\.json says 10"):
        check_rows(samples.iloc[1:], meta, tmp_path)


def test_settings():
    assert EvaluationConfig(samples=8, coverage_problems=200, coverage_samples=64).parts(1000) == [(200, 64), (800, 8)]
    assert EvaluationConfig(samples=8, coverage_problems=200, coverage_samples=64).parts(150) == [(150, 64)]
    assert EvaluationConfig(samples=8).parts(5) == [(5, 8)] and EvaluationConfig().parts(0) == []
    for wrong in ({"coverage_problems": 5}, {"coverage_samples": 80}, {"coverage_problems": 5, "coverage_samples": 64}):
        with pytest.raises(ConfigError, match="coverage"):
            EvaluationConfig(**wrong)
    with pytest.raises(ConfigError, match="these 1 or more"):
        EvaluationConfig(samples=0, coverage_problems=5, coverage_samples=64)
