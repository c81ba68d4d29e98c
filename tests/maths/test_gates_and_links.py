"""Each gate and each link worked by hand, the arithmetic in the comments."""

from __future__ import annotations

from functools import reduce
from math import exp, log

import pytest
import torch

from unified_rl.ops import advantages, gates, importance, kl, links, preferences, ratios, selection, sets


def f64(values):
    return torch.tensor(values, dtype=torch.float64)


def value(factors):
    return reduce(torch.mul, factors.values())


ON = torch.ones(1, 3, dtype=torch.bool)


def test_ratios_of_a_response():
    # log ratios 0.1, 0.2, 0.6: the product's is 0.9, the geometric mean's 0.3; the third token is padding below: 0.3 and 0.15
    logp, old = f64([[0.1, 0.2, 0.6]]), f64([[0.0, 0.0, 0.0]])
    assert ratios.log_ratio("product", logp, old, ON).item() == pytest.approx(0.9)
    assert ratios.log_ratio("geometric", logp, old, ON).item() == pytest.approx(0.3)
    two = torch.tensor([[True, True, False]])
    assert ratios.log_ratio("product", logp, old, two).item() == pytest.approx(0.3)
    assert ratios.log_ratio("geometric", logp, old, two).item() == pytest.approx(0.15)


def test_dual_clip_bites_only_on_negative_advantages():
    # c = 3: at rho 3.5 and A = -1 nothing; at rho 2.5 and A = -1 the whole -2.5; a positive one is clipped at 1.2 anyway
    found = value(gates.clipped(f64([[3.5, 2.5, 1.1]]), f64([[-1, -1, 1]]), 0.2, 0.2, 3.0))
    assert found[0].tolist() == pytest.approx([0, -2.5, 1.1])
    # where a positive one is clipped at 6 only, c says nothing of it: 3.5 stays
    assert value(gates.clipped(f64([[3.5]]), f64([[1.0]]), 0.2, 5.0, 3.0)).item() == pytest.approx(3.5)


def test_cispo_caps_the_weight_and_drops_no_token():
    # [1 - 0.3, 1 + 0.2]: 0.5 -> 0.7, 1.1 stays, 2 -> 1.2; times A = -2, 1, 1
    assert value(gates.capped(f64([[0.5, 1.1, 2.0]]), f64([[-2, 1, 1]]), 0.3, 0.2))[0].tolist() == pytest.approx(
        [-1.4, 1.1, 1.2]
    )
    assert value(gates.capped(f64([[0.01]]), f64([[1.0]]), 1.0, 0.2)).item() == pytest.approx(0.01), "no lower bound"


def test_sapo_is_whole_at_one_and_falls_on_both_sides():
    # rho = 1: 4/2/2 = 1. rho = 2, tau 1: s = sigmoid(1) = 0.731059, 4 s (1 - s) = 0.786448, times rho = 1.572896
    found = value(gates.soft(f64([[1.0, 2.0, 2.0]]), f64([[1, 1, -1]]), 1.0, 2.0))[0]
    # tau 2: s = sigmoid(2) = 0.880797, 4 s (1 - s) = 0.419974, times 2 and A = -1
    assert found.tolist() == pytest.approx([1.0, 1.572896, -0.839948], abs=1e-5)


def test_trust_regions_drop_what_moves_further_out():
    # pi_old = 0.5; pi = 0.8 moved by 0.3 (out under A > 0, back under A < 0), pi = 0.45 by -0.05; bound 0.2
    logp, old = f64([[0.8, 0.8, 0.45]]).log(), f64([[0.5, 0.5, 0.5]]).log()
    ratio, a = (logp - old).exp(), f64([[1, -1, -1]])
    assert value(gates.within_total_variation(ratio, logp, old, a, 0.2, 0.2, 20.0))[0].tolist() == pytest.approx(
        [0, -1.6, -0.9]
    )
    assert value(gates.within_both_sides(ratio, logp, old, a, 0.2, 0.2, 20.0))[0].tolist() == pytest.approx([0, 0, -0.9])
    # KL(0.5 || 0.8) = 0.5 ln(0.5/0.8) + 0.5 ln(0.5/0.2) = 0.223; KL(0.5 || 0.45) = 0.005
    assert value(gates.within_binary_kl(ratio, logp, old, a, 0.1, 0.1, 20.0))[0].tolist() == pytest.approx([0, -1.6, -0.9])
    assert value(gates.within_binary_kl(ratio, logp, old, a, 0.3, 0.3, 1.5))[0].tolist() == pytest.approx([1.5, -1.5, -0.9])
    # the other way round it would be KL(0.8 || 0.5) = 0.8 ln(0.8/0.5) + 0.2 ln(0.2/0.5) = 0.193, within 0.2
    assert value(gates.within_binary_kl(ratio, logp, old, a, 0.2, 0.2, 1.5))[0, 0].item() == 0


def test_drpo_leans():
    # pi 0.6 from 0.5, delta 0.2: |moved| / delta = 1/2, rho 1.2. A = 1: 1.2 (1 - 1/2); A = -1, on the way back: -1.2 (1 + 1/2)
    logp, old = f64([[0.6, 0.6]]).log(), f64([[0.5, 0.5]]).log()
    found = value(gates.leaning((logp - old).exp(), logp, old, f64([[1, -1]]), 0.2))
    assert found[0].tolist() == pytest.approx([0.6, -1.8])


def test_vespo_weights():
    # W = 2, A > 0: 2^2 e^(3 (1 - 2)) = 4 e^-3; A < 0: 2^3 e^(2 (1 - 2)) = 8 e^-2; W = 1: 1
    one = gates.gamma_weighted(f64([[log(2)], [log(2)], [0.0]]), f64([[1.0], [-1.0], [1.0]]), (2.0, 3.0), (3.0, 2.0))
    assert value(one)[:, 0].tolist() == pytest.approx([4 * exp(-3), -8 * exp(-2), 1.0])


def test_gmpo_takes_the_mean_of_clipped_log_ratios():
    # log ratios 0.6, 0.1, -0.6, clip 0.4, A = 1: the first is clipped to 0.4 (no gradient), the third is not: mean -0.1/3
    found = value(gates.geometric_of_clipped(f64([[0.6, 0.1, -0.6]]), ON, f64([[1, 1, 1]]), 0.4, 0.4))[0]
    assert found.tolist() == pytest.approx([0, exp(-0.1 / 3), exp(-0.1 / 3)])


def test_off_policy_responses_of_negative_advantage_are_dropped():
    # mean of log(pi_old / pi) = 0.2, delta 0.1; a positive advantage keeps it, and so does a drift the other way
    old, logp = f64([[0.2, 0.2, 0.2]] * 3), f64([[0, 0, 0], [0, 0, 0], [0.4, 0.4, 0.4]])
    found = gates.not_off_policy(logp, old, ON.expand(3, 3), f64([[-1] * 3, [1] * 3, [-1] * 3]), 0.1)
    assert found[:, 0].tolist() == [0, 1, 1]
    # the mean 0.2, not the sum 0.6, and of response tokens alone: (0.2 + 0.2) / 2 however many are padding
    assert gates.not_off_policy(logp[:1], old[:1], ON, f64([[-1] * 3]), 0.3).tolist() == [[1, 1, 1]]
    two = torch.tensor([[True, True, False]])
    assert gates.not_off_policy(logp[:1], old[:1], two, f64([[-1] * 3]), 0.15).tolist() == [[0, 0, 0]]


def test_advantages_by_name():
    # rewards 1, 0, 0, 1 in group 0 and 3, 1 in group 1
    rewards, group, lengths = f64([1, 0, 0, 1, 3, 1]), torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([1, 1, 1, 1, 3, 1])

    def found(baseline, std, epsilon=0.0):
        return advantages.relative(rewards, group, lengths, baseline=baseline, std=std, epsilon=epsilon).tolist()

    # sample: sqrt(1/3) and sqrt(2); divided with 0.5 added
    assert found("mean", "sample", 0.5)[:1] == pytest.approx([0.5 / (3**-0.5 + 0.5)])
    assert found("mean", "sample")[4:] == pytest.approx([2**-0.5, -(2**-0.5)])
    # mean: group 0's is 1/2, group 1's 2
    assert found("mean", "mean") == pytest.approx([1, -1, -1, 1, 0.5, -0.5])
    # length-weighted: group 1: (3 * 3 + 1) / 4 = 2.5
    assert found("length_weighted", "none")[4:] == pytest.approx([0.5, -1.5])
    # of the others: for the first, 0, 0, 1: mean 1/3, ddof-1 std sqrt(1/3); a group of two has no std of others
    assert found("leave_one_out", "leave_one_out")[0] == pytest.approx((2 / 3) / 3**-0.5)
    assert found("leave_one_out", "leave_one_out")[4:] == [0, 0]
    # batch: mean 1, squares 0 + 1 + 1 + 0 + 4 + 0 = 6, over 5
    assert found("mean", "batch")[0] == pytest.approx(0.5 / (6 / 5) ** 0.5)
    assert found("none", "none") == rewards.tolist()


def test_a_group_of_one_and_the_best_of_a_group():
    alone = advantages.where_alone(f64([0, 2, -2]), f64([5, 6, 7]), torch.tensor([0, 1, 1]))
    assert alone.tolist() == [5, 2, -2]
    # best 3 over 2: lead 1; two equal best ones lead by nothing; nobody leads alone
    best = advantages.best_over_second(f64([1, 3, 2, 4, 4, 9]), torch.tensor([0, 0, 0, 1, 1, 2]))
    assert best.tolist() == [0, 1, 0, 0, 0, 0]


def test_whitening_counts_response_tokens_alone():
    # tokens 1, 3 and 5 (the 100 is padding): mean 3, population std sqrt(8/3), sample std 2
    values, mask = f64([[1, 3], [5, 100]]), torch.tensor([[True, True], [True, False]])
    assert advantages.whitened(values, mask, "sample").flatten().tolist() == pytest.approx([-1, 0, 1, 0])
    assert advantages.whitened(values, mask, "population")[0, 0].item() == pytest.approx(-2 / (8 / 3) ** 0.5)
    assert advantages.whitened(f64([[2, 2]]), mask[:1], "sample").tolist() == [[0, 0]]


def test_selection_of_tokens():
    # five tokens, the highest share 0.25: the 0.75 quantile of 1..5 is 4; two of five at 0.4; at least one
    values, mask = f64([[5, 1, 3], [2, 4, 99]]), torch.tensor([[True] * 3, [True, True, False]])
    assert selection.highest_share(values, mask, 0.25).tolist() == [[True, False, False], [False, True, False]]
    assert selection.highest_count(values, mask, 0.4).tolist() == [[True, False, False], [False, True, False]]
    assert selection.highest_count(values, mask, 0.01).sum() == 1


def test_of_a_band_some_are_drawn():
    # five tokens, share 0.4: two; of the four candidates (the fifth has the least number) those with 0.1 and 0.3; of one, that one
    chance, mask = f64([[0.1, 0.5, 0.0], [0.3, 0.4, 0.0]]), torch.tensor([[True] * 3, [True, True, False]])
    band = torch.tensor([[True, True, False], [True, True, False]])
    assert selection.drawn(chance, band, mask, 0.4).tolist() == [[True, False, False], [True, False, False]]
    assert selection.drawn(chance, band & (chance == 0.5), mask, 0.4).tolist() == [[False, True, False], [False] * 3]
    assert selection.drawn(chance, band, mask, 0.01).sum() == 1
    assert not selection.drawn(chance, ~mask, mask, 0.4).any()


def test_a_clamped_kl_has_no_gradient_beyond_it():
    # pi_ref / pi = 20: k3 = 19 - ln 20 = 16 > 10; at ratio 2 k3 = 1 - ln 2: the term is beta (2 - 1)
    logp = f64([[-log(20), -log(2)]])
    found = kl.loss_term("k3", logp, torch.zeros_like(logp), logp, 0.1, clamp=10.0).value()
    assert found[0].tolist() == pytest.approx([0, 0.1])


# ---- links: slopes at m = 0 or v = 0 are known, and one more point each ---------------------------------------------------------


def test_links_on_the_margin():
    m = f64([0.0, log(3)])  # sigmoid 1/2 and 3/4
    assert links.logistic(m).tolist() == pytest.approx([0.5, 0.25])
    assert links.logistic(m, 0.1).tolist() == pytest.approx([0.45 - 0.05, 0.9 * 0.25 - 0.1 * 0.75])
    assert links.robust(m, 0.1).tolist() == pytest.approx([0.5 / 0.8, (0.9 * 0.25 + 0.1 * 0.75) / 0.8])
    assert links.hinge(f64([0.9, 1.1])).tolist() == [1, 0]
    # (1 - 2 m) / beta^2 at beta 1/2: 4 and 4 (1 - 2 ln 3)
    assert links.squared(m, 0.5).tolist() == pytest.approx([4, 4 * (1 - 2 * log(3))])
    # 1/4 logit(0.9) and 3/16 (logit(0.9) - ln 3) = 3/16 ln 3
    assert links.exo(m, 0.1).tolist() == pytest.approx([0.25 * log(9), 3 / 16 * log(3)])
    # at 0: g = 1/2, slope 1/2 * 1/2 + 1/2 - 1/4 (ln(1/2) + 1) at temperature 1
    assert links.discopop(m[:1], 1.0).item() == pytest.approx(0.75 - 0.25 * (1 - log(2)))


def test_links_on_own_scores():
    v, chosen = f64([log(3), log(3)]), torch.tensor([True, False])  # sigmoid 3/4
    assert links.binary(v, chosen).tolist() == pytest.approx([0.25, 0.75])
    assert links.noise_contrastive(v, chosen).tolist() == pytest.approx([0.25 - 0.375, 0.375])
    assert links.self_play(v, chosen, 0.5).tolist() == pytest.approx([4 * (1 - 2 * log(3)), 4 * (1 + 2 * log(3))])
    assert links.anchored_zero(v).tolist() == pytest.approx([3 / 16, 3 / 16])
    # margin 0: 1/4
    assert links.anchored_down(v, f64([0, 0]), chosen).tolist() == pytest.approx([0.25 - 3 / 16, 0.25])


def test_scores_of_pairs():
    # p = 1/4: odds 1/3, d log odds / d log p = 4/3
    odds, slope = preferences.log_odds(f64([log(0.25)]))
    assert (odds.item(), slope.item()) == pytest.approx((-log(3), 4 / 3))
    # ratio 2: forward KL 1 - 1/2, slope 1/2; JS log(4/3), slope 1/3; alpha 1/2: (2^-1/2 - 1) / (-1/2), slope 2^-1/2
    for name, score, slope in (("forward_kl", 0.5, 0.5), ("js", log(4 / 3), 1 / 3), ("alpha", 2 - 2**0.5, 2**-0.5)):
        found = preferences.of_divergence(name, f64([log(2)]), 0.5)
        assert [one.item() for one in found] == pytest.approx([score, slope])
    shared = preferences.shared_length(torch.tensor([[True, True, True], [True, False, False]]), torch.tensor([0, 0]))
    assert shared.tolist() == [[True, False, False], [True, False, False]]
    # chosen 3, 1; rejected 0, 2: by rank 1 meets 0 and 3 meets 2
    ranked = preferences.ranked_partners(f64([3, 0, 1, 2]), torch.tensor([True, False, True, False]))
    assert ranked.tolist() == [2, 1, 0, 3]


def test_wpo_weighs_by_both_responses():
    # o+ of two tokens: pi 1/2 of sum pi^2 1/2, and 1/4 of 1/4: weight 1; o- of one: 1/2 of 1/4: weight 2. The pair's is 2
    logp, energy = f64([[0.5, 0.25], [0.5, 1.0]]).log(), f64([[0.5, 0.25], [0.25, 0.0]])
    mask = torch.tensor([[True, True], [True, False]])
    mean = preferences.mean_log_ratio(logp, energy.log(), mask)
    assert mean.exp().tolist() == pytest.approx([1, 2])
    assert preferences.pair_sum(mean, torch.tensor([7, 7])).exp().tolist() == pytest.approx([2, 2])


# ---- the sampler's weights ------------------------------------------------------------------------------------------------------


def test_weights_and_rejections():
    # w = 2, 1/2, 1 per token: geometric mean 1; truncated to [0.8, 1.5]: 1.5, 0.8, 1
    old, sampler = f64([[log(2), -log(2), 0.0]]), f64([[0.0, 0.0, 0.0]])
    assert importance.geometric_weight(old, sampler, ON).item() == pytest.approx(1.0)
    weight = importance.token_weight(old, sampler, ON)
    assert value(importance.truncated(weight, 1.5, 0.8))[0].tolist() == pytest.approx([1.5, 0.8, 1.0])
    assert importance.mean_weight(weight, ON).item() == pytest.approx(3.5 / 3)

    def kept(measure, over, floor, cap):
        return importance.kept(old, sampler, ON, measure=measure, over=over, floor=floor, cap=cap).tolist()

    assert kept("ratio", "token", 0.6, 1.5) == [[False, False, True]]
    assert kept("ratio", "sum", 0.9, 1.1) == [[True]], "the product of 2, 1/2 and 1 is 1"
    assert kept("ratio", "mean", 0.9, 1.1) == [[True]]
    assert kept("ratio", "max", 0.6, 2.5) == [[False]]
    # k2 = (ln 2)^2 / 2 = 0.24 twice: sum 0.48, mean 0.16
    assert kept("k2", "sum", 0, 0.4) == [[False]] and kept("k2", "sum", 0, 0.5) == [[True]]
    assert kept("k2", "mean", 0, 0.15) == [[False]] and kept("k2", "mean", 0, 0.17) == [[True]]
    # k3 = w - 1 - ln w: 0.307 at w = 2, 0.193 at 1/2
    assert kept("k3", "token", 0, 0.25) == [[False, True, True]]
    assert kept("k3", "max", 0, 0.3) == [[False]] and kept("k3", "max", 0, 0.31) == [[True]]
    assert importance.not_vetoed(old, sampler, ON, 0.6).item() is False
    assert importance.not_vetoed(old, sampler, ON, 0.4).item() is True


def test_luffy_shapes_what_no_policy_wrote():
    # f(x) = x/(x + 0.1): at pi = 0.1 its factor is 0.1 x 0.1/0.04 = 1/4, at 0.4 0.04/0.25 = 0.16; a sample keeps its ratio
    logp = f64([[0.1, 0.4], [0.1, 0.4]]).log()
    found = value(gates.shaped(f64([[1.5, 2.0]] * 2), logp, f64([[2.0], [2.0]]), torch.tensor([[True], [False]]), 0.1))
    assert found.tolist() == [pytest.approx([0.5, 0.32]), pytest.approx([3.0, 4.0])]


def test_pass_at_k_by_hand():
    # one of four right, k = 2: of 6 pairs 3 hold it. R = 1/2, sigma = 1/2: right (1 - 1/2)/(1/2) = 1, wrong
    # (1/2 - 2/3)/(1/2) = -1/3
    found = sets.pass_at_k(f64([1, 0, 0, 0, 1, 1]), torch.tensor([0, 0, 0, 0, 1, 1]), 2)
    assert found.tolist() == pytest.approx([1, -1 / 3, -1 / 3, -1 / 3, 0, 0])
    assert sets.pass_at_k(f64([1, 0]), torch.tensor([0, 0]), 5).tolist() == pytest.approx([0, 0]), "k above n counts as n"


def test_pkpo_by_hand():
    # rewards 0, 1, 3, k = 2, n = 3: 1 leads 0 by 1, 3 leads 0 by 3 and 1 by 2; over C(3, 2) = 3 pairs, times 3
    found = sets.max_at_k(f64([1, 3, 0, 5]), torch.tensor([0, 0, 0, 1]), 2)
    assert found.tolist() == pytest.approx([1, 5, 0, 0])
    # k = 3: the only subset is all of them; its best without the 3 is 1
    assert sets.max_at_k(f64([1, 3, 0]), torch.tensor([0, 0, 0]), 3).tolist() == pytest.approx([0, 6, 0])


def test_the_optimal_token_baseline_by_hand():
    # energies 1, 1 and 3 of rewards 1 and 0; at the first token W = 1, 3: the baseline is 1/4; the second token has one response
    mask = torch.tensor([[True, True], [False, True]])
    found = advantages.over_energy(f64([1, 0]), f64([[1, 1], [9, 3]]), mask, torch.tensor([0, 0]))
    assert found.tolist() == [pytest.approx([0.75, 0]), pytest.approx([0, -0.25])]


def test_what_is_switched_and_what_is_apart():
    groups, demonstrated = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([False, False, True] * 2)
    right = f64([1, 0, 1, 0, 0, 1])
    assert selection.switched(right, groups, demonstrated, 0.0).tolist() == [True, True, False, False, False, True]
    assert selection.switched(right, groups, demonstrated, 0.5).tolist() == [False, False, True] * 2
    apart = advantages.apart_from(groups, demonstrated).tolist()
    assert apart[:2] == [0, 0] and apart[3:5] == [1, 1] and len({*apart}) == 4
