"""Rows whose baseline is from beyond the group, worked by hand, the arithmetic in the comments."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unified_rl import coefficients as c
from unified_rl.ops.advantages import optimal_values
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


def test_the_optimal_value_lies_between_the_mean_and_the_best():
    # beta 0.5: 0.5 log((e^2 + e^0)/2) = 0.5 log(4.194528) = 0.716891; of equal rewards, themselves
    assert optimal_values(f64([[1, 0], [0.3, 0.3]]), 0.5).tolist() == pytest.approx([0.716891, 0.3], abs=1e-6)
    assert optimal_values(f64([[1, 0]]), 1e6).item() == pytest.approx(0.5, abs=1e-5)
    assert optimal_values(f64([[1, 0]]), 1e-4).item() == pytest.approx(1, abs=1e-3)


def test_astar_po_is_at_rest_where_the_log_ratio_is_the_optimal_advantage():
    # V* = 0.5 (two equal rewards), r = 1: r - V* = 0.5. beta 0.25: D = 2 is its rest; at D = 0.4 + 0.2 it is
    # 2 x 0.25 (0.5 - 0.25 x 0.6) = 0.175
    given = replace(inputs([1], [0], [2], reference_rewards_BN=[[0.5, 0.5]]), ref_logp_BT=f64([[-3, -3]]))
    rule = c.OptimalAdvantage(beta=0.25)
    assert coefficients_of(rule, given, f64([[-2.6, -2.8]]))[0].tolist() == pytest.approx([0.175, 0.175])
    assert coefficients_of(rule, given, f64([[-1.5, -2.5]]))[0].tolist() == pytest.approx([0, 0])
    # a wrong response is pushed down: 2 x 0.25 (-0.5 - 0)
    wrong = replace(given, rewards_B=f64([0]))
    assert coefficients_of(rule, wrong, f64([[-3, -3]]))[0].tolist() == pytest.approx([-0.25, -0.25])


def test_spo_whitens_what_is_above_belief_over_the_batch():
    # r - v: 1 - 0.5, 0 - 0.5, 1 - 0.8, 0 - 0.2 = 0.5, -0.5, 0.2, -0.2; mean 0, squares 0.25 + 0.25 + 0.04 + 0.04 = 0.58;
    # std (ddof 1) = sqrt(0.58 / 3) = 0.439697 -> 1.137147, -1.137147, 0.454859, -0.454859; each on its tokens, rho = 1
    given = inputs([1, 0, 1, 0], [0, 1, 2, 3], [1, 2, 1, 1], tracked_value_B=[0.5, 0.5, 0.8, 0.2])
    logp = torch.zeros(4, 2, dtype=torch.float64)
    found = coefficients_of(c.SingleStream(), replace(given, old_logp_BT=logp), logp)
    assert found[:, 0].tolist() == pytest.approx([1.137147, -1.137147, 0.454859, -0.454859], abs=1e-6)
    assert found[:, 1].tolist() == pytest.approx([0, -1.137147, 0, 0], abs=1e-6)
    # none: as they are; and above 1.28 a positive one is clipped, where a negative one goes on to 10
    plain = coefficients_of(c.SingleStream(over_batch="none"), replace(given, old_logp_BT=logp), logp + 0.3)
    assert plain[:, 0].tolist() == pytest.approx([0, -0.5 * 1.349859, 0, -0.2 * 1.349859], abs=1e-6)


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
