"""Samples that others made: estimators against enumeration of all subsets, files in both forms, what is refused."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unified_rl.base.errors import DataError
from unified_rl.statistics.crossover import pass_at_k_crossover
from unified_rl.statistics.pass_at_k import all_of_k
from unified_rl.statistics.traces import Fields, metrics, read_traces, traces_table

FULL = Fields(score="score", steps="steps")


def generated(problems=6, n=7, seed=0):
    rng = np.random.default_rng(seed)
    records = []
    for problem in range(problems):
        for sample in range(n):
            right = bool(rng.random() < (problem + 1) / (problems + 1))
            answer = "7" if right else [None, "1", "2"][rng.integers(3)]
            steps = bool(right and rng.random() < 0.6)
            facts = {"problem": f"p{problem}", "sample": sample, "answer": answer, "correct": right}
            records.append(facts | {"score": float(rng.normal()), "steps": steps})
    return records


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def by_enumeration(records, k):
    """Each metric as the mean over all K-subsets, ties at the top shared."""
    found: dict[str, list[float]] = {name: [] for name in ("pass", "all", "maj", "best", "cot_pass")}
    table = pd.DataFrame(records)
    for _, rows in table.groupby("problem", sort=False):
        subsets = [rows.iloc[list(places)] for places in combinations(range(len(rows)), k)]
        found["pass"].append(np.mean([part["correct"].any() for part in subsets]))
        found["all"].append(np.mean([part["correct"].all() for part in subsets]))
        found["cot_pass"].append(np.mean([(part["correct"] & part["steps"]).any() for part in subsets]))
        found["best"].append(np.mean([part.loc[part["score"].idxmax(), "correct"] for part in subsets]))
        chances = []
        for part in subsets:
            votes = part["answer"].dropna().value_counts()
            top = votes[votes == votes.max()].index if len(votes) else []
            chances.append(1 / len(top) if "7" in top else 0.0)
        found["maj"].append(np.mean(chances))
    return found


@pytest.mark.parametrize("k", [1, 2, 3, 7])
def test_every_metric_is_the_mean_over_all_subsets(tmp_path, k):
    records = generated()
    found = metrics(read_traces(write(tmp_path / "t.jsonl", records), FULL), ks=[k])
    for name, expected in by_enumeration(records, k).items():
        np.testing.assert_allclose(found[name][1][:, 0], expected, atol=1e-9, err_msg=name)


def test_parquet_and_lists_hold_the_same_as_lines(tmp_path):
    records = generated()
    lines = traces_table(read_traces(write(tmp_path / "t.jsonl", records), FULL))
    pd.DataFrame(records).to_parquet(tmp_path / "t.parquet")
    close = {"rtol": 1e-12, "check_exact": False}
    pd.testing.assert_frame_equal(traces_table(read_traces(tmp_path / "t.parquet", FULL)), lines, **close)
    lists = pd.DataFrame(records).groupby("problem", sort=False).agg(list).reset_index().to_dict("records")
    pd.testing.assert_frame_equal(traces_table(read_traces(write(tmp_path / "l.jsonl", lists), FULL)), lines, **close)
    assert set(lines["k"]) == {1, 2, 4} and (lines["low"] <= lines["estimate"]).all()


def test_intervals_hold_a_known_truth(tmp_path):
    """Each problem is solved with chance 1/2 or never, half of each: Pass@1 = 1/4; 95 %, 200 files, four standard errors."""
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        solved = rng.integers(0, 2, 60)[:, None] * rng.integers(0, 2, (60, 4))
        records = [{"problem": p, "answer": "x", "correct": int(v)} for p, row in enumerate(solved) for v in row]
        first = traces_table(read_traces(write(tmp_path / "t.jsonl", records))).iloc[0]
        held += first["low"] <= 0.25 <= first["high"]
    assert 0.89 <= held / 200 <= 0.995


def test_all_of_k_by_hand():
    """3 of 5 right: C(3, 2) / C(5, 2) = 3 / 10; three of three wrong ones cannot be avoided at K = 4."""
    assert all_of_k(5, 3, 2) == pytest.approx(0.3)
    assert all_of_k(5, 3, 4) == 0
    assert all_of_k(5, 5, 5) == 1


def test_crossings_come_from_the_counts_of_two_files(tmp_path):
    first, second = (read_traces(write(tmp_path / "t.jsonl", generated(40, 8, seed))) for seed in (0, 1))
    counts = [np.array([sum(row) for row in traces.correct]) for traces in (first, second)]
    assert pass_at_k_crossover(8, *counts).leader in ("a", "b", "neither")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"problem": 1, "answer": "x"}', "record 1 has no field 'correct'"),
        ('{"problem": 1, "answer": "x", "correct": "yes"}', "must be true or false"),
        ('{"problem": 1, "answer": ["x", "y"], "correct": [true]}', "unequal length"),
        ("{", "line 1 is no JSON"),
        ("[1]", "is no record but list"),
        ("", "holds no samples"),
    ],
)
def test_bad_files_are_named(tmp_path, text, words):
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(DataError, match=words):
        read_traces(tmp_path / "t.jsonl")
    with pytest.raises(DataError, match="not readable"):
        read_traces(tmp_path / "none.jsonl")


REAL = next((place for up in Path(__file__).resolve().parents if (place := up / "shared" / "data").is_dir()), Path("none"))


@pytest.mark.skipif(not (REAL / "tora70b_gsm8k_test_traces.jsonl").is_file(), reason="the traces are not here")
def test_real_traces(tmp_path):
    """One sample for each of 1,319 problems of GSM8K; right where the prediction is the gold answer as a number."""
    records = []
    for line in (REAL / "tora70b_gsm8k_test_traces.jsonl").read_text().splitlines():
        facts = json.loads(line)
        records.append(
            {"problem": facts["idx"], "answer": facts["pred"], "correct": [_same(p, facts["gt"]) for p in facts["pred"]]}
        )
    table = traces_table(read_traces(write(tmp_path / "t.jsonl", records)))
    assert len(records) == 1319 and set(table["k"]) == {1}
    assert table["estimate"].nunique() == 1, "at K = 1 the metrics are one"
    assert 0.8 < table["estimate"].iloc[0] < 0.9, "their report: 84.3 %"


def _same(prediction, gold):
    try:
        return abs(float(str(prediction).replace(",", "")) - float(str(gold).replace(",", ""))) < 1e-3
    except ValueError:
        return False
