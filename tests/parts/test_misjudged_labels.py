"""Labels of a reward model's data turned over by a dial: at the stated rates, alike each time, and only where they are meant to."""

from __future__ import annotations

import numpy as np
import pytest

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Problem, Prompt, Response
from unified_rl.config.reward_models import RewardModelConfig
from unified_rl.presets.loading import load_config
from unified_rl.stages.kinds import reward_model
from unified_rl.stages.reward_model import LabelledResponse, misjudged


def data(count: int, labels: tuple[float, ...]) -> list[LabelledResponse]:
    made = []
    for place in range(count):
        prompt = Prompt(Problem(f"p{place % 7}", "?", "1"), (1,))
        response = Response(np.array([place, 2]), np.zeros(2, dtype=np.float32), "stop", 0, None, place, "")
        made.append(LabelledResponse(prompt, response, np.arange(len(labels)), np.array(labels)))
    return made


def test_rates_are_those_stated_each_for_its_kind():
    found = misjudged(data(4000, (1.0, 0.0)), RewardModelConfig(label_false_positive=0.3, label_false_negative=0.1))
    labels = np.stack([item.labels for item in found])
    for share, rate in ((1 - labels[:, 0].mean(), 0.1), (labels[:, 1].mean(), 0.3)):
        assert abs(share - rate) < 4 * np.sqrt(rate * (1 - rate) / 4000)


def test_the_same_response_is_judged_alike_and_another_seed_otherwise():
    section = RewardModelConfig(label_false_positive=0.5, label_false_negative=0.5)
    once, again = (np.stack([item.labels for item in misjudged(data(200, (1.0,)), section)]) for _ in range(2))
    other = np.stack([item.labels for item in misjudged(data(200, (1.0,)), RewardModelConfig(seed=1, **rates(0.5)))])
    assert (once == again).all() and (once != other).any()


def rates(share: float) -> dict[str, float]:
    return {"label_false_positive": share, "label_false_negative": share}


def test_nothing_is_touched_without_a_dial_and_unknown_labels_never():
    given = data(50, (1.0, np.nan, 0.0))
    assert misjudged(given, RewardModelConfig()) == given
    turned = np.stack([item.labels for item in misjudged(given, RewardModelConfig(**rates(1.0)))])
    assert np.isnan(turned[:, 1]).all() and (turned[:, 0] == 0).all() and (turned[:, 2] == 1).all()


def test_the_dial_is_part_of_the_models_key_only_where_it_is_turned():
    keys = [
        reward_model.stage(reward_model.as_run(load_config(["method=grpo_ps", "reward=model", *words])), {}).key()
        for words in ([], ["reward_model.label_false_positive=0"], ["reward_model.label_false_positive=0.1"])
    ]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"label_false_positive": 1.5}, "label_false_positive"),
        ({"labels": "shepherd_soft", "label_false_negative": 0.1}, "are shares; set reward_model.labels=exact"),
    ],
)
def test_a_dial_that_means_nothing_is_refused(words, says):
    with pytest.raises(ConfigError, match=says):
        RewardModelConfig(**words)
