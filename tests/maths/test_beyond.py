"""Rows whose baseline is from beyond the group, worked by hand, the arithmetic in the comments."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unified_rl import coefficients as c
from unified_rl.ops.terms import coefficient as total


def f64(values):
    return torch.tensor(values, dtype=torch.float64)


def inputs(rewards, groups, lengths, **more):
    """Responses of these lengths with these rewards; `more` by field, per response."""
    count = len(rewards)
    return c.Inputs(
        response_mask_BT=torch.arange(max(lengths)) < torch.tensor(lengths)[:, None],
        group_B=torch.tensor(groups),
        rewards_B=f64(rewards),
        correct_B=f64(rewards),
        truncated_B=torch.zeros(count, dtype=torch.bool),
        behaviour_logp_BT=torch.zeros(count, max(lengths), dtype=torch.float64),
        more={name: f64(values) for name, values in more.items()},
    )


def coefficients_of(rule, given, logp):
    prepared = rule.prepare(given)
    return total(rule.terms(logp, prepared), prepared.response_mask_BT)


def test_remax_compares_with_the_greedy_response_alone():
    # prompt 0: greedy 1, so a right response gets 1 - 1 = 0 and a wrong one 0 - 1 = -1; prompt 1: greedy 0.25, so 1 gets 0.75
    given = inputs([1, 0, 1], [0, 0, 1], [2, 1, 1], greedy_reward_B=[1, 1, 0.25])
    logp = -torch.ones(3, 2, dtype=torch.float64)
    assert coefficients_of(c.ReMax(), given, logp).tolist() == [[0, 0], [-1, 0], [0.75, 0]]
    # whoever else is in the group changes nothing, nor does how likely the response was
    alone = inputs([0], [0], [1], greedy_reward_B=[1])
    assert coefficients_of(c.ReMax(), alone, logp[:1, :1] * 7).item() == -1


def test_remax_with_a_std_divides_by_that_of_the_rewards():
    # rewards 1, 0, greedy 1: std 1/2, so 0 / 0.5 and -1 / 0.5
    given = inputs([1, 0], [0, 0], [1, 1], greedy_reward_B=[1, 1])
    found = coefficients_of(c.ReMax(std="population"), given, torch.zeros(2, 1, dtype=torch.float64))
    assert found[:, 0].tolist() == pytest.approx([0, -2])


def test_remax_penalises_the_reward_and_not_the_baseline():
    # R = r - beta sum log(pi_old/pi_ref) = 1 - 0.5 (0.2 + 0.4) = 0.7, less r(greedy) = 0.25
    given = replace(inputs([1], [0], [2], greedy_reward_B=[0.25]), old_logp_BT=f64([[-1, -1]]), ref_logp_BT=f64([[-1.2, -1.4]]))
    rule = c.ReMax(kl_coef=0.5, kl_in="reward", kl_estimator="k1")
    assert coefficients_of(rule, given, f64([[-1, -1]]))[0].tolist() == pytest.approx([0.45, 0.45])
