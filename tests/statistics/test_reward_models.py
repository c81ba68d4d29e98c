"""Statistics of reward models against brute force and SciPy, intervals against simulation, tables and figures from raw facts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unified_rl.base.errors import DataError
from unified_rl.cli import main
from unified_rl.plotting import reward_models as figure
from unified_rl.statistics import first_error
from unified_rl.statistics import reward_models as module
from unified_rl.statistics.clustered import (
    bootstrap_interval,
    calibration_error,
    equal_count_bins,
    ratio_interval,
    weighted_auc,
)
from unified_rl.statistics.table_files import read_table

scored = st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 3)), min_size=2, max_size=14)


def brute_auc(scores, positive, weights):
    """Sum over all pairs of a positive and a negative item."""
    wins = total = 0.0
    for s, p, w in zip(scores, positive, weights, strict=True):
        for t, q, v in zip(scores, positive, weights, strict=True):
            if p and not q:
                total += w * v
                wins += w * v * ((s > t) + 0.5 * (s == t))
    return wins / total if total else float("nan")


@settings(max_examples=200, deadline=None)
@given(items=scored)
def test_auc_equals_all_pairs(items):
    scores, positive, weights = (np.array(column) for column in zip(*items, strict=True))
    expected = brute_auc(scores, positive, weights)
    np.testing.assert_allclose(weighted_auc(scores, positive, weights[None].astype(float))[0], expected, equal_nan=True)


def test_auc_equals_scipy_s_rank_statistic():
    random = np.random.default_rng(0)
    scores, positive = random.normal(size=300).round(1), random.random(300) < 0.4
    u = stats.mannwhitneyu(scores[positive], scores[~positive]).statistic
    assert weighted_auc(scores, positive, np.ones((1, 300)))[0] == pytest.approx(u / (positive.sum() * (~positive).sum()))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), bins=st.integers(1, 6))
def test_calibration_error_equals_a_loop(seed, bins):
    random = np.random.default_rng(seed)
    predicted, right = random.random(40), (random.random(40) < 0.5).astype(float)
    weights = random.integers(0, 3, 40).astype(float)
    weights[0] = 1.0
    bin_of = equal_count_bins(predicted, bins)
    expected = 0.0
    for place in set(bin_of.tolist()):
        inside = [i for i in range(40) if bin_of[i] == place]
        mass = sum(weights[i] for i in inside)
        if mass:
            mean = sum(weights[i] * predicted[i] for i in inside) / mass
            share = sum(weights[i] * right[i] for i in inside) / mass
            expected += mass / weights.sum() * abs(mean - share)
    assert calibration_error(predicted, right, bin_of, weights[None])[0] == pytest.approx(expected, abs=1e-12)


def test_bins_hold_equally_many_and_keep_equal_scores_together():
    bin_of = equal_count_bins(np.random.default_rng(0).random(1000), 10)
    assert np.bincount(bin_of).tolist() == [100] * 10
    tied = equal_count_bins(np.array([0.1] * 50 + [0.9] * 50), 10)
    assert len(set(tied[:50])) == len(set(tied[50:])) == 1
    assert tied[0] < tied[-1]


def test_intervals_cover_shares_and_aucs_of_clustered_items():
    """Steps of one problem are alike: an interval that took them for independent would cover far less than 95 %."""
    random = np.random.default_rng(1)
    covered = {"ratio": 0, "naive": 0, "auc": 0}
    for _ in range(200):
        chance = random.beta(1, 1, 60).repeat(random.integers(3, 12, 60))
        problem = np.repeat(
            np.arange(60), np.unique(chance, return_counts=True)[1][np.argsort(np.unique(chance, return_index=True)[1])]
        )
        right = random.random(len(chance)) < chance
        found = ratio_interval(right, problem)
        covered["ratio"] += found.low <= 0.5 <= found.high
        naive = stats.binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
        covered["naive"] += naive.low <= 0.5 <= naive.high
        shift = random.normal(size=60)[problem]
        score = right * 1.0 + shift + random.normal(size=len(right))
        found = bootstrap_interval(lambda weights, s=score, r=right: weighted_auc(s, r, weights), problem)
        covered["auc"] += found.low <= stats.norm.cdf(1 / 2) <= found.high  # a difference of N(0, 2 (1 + 1)) by 1
    assert covered["ratio"] >= 183, "95 % of 200 is 190; 99.9 % of binomial draws reach 179"
    assert covered["auc"] >= 179
    assert covered["naive"] < 170


def test_an_interval_at_the_edge_is_no_point():
    found = ratio_interval(np.ones(40), np.repeat(np.arange(20), 2))
    assert found.estimate == found.high == 1.0
    assert 0.75 < found.low < 0.9


@pytest.fixture
def quality(tmp_path):
    """Two problems, two responses each, two or three steps; completions 1 to 4 of each inner step."""
    rows = [  # problem, sample, exact steps, outcome, successes of the inner steps
        ("a", 0, [True, True, True], True, [[1, 0, 0, 1], [0, 0, 1, 0]]),
        ("a", 1, [True, False, False], False, [[0, 0, 0, 0], [0, 0, 0, 1]]),
        ("b", 0, [False, False], False, [[0, 0, 0, 0]]),
        ("b", 1, [True, True], True, [[1, 1, 1, 1]]),
    ]
    logits = {"ORM": {("a", 0): [0, 0, 2.0], ("a", 1): [0, 0, 1.0], ("b", 0): [0, 3.0], ("b", 1): [0, -1.0]}}
    logits["PRM"] = {("a", 0): [1, 2, 0.5], ("a", 1): [1, -1, 3], ("b", 0): [-2, 1], ("b", 1): [4, 0.2]}
    steps = [
        {
            "problem_id": problem,
            "sample": sample,
            "step": step,
            "num_steps": len(exact),
            "exact": exact[step],
            "outcome": outcome,
            "successes": [bool(one) for one in successes[step]] if step + 1 < len(exact) else None,
        }
        for problem, sample, exact, outcome, successes in rows
        for step in range(len(exact))
    ]
    scores = [
        {"model": model, "problem_id": problem, "sample": sample, "step": step, "logit": float(value)}
        for model, answers in logits.items()
        for (problem, sample), values in answers.items()
        for step, value in enumerate(values)
    ]
    pd.DataFrame(steps).to_parquet(tmp_path / "steps.parquet")
    pd.DataFrame(scores).to_parquet(tmp_path / "scores.parquet")
    meta = {
        "schema": 1,
        "task": "arithmetic",
        "split": "validation",
        "completions": 4,
        "samples_per_problem": 2,
        "problems": 2,
        "decoding": {"temperature": 1.0},
        "inputs": {},
        "models": {"ORM": {"kind": "outcome", "labels": "outcome"}, "PRM": {"kind": "process", "labels": "shepherd_hard"}},
    }
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    return tmp_path


def value(frame, **where):
    rows = frame
    for name, wanted in where.items():
        rows = rows[rows[name] == wanted]
    assert len(rows) == 1, where
    return rows["estimate"].iloc[0]


def test_table_by_hand(quality):
    frame = module.table(module.read_quality(quality))
    # inner steps: exact T T | T F | F | T; hard at N=1: T F | F F | F | T -> 4 of 6; at N=4: T T | F T | F | T -> 4 of 6
    assert value(frame, measure="label_accuracy", subject="hard", n=1) == pytest.approx(4 / 6)
    assert value(frame, measure="label_accuracy", subject="hard", n=4) == pytest.approx(4 / 6)
    assert value(frame, measure="label_false_pos", subject="hard", n=4) == pytest.approx(1 / 2)
    assert value(frame, measure="label_false_neg", subject="hard", n=4) == pytest.approx(1 / 4)
    # soft at N=4 counts from one half: .5 .25 | 0 .25 | 0 | 1 -> T F | F F | F | T -> 4 of 6
    assert value(frame, measure="label_accuracy", subject="soft", n=4) == pytest.approx(4 / 6)
    # PRM > 0 on ten steps: T T T | T F T | F T | T T against T T T | T F F | F F | T T
    assert value(frame, measure="step_accuracy", subject="PRM") == pytest.approx(8 / 10)
    # first errors: none, 1, 0, none; predicted the same
    assert value(frame, measure="first_error", subject="PRM") == 1.0
    assert value(frame, measure="answer_accuracy", subject="PRM", reduction="min") == 1.0
    assert value(frame, measure="answer_accuracy", subject="PRM", reduction="last") == 0.5
    # products: a0 .731*.881*.622=.401 a1 .731*.269*.953=.187, b0 .119*.731=.087 b1 .982*.550=.540: one right answer below 1/2
    assert value(frame, measure="answer_accuracy", subject="PRM", reduction="product") == 0.75
    assert value(frame, measure="answer_auc", subject="PRM", reduction="min") == 1.0
    assert value(frame, measure="answer_auc", subject="ORM", reduction="last") == pytest.approx(1 / 4)
    assert value(frame, measure="answer_auc_within", subject="ORM", reduction="last") == pytest.approx(1 / 2)
    assert value(frame, measure="best_of_k", subject="ORM", k=1) == 0.5
    assert value(frame, measure="best_of_k", subject="ORM", k=2) == 0.5
    assert value(frame, measure="best_of_k", subject="PRM", k=2, reduction="min") == 1.0
    assert value(frame, measure="best_of_k", subject=module.BLIND, k=2) == 0.5
    assert value(frame, measure="best_of_k", subject=module.PERFECT, k=2) == 1.0


def test_an_outcome_model_is_calibrated_on_answers(quality):
    frame = module.table(module.read_quality(quality))
    assert frame[(frame["measure"] == "reliability") & (frame["subject"] == "ORM")]["count"].sum() == 4
    assert frame[(frame["measure"] == "reliability") & (frame["subject"] == "PRM")]["count"].sum() == 10


def test_predictions_are_probabilities_of_what_a_model_is_trained_on(quality):
    frame = module.table(module.read_quality(quality))
    rows = frame[frame["measure"] == "reliability"]
    expected = {"ORM": [2.0, 1.0, 3.0, -1.0], "PRM": [1, 2, 0.5, 1, -1, 3, -2, 1, 4, 0.2]}
    for model, logits in expected.items():
        part = rows[rows["subject"] == model]
        mean = (part["predicted"] * part["count"].astype(float)).sum() / part["count"].sum()
        assert mean == pytest.approx(np.mean(1 / (1 + np.exp(-np.array(logits)))))


def test_written_table_and_figure(quality, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["tables", str(quality), f"out={out}"]) == 0
    assert "PRM" in capsys.readouterr().out
    table, provenance = read_table(out / module.TABLE)
    assert set(table["measure"]) >= {"label_accuracy", "step_auc", "ece", "reliability", "best_of_k"}
    assert provenance["models"]["PRM"]["kind"] == "process"
    files = figure.draw(out, out)
    assert [path.suffix for path in files] == [".pdf", ".png", ".md"]
    assert all(path.stat().st_size > 200 for path in files)
    assert "hard step labels" in files[2].read_text().replace("\n", " ")


def test_a_policy_that_is_never_right_has_no_auc_but_a_table_and_a_figure(quality, tmp_path):
    steps = pd.read_parquet(quality / "steps.parquet").assign(exact=False, outcome=False)
    steps.to_parquet(quality / "steps.parquet")
    frame = module.write(quality, tmp_path / "out")
    assert frame["estimate"].notna().all()
    assert not frame["measure"].isin(["step_auc", "answer_auc", "answer_auc_within", "label_false_neg"]).any()
    assert figure.draw(tmp_path / "out", tmp_path / "out")


def test_what_is_missing_is_named(quality, tmp_path):
    with pytest.raises(DataError, match="unified-rl reward-models"):
        figure.draw(tmp_path / "nowhere", tmp_path)
    scores = pd.read_parquet(quality / "scores.parquet")
    scores.iloc[1:].to_parquet(quality / "scores.parquet")
    with pytest.raises(DataError, match="ORM has scores for 9 of 10 steps"):
        module.table(module.read_quality(quality))
    steps = pd.read_parquet(quality / "steps.parquet").assign(exact=None)
    steps.to_parquet(quality / "steps.parquet")
    with pytest.raises(DataError, match="no oracle"):
        module.read_quality(quality)
    (quality / "meta.json").unlink()
    with pytest.raises(DataError, match=str(quality)):
        module.read_quality(quality)


def test_first_errors_by_hand(tmp_path: Path):
    solutions = pd.DataFrame(
        {
            "solution": [0, 1, 2, 3, 4],
            "source": ["x", "x", "x", "y", "y"],
            "num_steps": [3, 2, 2, 3, 2],
            "first_error": [1, 0, -1, -1, 1],
            "logits": [[1.0, -1.0, 2.0], [0.5, -0.5], [1.0, 2.0], [1.0, 0.0, 3.0], None],
        }
    )
    solutions.to_parquet(tmp_path / "solutions.parquet")
    (tmp_path / "meta.json").write_text(json.dumps({"schema": 1}))
    frame = first_error.write(tmp_path, tmp_path)
    assert value(frame, source="all", measure="erroneous") == 0.5
    assert value(frame, source="all", measure="correct") == 0.5  # a probability of one half is a doubt
    assert value(frame, source="all", measure="f1") == 0.5
    assert value(frame, source="x", measure="correct") == 1.0
    assert value(frame, source="all", measure="middle") == 1.0
    # right: 1 | | 1 2 | 1 0 3; first errors: -1, .5 -> 11 of 12 pairs
    assert value(frame, source="all", measure="step_auc") == pytest.approx(11 / 12)
    assert frame[frame["source"] == "y"]["left_out"].tolist() == [1] * (frame["source"] == "y").sum()
