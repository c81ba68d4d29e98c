"""Tables of pre-trainings: where a level is reached, tokens of the stages before, and contrasts against SciPy's own tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unified_rl.statistics.grid_file import Primary
from unified_rl.statistics.pretraining import LEFT_AT_HALF, MEASURES, contrasts, first_at, tokens_before


def test_a_level_is_reached_on_the_line_between_two_measurements():
    tokens = np.array([100.0, 200, 300, 400])
    assert first_at(tokens, np.array([0.1, 0.3, 0.7, 0.2]), 0.5) == pytest.approx(250)
    assert first_at(tokens, np.array([0.6, 0.3, 0.7, 0.2]), 0.5) == 100
    assert np.isnan(first_at(tokens, np.array([0.1, 0.3, 0.4, 0.2]), 0.5))


def test_tokens_of_the_stages_before_are_those_of_its_chain():
    stage = {"kind": "pretrain", "settings": {"pretraining": {"tokens": 70}}, "inputs": {"policy": "base"}}
    config = {
        "init": "second",
        "pretraining": {"tokens": 5},
        "stages": {
            "base": {"kind": "base"},
            "first": stage,
            "second": {"kind": "pretrain", "inputs": {"policy": "first"}},
            "other": stage,
        },
    }
    assert tokens_before(config) == 75
    assert tokens_before({**config, "init": "base"}) == 0


def runs(differences, seeds=8):
    rows = []
    for seed in range(seeds):
        for label, add in (("a", differences[seed]), ("b", 0.0)):
            rows.append({"label": label, "seed": seed, **dict.fromkeys(MEASURES, 0.3 + 0.01 * seed + add)})
    return pd.DataFrame(rows)


def test_contrasts_are_students_over_the_seeds_differences():
    differences = np.random.default_rng(1).normal(0.04, 0.05, 8)
    primary = [Primary("a", "b", LEFT_AT_HALF, 0.05)]
    found = {row["metric"]: row for row in contrasts(runs(differences), [("a", "b")], primary)}
    test = stats.ttest_1samp(differences, 0)
    low, high = test.confidence_interval(0.95)
    row = found["loss"]
    assert (row["estimate"], row["low"], row["high"], row["p"]) == pytest.approx((differences.mean(), low, high, test.pvalue))
    beyond = [
        stats.ttest_1samp(differences, -0.05, alternative="greater").pvalue,
        stats.ttest_1samp(differences, 0.05, alternative="less").pvalue,
    ]
    assert found[LEFT_AT_HALF]["p_equivalent"] == pytest.approx(max(beyond))
    assert "p_equivalent" not in row and row["num_seeds"] == 8


@pytest.mark.parametrize(
    ("differences", "conclusion"),
    [
        ([0.2] * 7 + [0.21], "supported"),
        ([-0.2] * 7 + [-0.21], "contradicted"),
        ([0.001] * 4 + [-0.001] * 4, "equivalent within the margin"),
        ([0.0] * 8, "equivalent within the margin"),
        ([0.5, -0.5] * 4, "cannot tell"),
    ],
)
def test_the_primary_contrast_has_a_conclusion(differences, conclusion):
    found = contrasts(runs(differences), [("a", "b")], [Primary("a", "b", LEFT_AT_HALF, 0.05, expected="above")])
    assert found[0]["conclusion"] == conclusion
    assert all("conclusion" not in row for row in found[1:])


def test_few_seeds_have_no_interval():
    found = contrasts(runs([0.1, 0.2], seeds=2), [("a", "b")])
    assert all("p" not in row and "low" not in row and row["note"] for row in found)
