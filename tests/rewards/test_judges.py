"""Judges with a dial: their rates lie in their intervals, whatever errs together; controls; and corrections for what errs."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy import stats
from scored import PROMPTS, TASK, WORDS, Given, only, respond

from unified_rl import coefficients as c
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import Problem, Prompt, Score
from unified_rl.grading.forms import form
from unified_rl.loop.rollout import collate, facts
from unified_rl.ops import advantages
from unified_rl.rewards import ExactProcessReward, NoisyReward, OutcomeReward, controls
from unified_rl.rewards.corrections import CorrectedReward, measured_rates
from unified_rl.rewards.judges import Dial
from unified_rl.sources.online import score_groups


def within(count, total, rate):
    """Whether a count is one of the 99.9 % usual ones at this rate."""
    return stats.binomtest(int(count), int(total), rate).pvalue > 0.001


@pytest.mark.parametrize(("false_positive", "false_negative", "values"), [(0.1, 0.3, (1.0, 0.0)), (0.25, 0.0, (1.0, -1.0))])
def test_outcome_noise_has_the_stated_rates(false_positive, false_negative, values):
    groups = [[respond(TASK.solution(prompt.problem)), *(respond(f"#### {k}") for k in (1000, 1001))] for prompt in PROMPTS]
    names = {"correct": values[0], "incorrect": values[1]}
    rule = OutcomeReward(TASK, **names)
    noisy = NoisyReward(rule, Dial(false_positive, false_negative), seed=3, **names)
    found = noisy.score(PROMPTS, groups)
    assert {one.reward for group in found for one in group} <= set(values)
    assert all(one.accepted == (one.reward == values[0]) for group in found for one in group)
    assert all(group[0].verdict == "correct" and group[1].verdict == "incorrect" for group in found), "facts are not disturbed"
    missed = sum(not group[0].accepted for group in found)
    passed = sum(one.accepted for group in found for one in group[1:])
    assert within(missed, len(found), false_negative)
    assert within(passed, 2 * len(found), false_positive)


def test_step_noise_is_independent_and_has_the_stated_rates():
    groups = [[respond(TASK.solution(prompt.problem))] for prompt in PROMPTS]
    noisy = NoisyReward(ExactProcessReward(TASK, WORDS), Dial(0.0, 0.2), seed=0)
    steps = [group[0].step_rewards for group in noisy.score(PROMPTS, groups)]
    flipped = np.concatenate([row == 0 for row in steps])
    assert within(flipped.sum(), len(flipped), 0.2)
    first, second = (np.array([row[place] == 0 for row in steps]) for place in (0, 1))
    assert within((first & second).sum(), len(steps), 0.04), "neighbouring steps err independently"


def test_the_same_response_is_always_judged_alike():
    groups = [[respond(TASK.solution(prompt.problem))] for prompt in PROMPTS[:60]]
    make = lambda seed: NoisyReward(OutcomeReward(TASK), Dial(0.0, 0.5), seed=seed)  # noqa: E731
    whole = [group[0].reward for group in make(0).score(PROMPTS[:60], groups)]
    single = [make(0).score([prompt], [group])[0][0].reward for prompt, group in zip(PROMPTS[:60], groups, strict=True)]
    assert whole == single
    assert whole != [group[0].reward for group in make(1).score(PROMPTS[:60], groups)], "another seed, other errors"
    assert len(set(whole)) == 2


def test_no_noise_changes_nothing_and_full_noise_everything():
    groups = [[respond(TASK.solution(prompt.problem)), respond("#### 1000")] for prompt in PROMPTS[:20]]
    for rate, expected in ((0.0, [1.0, 0.0]), (1.0, [0.0, 1.0])):
        noisy = NoisyReward(OutcomeReward(TASK), Dial(rate, rate), seed=0)
        assert all([one.reward for one in group] == expected for group in noisy.score(PROMPTS[:20], groups))


def test_training_sees_the_noise_and_the_record_the_truth():
    groups = [[respond(TASK.solution(PROMPTS[0].problem)), respond("#### 1000")]]
    noisy = NoisyReward(OutcomeReward(TASK), Dial(1.0, 1.0), seed=0)
    rollout = collate(score_groups(noisy, PROMPTS[:1], groups), "cpu", process=False, pairs=False)
    assert rollout.inputs.correct_B.tolist() == [0.0, 1.0]
    assert [one.score.verdict for one in rollout.scored] == ["correct", "incorrect"]


def test_graded_rewards_and_empty_scales_are_refused():
    with pytest.raises(ConfigError, match="not a graded reward"):
        only(NoisyReward(Given(0.7), Dial(0.1, 0.1), seed=0))
    with pytest.raises(ConfigError, match="nothing to confuse"):
        NoisyReward(Given(1.0), Dial(0.1, 0.1), seed=0, correct=1.0, incorrect=1.0)
    with pytest.raises(ConfigError, match=r"reward\.false_positive"):
        NoisyReward(Given(1.0), Dial(-0.1, 0.1), seed=0)


def wrong_answers(prompt, count):
    """Wrong final answers of lengths that differ."""
    gold = int(prompt.problem.gold)
    return [respond("1+1=2\n" * (k % 8) + f"#### {gold + 1 + k}") for k in range(count)]


def measured(groups, found):
    """(wrong accepted, wrong, right rejected, right) over all responses."""
    pairs = [(one.verdict == "correct", one.judged_correct) for group in found for one in group]
    wrong, right = ([accepted for truth, accepted in pairs if truth is which] for which in (False, True))
    return sum(wrong), len(wrong), sum(not accepted for accepted in right), len(right)


GROUPS = [[respond(TASK.solution(prompt.problem)), *wrong_answers(prompt, 5)] for prompt in PROMPTS]


@pytest.mark.parametrize("unit", ["response", "answer", "problem"])
def test_rates_lie_in_their_intervals_whatever_errs_together(unit):
    judge = NoisyReward(OutcomeReward(TASK), Dial(0.2, 0.3, unit), seed=1)
    found = judge.score(PROMPTS, GROUPS)
    passed, wrong, missed, right = measured(GROUPS, found)
    assert within(missed, right, 0.3)
    if unit == "problem":  # all wrong answers to a problem are judged alike, so problems are what is counted
        alike = [{one.judged_correct for one in group[1:]} for group in found]
        assert all(len(one) == 1 for one in alike)
        assert within(sum(True in one for one in alike), len(alike), 0.2)
    else:
        assert within(passed, wrong, 0.2)
    rollout = collate(score_groups(judge, PROMPTS, GROUPS), "cpu", process=False, pairs=False)
    assert facts(rollout)["reward/false_positive"] == passed / wrong
    assert facts(rollout)["reward/false_negative"] == missed / right


def test_an_answer_is_judged_alike_however_it_is_reached():
    answers = [[respond("#### 1000"), respond("1+1=2\n#### 1000"), respond("#### 1001")] for _ in PROMPTS]
    by_answer = NoisyReward(OutcomeReward(TASK), Dial(0.5, 0.0, "answer"), seed=0).score(PROMPTS, answers)
    assert all(group[0].reward == group[1].reward for group in by_answer)
    assert any(group[0].reward != group[2].reward for group in by_answer)
    by_response = NoisyReward(OutcomeReward(TASK), Dial(0.5, 0.0), seed=0).score(PROMPTS, answers)
    assert any(group[0].reward != group[1].reward for group in by_response)


@pytest.mark.parametrize(("by", "centre", "kinds"), [("length", 14.0, 3), ("steps", 3.0, 3), ("ends_in:7", 0.5, 2)])
def test_rates_follow_length_difficulty_or_form(by, centre, kinds):
    dial = Dial(0.3, 0.0, by=by, slope=0.4, centre=centre)
    found = NoisyReward(OutcomeReward(TASK), dial, seed=2).score(PROMPTS, GROUPS)
    by_rate = {}
    for prompt, group, scores in zip(PROMPTS, GROUPS, found, strict=True):
        for response, score in zip(group[1:], scores[1:], strict=True):
            by_rate.setdefault(dial.rates(prompt, response, score)[0], []).append(score.judged_correct)
    assert len(by_rate) >= kinds
    assert min(by_rate) < 0.3 < max(by_rate)
    assert all(within(sum(accepted), len(accepted), rate) for rate, accepted in by_rate.items())


def test_rates_along_what_a_problem_does_not_have_are_refused():
    with pytest.raises(DataError, match=r"noise_by=level.*its info has slice, steps"):
        NoisyReward(OutcomeReward(TASK), Dial(0.1, 0.1, by="level", slope=1.0), seed=0).score(PROMPTS[:1], GROUPS[:1])


def test_the_share_of_wrong_answers_with_a_form_is_counted():
    rollout = collate(score_groups(OutcomeReward(TASK), PROMPTS, GROUPS), "cpu", process=False, pairs=False)
    wrong = [item.score.answer for item in rollout.scored if item.score.verdict != "correct"]
    counted = facts(rollout, form("ends_in:7", "logging.form"))["reward/wrong_of_form"]
    assert counted == sum(answer[-1] == "7" for answer in wrong) / len(wrong) and 0 < counted < 1
    assert "reward/wrong_of_form" not in facts(rollout)
    right = collate(
        score_groups(OutcomeReward(TASK), PROMPTS, [group[:1] for group in GROUPS]), "cpu", process=False, pairs=False
    )
    assert "reward/wrong_of_form" not in facts(right, form("ends_in:7", "logging.form")), "of nothing there is no share"


def test_a_loophole_lets_its_wrong_form_through_and_no_other():
    dial = Dial(loophole=form("ends_in:7", "reward.loophole"))
    found = NoisyReward(OutcomeReward(TASK), dial, seed=0).score(PROMPTS, GROUPS)
    for group in found:
        assert all(one.judged_correct == (one.verdict == "correct" or one.answer.endswith("7")) for one in group)
    assert any(one.judged_correct and one.verdict != "correct" for group in found for one in group)


@pytest.mark.parametrize(
    ("name", "text", "holds"),
    [
        ("ends_in:7", "#### 17", True),
        ("ends_in:7", "17\n#### 18", False),
        ("contains:+", "1+1=2\n#### 2", True),
        ("contains:+", "#### 2", False),
        ("lines_under:2", "#### 2", True),
        ("lines_under:2", "1+1=2\n#### 2", False),
        ("tokens_over:3", "1+1=2\n#### 2", True),
        ("tokens_over:50", "#### 2", False),
    ],
)
def test_forms_of_a_response(name, text, holds):
    score = OutcomeReward(TASK).score_one(PROMPTS[0], respond(text))
    assert form(name, "reward.pattern")(text, score.answer, len(respond(text))) is holds


@pytest.mark.parametrize("name", ["ends_in:", "lines_under:x", "regex:(a+)+", "contains"])
def test_unknown_forms_are_refused(name):
    with pytest.raises(ConfigError, match=r"reward\.pattern=.*choose one of: ends_in:TEXT"):
        form(name, "reward.pattern")


def test_controls_by_hand():
    gold = PROMPTS[0].problem.gold
    group = [respond(f"#### {answer}") for answer in (gold, 1000, 1001, 1000)] + [respond("1+1=2")]
    say = lambda accepts: [one.judged_correct for one in controls.ControlReward(TASK, accepts).score(PROMPTS[:1], [group])[0]]  # noqa: E731
    assert say(controls.majority) == [False, True, False, True, False]
    assert say(controls.wrong) == [False, True, True, True, False]
    assert say(controls.by_form(form("contains:####", "reward.pattern"))) == [True, True, True, True, False]
    assert say(controls.by_chance(0.0, 0)) == [False] * 5
    paid = controls.ControlReward(TASK, controls.wrong, correct=2.0, incorrect=-1.0)
    assert [one.reward for one in paid.score(PROMPTS[:1], [group])[0]] == [-1, 2, 2, 2, -1]


def test_of_equal_majorities_the_first_met_wins_and_silence_elects_nobody():
    scores = lambda *classes: [Score(0.0, "incorrect", one, one) for one in classes]  # noqa: E731
    assert controls.majority(PROMPTS[0], [], scores("b", "a", "a", "b")) == [True, False, False, True]
    assert controls.majority(PROMPTS[0], [], scores(None, None, "a")) == [False, False, True]
    assert controls.majority(PROMPTS[0], [], scores(None, None)) == [False, False]


def test_chance_has_its_rate_and_is_the_same_for_the_same_response():
    reward = controls.ControlReward(TASK, controls.by_chance(0.3, seed=4))
    found = [one.judged_correct for group in reward.score(PROMPTS, GROUPS) for one in group]
    assert within(sum(found), len(found), 0.3)
    assert found == [one.judged_correct for group in reward.score(PROMPTS, GROUPS) for one in group]


def corrected(kind, rates, values=(1.0, 0.0)):
    """The corrected reward of an accepted and of a rejected response."""
    names = dict(zip(("correct", "incorrect"), values, strict=True))
    judge = NoisyReward(OutcomeReward(TASK, **names), Dial(), seed=0, **names)
    reward = CorrectedReward(judge, judge.values, kind, lambda prompt, response, score: rates)
    return [one.reward for one in reward.score(PROMPTS[:1], [GROUPS[0][:2]])[0]]


@given(some.floats(0, 0.49), some.floats(0, 0.49), some.sampled_from([(1.0, 0.0), (1.0, -1.0), (2.0, 0.5)]))
@settings(max_examples=30, deadline=None)
def test_backward_is_unbiased_and_forward_in_the_direction_of_the_truth(false_positive, false_negative, values):
    correct, incorrect = values
    for kind in ("backward", "forward"):
        accepting, rejecting = corrected(kind, (false_positive, false_negative), values)
        if_right = (1 - false_negative) * accepting + false_negative * rejecting
        if_wrong = false_positive * accepting + (1 - false_positive) * rejecting
        if kind == "backward":
            assert (if_right, if_wrong) == pytest.approx((correct, incorrect), abs=1e-9)
        else:
            knows = 1 - false_positive - false_negative
            assert (if_right, if_wrong) == pytest.approx((0.0, -knows * (correct - incorrect)), abs=1e-9)


def test_the_gradient_of_a_corrected_judge_is_the_true_one_by_enumeration():
    """REINFORCE on a softmax over three answers, one right: expectation over answers and judgements, in float64."""
    logits = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    probs, (rho0, rho1) = logits.softmax(0), (0.25, 0.35)
    score = torch.eye(3, dtype=torch.float64) - probs  # row a: d log pi(a) / d logits

    def expected(worth):
        total = torch.zeros(3, dtype=torch.float64)
        for answer, accepted in product(range(3), (True, False)):
            chance = (1 - rho1 if accepted else rho1) if answer == 0 else (rho0 if accepted else 1 - rho0)
            total += probs[answer] * chance * worth[0 if accepted else 1] * score[answer]
        return total

    truth = probs[0] * score[0]
    assert torch.allclose(expected(corrected("backward", (rho0, rho1))), truth, atol=1e-12)
    knows = 1 - rho0 - rho1
    assert torch.allclose(expected(corrected("forward", (rho0, rho1))), knows * truth, atol=1e-12)
    assert torch.allclose(expected((1.0, 0.0)), knows * truth, atol=1e-12), "uncorrected: shrunk, not turned"


@given(some.lists(some.booleans(), min_size=8, max_size=8), some.floats(0, 0.49), some.floats(0.01, 0.49))
@settings(max_examples=60, deadline=None)
def test_a_group_baseline_with_std_cancels_every_correction_and_one_without_std_all_but_its_scale(accepted, rho0, rho1):
    """The theorem: corrections at one rate for all of a group are affine in a binary reward, with a positive slope."""
    rewards_B = torch.tensor(accepted, dtype=torch.float64)
    group_B = torch.tensor([0] * 4 + [1] * 4)
    for kind in ("backward", "forward"):
        accepting, rejecting = corrected(kind, (rho0, rho1))
        corrected_B = torch.where(rewards_B > 0, torch.tensor(accepting).double(), torch.tensor(rejecting).double())
        assert torch.allclose(
            advantages.group_normalised(corrected_B, group_B), advantages.group_normalised(rewards_B, group_B), atol=1e-6
        )
        assert torch.allclose(
            advantages.group_centred(corrected_B, group_B),
            (accepting - rejecting) * advantages.group_centred(rewards_B, group_B),
        )
        slope = 1 / (1 - rho0 - rho1) if kind == "backward" else 1.0
        assert accepting - rejecting == pytest.approx(slope)


def test_rates_that_differ_within_a_group_are_not_cancelled():
    group_B, accepted_B = torch.tensor([0] * 4), torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    worth = [corrected("backward", (rate, 0.1)) for rate in (0.05, 0.4, 0.05, 0.4)]
    corrected_B = torch.tensor([one[0 if accepted else 1] for one, accepted in zip(worth, accepted_B, strict=True)])
    found, plain = (advantages.group_normalised(one.double(), group_B) for one in (corrected_B, accepted_B))
    assert (found - plain).abs().max() > 0.3


def test_rft_by_its_reward_sees_a_correction_and_by_judgement_does_not():
    groups = score_groups(OutcomeReward(TASK), PROMPTS[:1], GROUPS[:1])
    inputs = collate(groups, "cpu", process=False, pairs=False).inputs
    logp = torch.zeros(inputs.response_mask_BT.shape)
    by_judgement = c.Rft().terms(logp, inputs)
    by_reward = c.Rft(by="reward").terms(logp, inputs)
    assert [item.value().tolist() for item in by_judgement.values()] == [item.value().tolist() for item in by_reward.values()]
    assert not c.Rft().reads_reward
    assert c.Rft(by="reward").reads_reward


def test_steps_are_corrected_one_by_one_and_their_rates_measured():
    judge = NoisyReward(ExactProcessReward(TASK, WORDS), Dial(0.1, 0.25), seed=5)
    reward = CorrectedReward(judge, judge.values, "backward", judge.dial.rates)
    found = [one for group in reward.score(PROMPTS, [group[:2] for group in GROUPS]) for one in group]
    for score in found[:20]:
        expected = np.where(score.steps_accepted, 0.9 / 0.65, -0.1 / 0.65)
        assert score.step_rewards.tolist() == pytest.approx(expected.tolist())
    rho0, rho1 = measured_rates(found)
    right = sum(int(one.steps_right.sum()) for one in found)
    wrong = sum(int((~one.steps_right).sum()) for one in found)
    assert within(round(rho0 * wrong), wrong, 0.1)
    assert within(round(rho1 * right), right, 0.25)


def test_rates_are_not_counted_on_one_kind_alone_and_a_judge_that_says_nothing_is_refused():
    scores = [one for group in OutcomeReward(TASK).score(PROMPTS[:4], [group[:1] for group in GROUPS[:4]]) for one in group]
    with pytest.raises(DataError, match=r"none is on what is wrong.*reward\.audited"):
        measured_rates(scores)
    with pytest.raises(ConfigError, match="says nothing"):
        corrected("backward", (0.6, 0.4))


def test_a_problem_without_numbers_is_named():
    prompt = Prompt(Problem("p", "q", "1"), (1,))
    with pytest.raises(DataError, match="its info has nothing"):
        Dial(0.1, 0.1, by="level", slope=1.0).rates(prompt, respond("1"), Score(0.0, "incorrect", "1", "1"))
