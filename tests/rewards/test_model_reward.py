"""A reward model's output as a reward: every named setting by hand, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Response
from unified_rl.rewards import ModelReward, OverlongPenalty, build_segmenter
from unified_rl.rewards.model import min_form, sigmoid
from unified_rl.tasks.arithmetic import Arithmetic
from unified_rl.tasks.templates import encode
from unified_rl.tasks.tokenizers import word_tokenizer

TASK = Arithmetic()
WORDS = word_tokenizer(TASK.corpus())
PROMPT = encode(TASK.problems("train", 1)[0], WORDS, "arithmetic")
SEGMENTER = build_segmenter("newline", TASK, WORDS)

# Three lines, 6 tokens each but the last: steps end at tokens 5, 11 and 14 (EOS).
TEXT = "1+1=2\n2+1=3\n#### 3"
ENDS = [5, 11, 14]
LOGITS = {5: np.log(9.0), 11: np.log(1 / 4), 14: np.log(3.0)}  # probabilities 0.9, 0.2, 0.75


class Fixed:
    """Logits by place, 99 wherever nobody should look."""

    def __init__(self, kind, logits=LOGITS):
        self.kind, self.logits = kind, logits

    def scores(self, prompts, responses):
        assert len(prompts) == len(responses)
        return [np.array([self.logits.get(t, 99.0) for t in range(len(one))], dtype=np.float32) for one in responses]


def respond(text):
    ids = [*WORDS.encode(text, add_special_tokens=False), WORDS.eos_token_id]
    return Response(np.array(ids), np.zeros(len(ids), np.float32), "stop", 0, None, 0, text)


def score(kind, supervision, **settings):
    reward = ModelReward(TASK, Fixed(kind), SEGMENTER, supervision=supervision, **settings)
    return reward.score([PROMPT], [[respond(TEXT)]])[0][0]


@pytest.mark.parametrize(
    ("kind", "settings", "expected", "accepted"),
    [
        ("process", {}, 0.2, False),  # min, Math-Shepherd's solution score
        ("process", {"reduction": "product"}, 0.9 * 0.2 * 0.75, False),
        ("process", {"reduction": "last"}, 0.75, True),
        ("process", {"output": "logit"}, np.log(1 / 4), False),
        ("process", {"output": "logit", "reduction": "last"}, np.log(3.0), True),
        ("outcome", {}, 0.75, True),
        ("outcome", {"output": "logit", "reduction": "last"}, np.log(3.0), True),
    ],
)
def test_outcome_supervision(kind, settings, expected, accepted):
    found = score(kind, "outcome", **settings)
    assert found.reward == pytest.approx(expected, rel=1e-6)
    assert (found.accepted, found.judged_correct) == (accepted, accepted)
    assert found.step_rewards is None
    assert found.step_ends is None


def test_the_rule_s_facts_are_kept_apart():
    found = score("process", "outcome", reduction="last")
    check = TASK.check_answer(PROMPT.problem, TEXT)
    assert (found.verdict, found.answer, found.answer_class) == (check.verdict, "3", "3")
    assert found.verdict == "incorrect"
    assert found.judged_correct


def test_sum_form_passes_the_steps_on():
    found = score("process", "process")
    assert found.step_ends.tolist() == ENDS
    np.testing.assert_allclose(found.step_rewards, [0.9, 0.2, 0.75], rtol=1e-6)
    assert found.step_rewards.dtype == np.float32
    assert found.reward == pytest.approx(0.2)
    np.testing.assert_allclose(
        score("process", "process", output="logit").step_rewards, [np.log(9), np.log(1 / 4), np.log(3)], rtol=1e-6
    )


def test_min_form_by_hand():
    """T = 0.5: weights exp(-1.8), exp(-0.4), exp(-1.5), normalised."""
    weights = np.exp([-1.8, -0.4, -1.5])
    weights /= weights.sum()
    found = score("process", "process", form="min", temperature=0.5).step_rewards
    np.testing.assert_allclose(found, weights * [0.9, 0.2, 0.75], rtol=1e-6)
    cold = score("process", "process", form="min", temperature=0.01).step_rewards
    np.testing.assert_allclose(cold, [0.0, 0.2, 0.0], atol=1e-9)


@given(
    rewards=arrays(np.float64, st.integers(1, 8), elements=st.floats(-5, 5)),
    temperature=st.floats(0.01, 10),
)
def test_min_form_adds_up_to_between_minimum_and_mean(rewards, temperature):
    total = min_form(rewards, temperature).sum()
    assert rewards.min() - 1e-9 <= total <= rewards.mean() + 1e-9


def test_min_form_of_equal_steps_shares_equally():
    np.testing.assert_allclose(min_form(np.full(4, 0.6), 0.1), np.full(4, 0.15))


def test_sigmoid_of_extreme_logits():
    with np.errstate(all="raise", under="ignore"):
        assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


def test_groups_keep_their_responses():
    """Responses of unequal groups come back where they belong."""

    class ByLength(Fixed):
        def scores(self, prompts, responses):
            return [np.full(len(one), float(len(one)), dtype=np.float32) for one in responses]

    groups = [[respond("1"), respond("1+1=2\n")], [respond("12")]]
    found = ModelReward(TASK, ByLength("outcome"), SEGMENTER, supervision="outcome", output="logit").score(
        [PROMPT, PROMPT], groups
    )
    assert [[one.reward for one in group] for group in found] == [[2.0, 7.0], [3.0]]


def test_a_length_penalty_keeps_the_judgement():
    reward = OverlongPenalty(ModelReward(TASK, Fixed("outcome"), SEGMENTER, supervision="outcome"), max_tokens=15, margin=15)
    found = reward.score([PROMPT], [[respond(TEXT)]])[0][0]
    assert found.reward == pytest.approx(-0.25)
    assert found.accepted is True


@pytest.mark.parametrize(
    ("kind", "supervision", "settings", "message"),
    [
        ("outcome", "process", {}, "reward_model.kind=process"),
        ("outcome", "outcome", {"reduction": "min"}, "reduction=last"),
        ("process", "outcome", {"output": "logit", "reduction": "product"}, "product of logits"),
        ("process", "outcome", {"output": "odds"}, "reward.output"),
        ("process", "outcome", {"reduction": "mean"}, "reward.reduction"),
        ("process", "process", {"form": "max"}, "reward.form"),
        ("process", "process", {"form": "min", "temperature": 0.0}, "reward.temperature"),
        ("process", "none", {}, "reward.supervision"),
    ],
)
def test_settings_that_mean_nothing_are_refused(kind, supervision, settings, message):
    with pytest.raises(ConfigError, match=message):
        score(kind, supervision, **settings)
