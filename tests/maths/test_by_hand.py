"""Cases worked by hand, the arithmetic in the comments; each would catch a different mistake."""

from dataclasses import replace

import pytest
import torch

from unified_rl import coefficients as c
from unified_rl.ops import advantages as adv
from unified_rl.ops import aggregation as agg
from unified_rl.ops import coefficients as ops
from unified_rl.ops import gates, kl, preferences, ratios
from unified_rl.ops.terms import coefficient as total
from unified_rl.ops.terms import term

LN2 = 0.6931471805599453


def f64(values):
    return torch.tensor(values, dtype=torch.float64)


def clip(logp, old_logp, advantages, low, high):
    """The clipped term of a token's ratio."""
    mask = torch.ones_like(logp, dtype=torch.bool)
    return term(**gates.clipped(ratios.log_ratio("token", logp, old_logp, mask).exp(), advantages, low, high))


def of_one_token(logp):
    one = torch.ones(1, dtype=torch.float64)
    return c.Inputs(
        response_mask_BT=torch.ones_like(logp, dtype=torch.bool),
        group_B=torch.zeros(1, dtype=torch.long),
        rewards_B=one,
        correct_B=one,
        truncated_B=torch.zeros(1, dtype=torch.bool),
        behaviour_logp_BT=logp,
        old_logp_BT=logp,
    )


def dpo(form, logp, ref, mask, chosen, pairs):
    """The coefficient of a form of DPO at beta 0.5."""
    zeros = torch.zeros(len(logp), dtype=torch.float64)
    inputs = c.Inputs(
        mask, pairs, zeros, zeros, torch.zeros(len(logp), dtype=torch.bool), logp, chosen_B=chosen, ref_logp_BT=ref
    )
    return total(c.Dpo(form=form, beta=0.5).terms(logp, inputs), mask)


def mask_of(lengths, width=None):
    return torch.arange(width or max(lengths)) < torch.tensor(lengths)[:, None]


# ---- outcome advantages -------------------------------------------------------------------------------------------------------


def test_group_normalised():
    # group 7: rewards 1, 0, 0, 1: mean 1/2, population std 1/2 -> +1, -1, -1, +1.  (ddof 1 would give +-0.866)
    # group 3: rewards 2, 5: mean 3.5, std 1.5 -> -1, +1
    found = adv.group_normalised(f64([1, 2, 0, 0, 5, 1]), torch.tensor([7, 3, 7, 7, 3, 7]))
    assert found.tolist() == pytest.approx([1, -1, -1, -1, 1, 1], abs=1e-12)


def test_zero_variance_group_is_exactly_zero_and_leaves_the_others_alone():
    # three rewards of 0.1 do not sum to exactly 0.3 in binary; the rounding must not be blown up to +-1
    rewards, groups = f64([0.1, 0.1, 0.1, 0.0, 1.0]), torch.tensor([0, 0, 0, 1, 1])
    found = adv.group_normalised(rewards, groups)
    assert found[:3].tolist() == [0.0, 0.0, 0.0]
    assert found[3:].tolist() == pytest.approx([-1, 1])
    assert adv.zero_variance_groups(rewards, groups).tolist() == [True, False]


def test_zero_variance_of_large_equal_rewards_in_float32():
    rewards = torch.tensor([1000.1, 1000.1, 1000.1], dtype=torch.float32)
    assert adv.group_normalised(rewards, torch.zeros(3, dtype=torch.long)).tolist() == [0.0, 0.0, 0.0]


def test_small_but_real_spread_is_not_zero_variance():
    found = adv.group_normalised(f64([0.0, 1e-4]), torch.tensor([0, 0]))
    assert found.tolist() == pytest.approx([-1, 1])


def test_group_of_one_has_no_advantage_under_any_rule():
    for rule in (adv.group_normalised, adv.group_centred, adv.leave_one_out):
        assert rule(f64([3.0]), torch.tensor([0])).tolist() == [0.0]


def test_group_centred_and_leave_one_out():
    # rewards 1, 0, 0: mean 1/3 -> 2/3, -1/3, -1/3; leave-one-out: 1 - 0, 0 - 1/2, 0 - 1/2
    rewards, group = f64([1, 0, 0]), torch.tensor([0, 0, 0])
    assert adv.group_centred(rewards, group).tolist() == pytest.approx([2 / 3, -1 / 3, -1 / 3])
    assert adv.leave_one_out(rewards, group).tolist() == pytest.approx([1.0, -0.5, -0.5])


# ---- process advantages -------------------------------------------------------------------------------------------------------


def test_process_advantages():
    # One group of two responses.
    #   response 0: 4 tokens, steps end at tokens 1 and 3 with rewards 1 and 0
    #   response 1: 3 tokens, steps end at token 2 with reward 1
    # Pooled over all three steps: R = (1, 0, 1), mean 2/3, population std sqrt(2)/3.
    #   normalised: (1/3)/(sqrt2/3) = 1/sqrt2, (-2/3)/(sqrt2/3) = -2/sqrt2 = -sqrt2, 1/sqrt2
    #   response 0: tokens 0, 1 see both steps: 1/sqrt2 - sqrt2 = -1/sqrt2; tokens 2, 3 only the last: -sqrt2
    #   response 1: all three tokens 1/sqrt2
    rewards = f64([[0, 1, 9, 0], [9, 9, 1, 9]])  # the nines stand where no step ends and must not be read
    ends = torch.tensor([[False, True, False, True], [False, False, True, False]])
    found = adv.process(rewards, ends, mask_of([4, 3]), torch.tensor([0, 0]))
    r = 2**-0.5
    assert found.tolist() == [pytest.approx([-r, -r, -2 * r, -2 * r]), pytest.approx([r, r, r, 0])]


def test_process_advantages_pool_over_steps_not_over_means_of_responses():
    # Response 0 has three steps of reward 1, response 1 one step of reward 0. Pooled mean 3/4, std sqrt(3)/4:
    # +1/sqrt3 per right step, -sqrt3 for the wrong one. (A mean of response means would be 1/2 and give +1 / -1.)
    rewards = f64([[1, 1, 1], [0, 0, 0]])
    ends = torch.tensor([[True, True, True], [True, False, False]])
    found = adv.process(rewards, ends, mask_of([3, 1], 3), torch.tensor([0, 0]))
    s = 3**-0.5
    assert found.tolist() == [pytest.approx([3 * s, 2 * s, s]), pytest.approx([-3 * s, 0, 0])]


def test_process_advantages_of_equal_steps_and_of_a_stepless_response_are_zero():
    ends = torch.tensor([[True, True], [False, False], [False, True]])
    found = adv.process(f64([[1, 1], [0, 0], [0, 1]]), ends, mask_of([2, 2, 2]), torch.tensor([0, 0, 0]))
    assert (found == 0).all()


def test_of_step_gives_each_token_its_own_step_s_reward():
    # steps of tokens 0 1 | 2 | 3, of which the first gained 0.5 and the last two lost 0.25 and gained 2; then one that ends early
    ends = torch.tensor([[False, True, True, True], [True, False, False, False]])
    found = adv.of_step(f64([[9, 0.5, -0.25, 2], [3, 9, 9, 9]]), ends, mask_of([4, 3]))
    assert found.tolist() == [[0.5, 0.5, -0.25, 2], [3, 0, 0, 0]]
    # tool output in the middle of a step has none
    gap = torch.tensor([[True, False, True, True]])
    assert adv.of_step(f64([[0, 0, 1, 2]]), torch.tensor([[False, False, True, True]]), gap).tolist() == [[1, 0, 1, 2]]


def test_process_tokens_after_the_last_step_get_nothing():
    ends = torch.tensor([[True, False], [False, True]])
    found = adv.process(f64([[1, 0], [0, 0]]), ends, mask_of([2, 2]), torch.tensor([0, 0]))
    assert found.tolist() == [pytest.approx([1, 0]), pytest.approx([-1, -1])]


# ---- PPO ----------------------------------------------------------------------------------------------------------------------


def test_gae():
    # rewards 0, 0, 1; values 0.5, 0.4, 0.2; discount 0.9, trace decay 0.8 (product 0.72)
    #   delta_2 = 1 - 0.2 = 0.8;  delta_1 = 0.9 * 0.2 - 0.4 = -0.22;  delta_0 = 0.9 * 0.4 - 0.5 = -0.14
    #   A_2 = 0.8;  A_1 = -0.22 + 0.72 * 0.8 = 0.356;  A_0 = -0.14 + 0.72 * 0.356 = 0.11632
    advantages, returns = adv.gae(f64([[0, 0, 1]]), f64([[0.5, 0.4, 0.2]]), mask_of([3]), discount=0.9, trace_decay=0.8)
    assert advantages[0].tolist() == pytest.approx([0.11632, 0.356, 0.8])
    assert returns[0].tolist() == pytest.approx([0.61632, 0.756, 1.0])


def test_gae_does_not_bootstrap_past_the_last_token_and_skips_gaps():
    # the second row has a tool's token in the middle: its two response tokens are neighbours in time
    rewards = f64([[0, 1, 50], [0, 50, 1]])
    values = f64([[0.5, 0.25, 70], [0.5, 70, 0.25]])
    mask = torch.tensor([[True, True, False], [True, False, True]])
    advantages, returns = adv.gae(rewards, values, mask, discount=1.0, trace_decay=1.0)
    # A_last = 1 - 0.25; A_first = 0 + 0.25 - 0.5 + 0.75 = 0.5
    assert advantages.tolist() == [pytest.approx([0.5, 0.75, 0]), pytest.approx([0.5, 0, 0.75])]
    assert returns.tolist() == [pytest.approx([1, 1, 0]), pytest.approx([1, 0, 1])]


def test_reward_with_kl_penalty_uses_the_rollouts_log_probs():
    # r = (0, 1), beta 0.1, log(pi_old / pi_ref) = (0.5, -0.2) -> -0.05, 1.02
    rewards = adv.at_last_token(f64([1.0]), mask_of([2], 3))
    found = adv.with_kl_penalty(rewards, f64([[-1, -2, 5]]), f64([[-1.5, -1.8, 0]]), mask_of([2], 3), 0.1)
    assert found[0].tolist() == pytest.approx([-0.05, 1.02, 0])


# ---- clipping -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "advantage", "kept"),
    [
        (1.3, 1.0, 0.0),  # already 1.2 times as likely: raising a good token further is cut off
        (1.3, -1.0, 1.0),  # a bad token that became likelier must come down: never cut off
        (0.7, -1.0, 0.0),  # already 0.8 times as likely: pushing a bad token further down is cut off
        (0.7, 1.0, 1.0),  # a good token that became less likely must come up: never cut off
        (1.1, 1.0, 1.0),
        (0.9, -1.0, 1.0),
    ],
)
def test_clip_bites_on_one_side_only(ratio, advantage, kept):
    logp = f64([[ratio]]).log()
    found = clip(logp, torch.zeros_like(logp), f64([[advantage]]), 0.2, 0.2).value().item()
    assert found == pytest.approx(kept * ratio * advantage)


def test_clip_higher_leaves_more_room_above_than_below():
    logp = f64([[1.25, 1.3, 0.79]]).log()
    found = clip(logp, torch.zeros_like(logp), f64([[1, 1, -1]]), 0.2, 0.28)
    assert found.value()[0].tolist() == pytest.approx([1.25, 0, 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log_ratio", [88.0, 89.0, 710.0, 1e30, float("inf")])
def test_a_clipped_term_is_zero_whatever_the_ratio_and_an_unclipped_one_is_limited(log_ratio, dtype):
    # exp overflows float32 at 88.7 and float64 at 709.8, and infinity times the clip's 0 would be NaN; e^20 = 4.85e8
    logp = torch.tensor([[log_ratio, log_ratio, -log_ratio, -log_ratio]], dtype=dtype)
    advantage = torch.tensor([[1, -1, -1, 1]], dtype=dtype)
    found = clip(logp, torch.zeros_like(logp), advantage, 0.2, 0.2).value()[0].tolist()
    assert found[0] == found[2] == 0
    assert found[1] == pytest.approx(-4.8516519541e8)
    assert found[3] == pytest.approx(2.0611536224e-9)


@pytest.mark.parametrize(
    "estimator", ["k1", "k2", "k3", "abs", "weighted_k1", "weighted_k2", "weighted_k3", "full_k1", "full_k2", "full_k3"]
)
@pytest.mark.parametrize("difference", [-100.0, 100.0])
def test_a_kl_term_is_finite_however_far_the_reference_is(estimator, difference):
    logp, zero = torch.full((1, 2), difference), torch.zeros(1, 2)
    assert kl.loss_term(estimator, logp, zero, zero, 0.0).value().tolist() == [[0, 0]], "a coefficient of 0 leaves nothing"
    assert kl.loss_term(estimator, logp, zero, zero, 0.1).value().isfinite().all()
    assert kl.k3(logp, zero).isfinite().all()


def test_with_one_update_per_rollout_the_clip_never_bites():
    # old = current: every ratio is exactly 1, whatever the advantage and however small the clip
    logp = torch.randn(4, 5, dtype=torch.float64)
    advantage = torch.randn(4, 5, dtype=torch.float64) * 100
    item = clip(logp, logp, advantage, 1e-9, 1e-9)
    assert (item.factors["importance_weight"] == 1).all()
    assert (item.factors["not_clipped"] == 1).all()
    assert torch.equal(item.value(), advantage)


# ---- GRPO ---------------------------------------------------------------------------------------------------------------------


def test_grpo_coefficient_is_equation_21():
    # A = 2, pi_ref / pi = 1.5, beta 0.04: 2 + 0.04 * (1.5 - 1) = 2.02
    logp = f64([[-1.0]])
    inputs = replace(of_one_token(logp), ref_logp_BT=logp + f64([[1.5]]).log(), advantages_BT=f64([[2.0]]))
    terms = c.Grpo().terms(logp, inputs)
    assert total(terms, torch.tensor([[True]])).item() == pytest.approx(2.02)
    assert terms["advantage"].value().item() == pytest.approx(2.0)
    assert terms["kl"].value().item() == pytest.approx(0.02)


def test_kl_estimators():
    # log(pi / pi_ref) = ln 2: k1 = ln 2, k2 = (ln 2)^2 / 2, k3 = 1/2 - 1 + ln 2
    logp, ref = f64([[LN2]]), f64([[0.0]])
    assert kl.k1(logp, ref).item() == pytest.approx(LN2)
    assert kl.k2(logp, ref).item() == pytest.approx(LN2**2 / 2)
    assert kl.k3(logp, ref).item() == pytest.approx(LN2 - 0.5)


def test_kl_term_pulls_towards_the_reference():
    # a token the policy likes twice as much as the reference gets a negative coefficient, one it likes half as much a positive one
    for estimator in ("k2", "k3", "weighted_k3"):
        found = kl.loss_term(estimator, f64([[LN2, -LN2]]), f64([[0.0, 0.0]]), f64([[LN2, -LN2]]), 1.0).value()[0]
        assert found[0] < 0 < found[1]
    # k3: pi_ref/pi - 1 = -1/2 and +1
    assert kl.loss_term("k3", f64([[LN2, -LN2]]), f64([[0.0, 0.0]]), f64([[0.0, 0.0]]), 1.0).value()[
        0
    ].tolist() == pytest.approx([-0.5, 1.0])


# ---- DPO ----------------------------------------------------------------------------------------------------------------------


def pair():
    """o+ has 2 tokens with log-ratios 0.3, 0.1; o- has 3 with -0.2, 0.4, 0.1. The rejected row comes first, on purpose."""
    ref = f64([[-1.0, -2.0, -3.0], [-1.0, -1.0, 0.0]])
    logp = ref + f64([[-0.2, 0.4, 0.1], [0.3, 0.1, 7.0]])  # the 7 is padding and must not be read
    return logp, ref, mask_of([3, 2]), torch.tensor([False, True]), torch.tensor([4, 4])


def sigma(x):
    return torch.sigmoid(f64(x)).item()


def test_dpo_standard():
    # sums: +0.4 and +0.3; m = 0.5 * (0.4 - 0.3) = 0.05; GC = +-|o| * 0.5 * sigma(-0.05)
    logp, ref, mask, chosen, pairs = pair()
    found = dpo("standard", logp, ref, mask, chosen, pairs)
    g = 0.5 * sigma(-0.05)
    assert found.tolist() == [pytest.approx([-3 * g] * 3), pytest.approx([2 * g, 2 * g, 0])]


def test_dpo_length_averaged():
    # means: +0.2 and +0.1; m = 0.05 again: 0.5 * (0.2 - 0.1); GC = +-0.5 * sigma(-0.05), the same for all tokens
    logp, ref, mask, chosen, pairs = pair()
    found = dpo("length_averaged", logp, ref, mask, chosen, pairs)
    g = 0.5 * sigma(-0.05)
    assert found.tolist() == [pytest.approx([-g] * 3), pytest.approx([g, g, 0])]


def test_dpo_as_printed_is_equation_14():
    # token by token: sigma(0.5 * (-0.2 - 0.3)), sigma(0.5 * (0.4 - 0.1)), and for o-'s third token, whose partner is missing,
    # sigma(0.5 * (0.1 - 0)); no leading beta
    logp, ref, mask, chosen, pairs = pair()
    found = dpo("as_printed", logp, ref, mask, chosen, pairs)
    a, b, lone = sigma(-0.25), sigma(0.15), sigma(0.05)
    assert found.tolist() == [pytest.approx([-a, -b, -lone]), pytest.approx([a, b, 0])]


def test_dpo_as_printed_is_not_the_gradient_of_equation_12():
    logp, ref, mask, chosen, pairs = pair()
    printed = dpo("as_printed", logp, ref, mask, chosen, pairs)
    exact = dpo("length_averaged", logp, ref, mask, chosen, pairs)
    assert not torch.allclose(printed, exact, rtol=0.1)
    assert not torch.allclose(0.5 * printed, exact, rtol=1e-3)


def test_margin_is_zero_while_policy_and_reference_agree():
    logp, _, mask, chosen, pairs = pair()
    for log_ratio in (preferences.summed_log_ratio, preferences.mean_log_ratio):
        assert (preferences.margins(log_ratio(logp, logp, mask), chosen, pairs, 0.5) == 0).all()


# ---- aggregation --------------------------------------------------------------------------------------------------------------


def test_aggregations():
    # lengths 1, 2, 3 and an empty response; groups {0: rows 0, 1; 1: rows 2, 3}
    lengths, group = torch.tensor([1, 2, 3, 0]), torch.tensor([0, 0, 1, 1])
    assert agg.sequence_mean(lengths).tolist() == pytest.approx([1 / 4, 1 / 8, 1 / 12, 0])
    assert agg.prompt_token_mean(lengths, group).tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 0])
    assert agg.batch_token_mean(lengths).tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 0])
    assert agg.constant_length(lengths, 5).tolist() == pytest.approx([1 / 20, 1 / 20, 1 / 20, 0])
    assert agg.pair_mean(lengths).tolist() == pytest.approx([1 / 2, 1 / 4, 1 / 6, 0])


def test_prompt_token_mean_differs_from_batch_token_mean_on_uneven_groups():
    lengths, group = torch.tensor([1, 1, 8, 8]), torch.tensor([0, 0, 1, 1])
    assert agg.prompt_token_mean(lengths, group).tolist() == pytest.approx([1 / 4, 1 / 4, 1 / 32, 1 / 32])


def test_dropped_truncated_responses_stay_in_the_denominator():
    weights = agg.without_truncated(agg.sequence_mean(torch.tensor([2, 2])), torch.tensor([True, False]))
    assert weights.tolist() == pytest.approx([0, 1 / 4])


def test_constant_length_refuses_zero():
    with pytest.raises(ValueError, match="at least 1"):
        agg.constant_length(torch.tensor([1]), 0)


# ---- terms and objectives -----------------------------------------------------------------------------------------------------


def test_coefficient_is_zero_off_the_mask_even_where_factors_are_not_finite():
    values = f64([[2.0, float("inf"), float("nan")]])
    found = total({"a": term(x=values), "b": term(y=f64([[3.0]]))}, torch.tensor([[True, False, False]]))
    assert found.tolist() == [[5.0, 0.0, 0.0]]


def test_coefficient_is_detached():
    logp = torch.zeros(1, 1, requires_grad=True)
    assert not total({"a": term(x=logp)}, torch.ones(1, 1, dtype=torch.bool)).requires_grad


def test_coefficient_from_objective_contains_the_weight():
    # J = mean over 2 rows of (row sum)^2 / 2: dJ / dlogp = row sum / 2
    cls = c.coefficient_from_objective(lambda logp, inputs: (logp.sum(1) ** 2).mean() / 2)
    logp = f64([[1.0, 2.0], [3.0, 4.0]])
    assert cls().terms(logp, None)["objective"].value().tolist() == [[1.5, 1.5], [3.5, 3.5]]


def test_objective_that_is_not_a_scalar_or_ignores_logp_is_refused():
    with pytest.raises(ValueError, match="scalar"):
        ops.from_objective(lambda logp: logp, f64([[1.0]]))
    with pytest.raises(ValueError, match="does not depend"):
        ops.from_objective(lambda logp: logp.detach().sum(), f64([[1.0]]))


def test_inputs_rows_and_first_tokens_keep_every_field():
    mask = mask_of([2, 3])
    inputs = c.Inputs(
        mask, torch.tensor([0, 1]), f64([1, 2]), f64([0, 1]), torch.tensor([False, True]), f64([[1, 2, 0], [3, 4, 5]])
    )
    picked = replace(inputs, old_logp_BT=f64([[1, 2, 0], [3, 4, 5]])).rows(torch.tensor([1])).first_tokens(2)
    assert picked.rewards_B.tolist() == [2.0]
    assert picked.old_logp_BT.tolist() == [[3.0, 4.0]]
    assert picked.response_mask_BT.tolist() == [[True, True]]
    assert picked.values_BT is None
