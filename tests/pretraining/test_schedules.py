"""Schedules of the learning rate, against the values that the paper and their definitions state."""

from __future__ import annotations

import math

import pytest

from unified_rl.base.errors import ConfigError
from unified_rl.presets.loading import load_config
from unified_rl.stages.fingerprints import trainer_settings
from unified_rl.stages.optimisers import adamw


def rates(*words):
    options = adamw(load_config(["method=sft", "trainer.steps=1000", "trainer.learning_rate=2", *words]).trainer)
    return [options.rate(update) for update in range(1000)]


def test_the_papers_steps():
    """To 31.6 % of the peak after 80 % of the run, to 10 % after 90 %; a linear rise before."""
    found = rates("trainer.schedule=multi_step", "trainer.warmup_steps=100")
    assert found[0] == pytest.approx(2 / 100) and found[49] == pytest.approx(1) and found[99] == found[799] == 2
    assert found[800] == found[899] == pytest.approx(0.632) and found[900] == found[999] == pytest.approx(0.2)


def test_cosine_falls_from_the_end_of_the_warm_up_to_the_final_rate():
    found = rates("trainer.schedule=cosine", "trainer.warmup_steps=200", "trainer.final_rate=0.25")
    assert found[199] == found[200] == 2
    assert found[600] == pytest.approx(2 * (0.25 + 0.75 * 0.5))
    assert found[400] == pytest.approx(2 * (0.25 + 0.75 * (1 + math.cos(math.pi / 4)) / 2))
    assert found[999] == pytest.approx(0.5, abs=1e-4)


def test_wsd_is_constant_and_falls_at_the_end():
    found = rates("trainer.schedule=wsd", "trainer.final_rate=0", "trainer.decay_share=0.1")
    assert set(found[:901]) == {2}
    assert found[950] == pytest.approx(1) and found[999] == pytest.approx(0.02)


def test_what_a_schedule_does_not_read_is_in_no_key():
    def settings(*words):
        return trainer_settings(load_config(["method=sft", *words]).trainer)

    assert settings("trainer.rates=[0.5,0.2]") == settings()
    assert "rates" not in settings() and "final_rate" not in settings("trainer.schedule=multi_step")
    steps = settings("trainer.schedule=multi_step")
    assert steps != settings("trainer.schedule=multi_step", "trainer.rates=[0.5,0.2]")


@pytest.mark.parametrize("word", ["trainer.milestones=[0.9,0.8]", "trainer.rates=[0.1]", "pretraining.final_rate=2"])
def test_a_shape_that_is_none_is_refused(word):
    with pytest.raises(ConfigError, match=r"milestones=.*rates=|pretraining.final_rate=2"):
        load_config(["method=sft", word])
