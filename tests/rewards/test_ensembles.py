"""Ensembles of reward models: by hand, and what holds of every pessimism."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from unified_rl.base.errors import ConfigError
from unified_rl.rewards.ensembles import PESSIMISMS, EnsembleScorer, combined
from unified_rl.rewards.model import sigmoid

VALUES = arrays(np.float64, (3, 4), elements=some.floats(-5, 5))


class Says:
    kind = "outcome"

    def __init__(self, *logits):
        self._logits = np.array(logits, dtype=np.float32)

    def scores(self, prompts, responses):
        return [self._logits for _ in responses]


def test_each_pessimism_by_hand():
    values = np.array([[0.2], [0.8]])
    assert combined(values, "mean", 1.0) == pytest.approx([0.5])
    assert combined(values, "minus_std", 0.5) == pytest.approx([0.5 - 0.5 * 0.3])
    assert combined(values, "worst", 1.0) == pytest.approx([0.2])
    expected = -0.5 * np.log((np.exp(-0.2 / 0.5) + np.exp(-0.8 / 0.5)) / 2)
    assert combined(values, "soft", 0.5) == pytest.approx([expected])


@given(VALUES, some.floats(0.05, 5))
def test_no_pessimism_is_above_the_mean_nor_soft_outside_worst_and_mean(values, scale):
    mean, worst = combined(values, "mean", scale), combined(values, "worst", scale)
    soft = combined(values, "soft", scale)
    assert (combined(values, "minus_std", scale) <= mean + 1e-9).all()
    assert (soft <= mean + 1e-9).all()
    assert (soft >= worst - 1e-9).all()
    assert np.allclose(combined(values, "soft", 1e-3), worst, atol=1e-2)
    assert np.allclose(combined(values, "soft", 1e5), mean, atol=1e-3)


@pytest.mark.parametrize("scale", [1e5, 1e14, 1e17, 1e300])
def test_soft_is_the_mean_at_every_large_scale(scale):
    values = np.array([[0.2, -7.0], [0.8, 9.0], [0.3, 2.0]])
    assert combined(values, "soft", scale) == pytest.approx(values.mean(0), abs=1e-3)


@pytest.mark.parametrize("pessimism", PESSIMISMS)
@pytest.mark.parametrize("output", ["probability", "logit"])
def test_members_that_agree_are_one(pessimism, output):
    scorer = EnsembleScorer([Says(-1.5, 0.0, 2.0)] * 3, output, pessimism, 1.0)
    assert scorer.kind == "outcome"
    assert scorer.scores([None], [None])[0].tolist() == pytest.approx([-1.5, 0.0, 2.0], abs=1e-6)


def test_probabilities_are_combined_as_probabilities():
    (found,) = EnsembleScorer([Says(-1.0), Says(3.0)], "probability", "mean", 1.0).scores([None], [None])
    assert sigmoid(found) == pytest.approx([(sigmoid(-1.0) + sigmoid(3.0)) / 2])


def test_a_pessimism_below_every_probability_is_finite():
    (found,) = EnsembleScorer([Says(-9.0), Says(9.0)], "probability", "minus_std", 5.0).scores([None], [None])
    assert np.isfinite(found).all()
    assert sigmoid(found.astype(np.float64))[0] < 1e-5


def test_what_means_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"reward\.pessimism='fear'"):
        EnsembleScorer([Says(0.0)], "logit", "fear", 1.0)
    with pytest.raises(ConfigError, match=r"reward\.pessimism_scale"):
        EnsembleScorer([Says(0.0)], "logit", "soft", 0.0)
