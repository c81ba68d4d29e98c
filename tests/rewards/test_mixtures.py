"""Several rewards and mixtures of two, by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from scored import PROMPTS, Given, only, respond

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import NamedReward, Score
from unified_rl.loop.rollout import collate, facts
from unified_rl.rewards import OverlongPenalty, SeveralRewards, mixture
from unified_rl.rewards.checked import problem
from unified_rl.sources.online import score_groups


@pytest.mark.parametrize(("weight", "accepted"), [(0.25, True), (0.5, False), (0.75, False)])
def test_outcomes_are_mixed(weight, accepted):
    found = only(mixture(Given(0.0), Given(0.8, accepted=True), weight))
    assert found.reward == pytest.approx((1 - weight) * 0.8)
    assert found.judged_correct is accepted
    assert found.verdict == "incorrect"


def test_both_judges_at_equal_weight():
    assert only(mixture(Given(1.0, "correct"), Given(0.8, "correct", accepted=True), 0.5)).judged_correct


def test_an_outcome_rule_is_added_to_the_last_step():
    model = Given(0.3, steps=[0.9, 0.3], ends=[0, 1])
    assert only(mixture(Given(1.0, "correct"), model, 0.4)).step_rewards.tolist() == pytest.approx([0.54, 0.4 + 0.18])


def test_step_rules_are_mixed_step_by_step():
    model, rule = Given(0.3, steps=[0.9, 0.3], ends=[0, 1]), Given(1.0, steps=[1.0, 0.0], ends=[0, 1])
    assert only(mixture(rule, model, 0.4)).step_rewards.tolist() == pytest.approx([0.94, 0.18])


def test_the_steps_that_a_judge_errs_on_are_counted_in_every_order():
    judge = Given(1.0, steps=[1.0, 1.0], ends=[0, 1])
    judge.found = replace(judge.found, steps_right=np.array([True, False]), steps_accepted=np.array([True, True]))
    parts = {"steps": judge, "model": Given(0.3, steps=[0.9, 0.3], ends=[0, 1]), "right": Given(1.0)}
    for names in permutations(parts):
        several = SeveralRewards({name: parts[name] for name in names}, dict.fromkeys(names, 1.0))
        rollout = collate(score_groups(several, PROMPTS[:1], [[respond("1")]]), "cpu", process=True, pairs=False)
        assert facts(rollout)["reward/step_false_positive"] == 1.0, names
        assert facts(rollout)["reward/step_false_negative"] == 0.0, names


def test_steps_that_end_elsewhere_are_refused():
    model, rule = Given(0.3, steps=[0.9, 0.3], ends=[0, 1]), Given(1.0, steps=[1.0], ends=[1])
    with pytest.raises(DataError, match="segment both alike"):
        only(mixture(rule, model, 0.4))


def test_a_weight_outside_0_1_is_refused():
    with pytest.raises(ConfigError, match=r"reward\.rule_weight"):
        mixture(Given(1.0), Given(1.0), 1.2)


def test_several_rewards_are_weighted_and_kept_by_name():
    parts = {"right": Given(1.0, "correct"), "short": Given(-0.5, accepted=False), "judge": Given(0.3, accepted=True)}
    found = only(SeveralRewards(parts, {"right": 2.0, "short": 4.0, "judge": -1.0}))
    assert found.reward == pytest.approx(2 * 1 - 4 * 0.5 - 0.3)
    assert [(one.name, one.reward, one.weight) for one in found.parts] == [
        ("right", 1.0, 2.0),
        ("short", -0.5, 4.0),
        ("judge", 0.3, -1.0),
    ]
    assert not found.judged_correct, "2 of 6 accept: what lowers the reward has no vote"
    assert found.verdict == "correct"


def test_a_penalty_for_length_is_one_of_several():
    several = SeveralRewards({"right": Given(1.0, "correct")}, {"right": 2.0})
    found = only(OverlongPenalty(several, max_tokens=2, margin=2))
    assert [(one.name, one.reward) for one in found.parts] == [("right", 1.0), ("overlong", -1.0)]
    assert found.reward == 1.0


def test_parts_are_what_the_coefficient_reads_and_the_metrics_name():
    several = SeveralRewards({"right": Given(1.0, "correct"), "short": Given(-0.5)}, {"right": 1.0, "short": 0.5})
    rollout = collate(score_groups(several, PROMPTS[:2], [[respond("1")], [respond("2")]]), "cpu", process=False, pairs=False)
    assert rollout.inputs.reward_parts_BK.tolist() == [[1.0, -0.5]] * 2
    assert rollout.inputs.rows(torch.tensor([1])).reward_weights_BK.tolist() == [[1.0, 0.5]]
    metrics = facts(rollout)
    assert (metrics["reward/right/mean"], metrics["reward/short/mean"], metrics["reward/right/std"]) == (1.0, -0.5, 0.0)
    assert metrics["reward/mean"] == 0.75


def test_parts_that_do_not_add_up_or_have_one_name_are_refused():
    for parts, wrong in (
        ((NamedReward("a", 0.5),), "add up to 0.5"),
        ((NamedReward("a", 0.5), NamedReward("a", 0.5)), "a name of its own"),
        ((NamedReward("a", float("nan")),), "finite number"),
        ((NamedReward("a", 1.0, float("inf")),), "weight of 'a'"),
        (({"a": 1.0},), "NamedReward"),
    ):
        assert wrong in problem(Score(1.0, "correct", None, None, parts=parts), respond("1"))
    assert problem(Score(1.0, "correct", None, None, parts=(NamedReward("a", 0.5, 2.0),)), respond("1")) is None
