"""The bias laboratory: its expectations against sampling, and theorems on rows, pinned."""

from __future__ import annotations

from dataclasses import replace
from math import comb
from pathlib import Path

import pytest
import torch

from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.labs import bias_lab
from unified_rl.labs.bias import questions
from unified_rl.labs.bias.expectation import Sampled, expected, multisets
from unified_rl.labs.bias.questions import cosine, kl_alone, kl_targets, measure, situation, weight_on_grad_p
from unified_rl.labs.bias.world import filtered, gradient_of, reverse_kl, world
from unified_rl.labs.options import BiasLabOptions
from unified_rl.presets.loading import compose
from unified_rl.statistics.table_files import read_table

SUMS = ["coefficient.kl_coef=0", "aggregation=constant_length", "aggregation.length=1"]


def grad_p(around):
    return gradient_of(around.world.success, around.policy)


def test_the_world_is_whole_and_its_success_is_what_was_asked_for():
    for longest, responses in ((2, 7), (3, 15)):
        around = situation(0.1, longest)
        assert len(around.world.names) == responses
        assert float(around.world.probability(around.policy).sum()) == pytest.approx(1, abs=1e-12)
        assert float(around.world.success(around.policy)) == pytest.approx(0.1, abs=1e-12)
    assert {name for name, right in zip(world(3).names, world(3).right_R, strict=True) if right} == {"b.", "ab.", "ba."}


def test_multisets_have_the_probabilities_of_unordered_samples():
    given = multisets(torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64), 3)
    assert len(given.rows_MG) == comb(5, 3) and float(given.probability_M.sum()) == pytest.approx(1, abs=1e-12)
    place = given.rows_MG.tolist().index([0, 1, 2])
    assert float(given.probability_M[place]) == pytest.approx(6 * 0.2 * 0.3 * 0.5)


def test_an_expectation_is_what_sampling_tends_to():
    """Forty thousand groups drawn by torch, the mean of their gradients within five standard errors in every coordinate."""
    around, config = situation(0.3, 2), compose(["method=grpo"])
    exact = expected(config, around, multisets(around.world.probability(around.policy), 3))
    generator = torch.Generator().manual_seed(1)
    drawn = torch.multinomial(around.world.probability(around.policy), 120_000, replacement=True, generator=generator).view(
        -1, 3
    )
    found, counts = drawn.sort(1).values.unique(dim=0, return_counts=True)
    mean = expected(config, around, Sampled(found, counts / counts.sum().double()))
    error = (exact.variance / len(drawn)) ** 0.5
    assert float((mean.mean - exact.mean).norm()) < 3 * error < 0.1 * float(exact.mean.norm())
    assert mean.variance == pytest.approx(exact.variance, rel=0.03)


def test_reinforce_and_rloo_are_unbiased_and_a_group_s_own_mean_shrinks_by_its_size():
    around = situation(0.2, 2)
    for method in ("reinforce", "rloo"):
        assert torch.allclose(measure([f"method={method}", *SUMS], around, 3).mean, grad_p(around), atol=1e-13), method
    assert torch.allclose(measure(["method=dr_grpo", *SUMS], around, 3).mean, grad_p(around) * 2 / 3, atol=1e-13)


@pytest.mark.parametrize("p", [0.05, 0.4])
@pytest.mark.parametrize("words", [["method=grpo"], ["method=max_rl"], ["method=grpo", "dialect=nemo_rl"], ["method=nsr"]])
def test_the_weight_on_grad_p_by_counting_is_that_of_the_enumerated_gradient(words, p):
    around = situation(p, 2)
    got = measure([*words, *SUMS], around, 4).mean
    assert torch.allclose(got, weight_on_grad_p(compose(words), p, 4) * grad_p(around), atol=1e-12)


def test_grpo_s_weight_at_group_size_g_only_tends_to_its_limit():
    """E[sqrt(m (1 - m))]/(p (1 - p)), m the group's mean: at p = 0.01 it is 2.6 for G = 8, 6.7 for G = 64, 10 in the limit."""
    config, p = compose(["method=grpo"]), 0.01
    for group, known in ((8, 2.6), (64, 6.7)):
        chances = [comb(group, k) * p**k * (1 - p) ** (group - k) for k in range(group + 1)]
        spread = sum(chance * (k / group * (1 - k / group)) ** 0.5 for k, chance in enumerate(chances))
        assert weight_on_grad_p(config, p, group) == pytest.approx(spread / (p * (1 - p)), rel=1e-10)
        assert weight_on_grad_p(config, p, group) == pytest.approx(known, abs=0.05)
    assert weight_on_grad_p(config, 0.5, 512) == pytest.approx(2, rel=0.01)


def test_what_a_step_gains_is_an_unbiased_advantage_of_less_noise_than_a_reward_and_whitening_bends_it():
    around = situation()
    summed = ["aggregation=constant_length", "aggregation.length=1", "rollout.epochs=1"]
    plain = measure(["method=vine_ppo", "coefficient.kl_coef=0", "coefficient.whitening=none", *summed], around, 2)
    assert plain.mean.tolist() == pytest.approx(grad_p(around).tolist(), abs=1e-12)
    outcome = measure(["method=reinforce", *summed], around, 2)
    assert outcome.mean.tolist() == pytest.approx(grad_p(around).tolist(), abs=1e-12)
    assert plain.noise < outcome.noise / 2
    whitened = measure(["method=vine_ppo", "coefficient.kl_coef=0", *summed], around, 2)
    assert 0.98 < cosine(whitened.mean, grad_p(around)) < 1 - 1e-6


def test_max_rl_s_order_is_n_minus_1():
    """Its weight is the sum over k < N of (1 - p)^(k - 1): the gradient of log p truncated at N - 1, not at N."""
    for group in (2, 4, 8):
        for p in (0.05, 0.3):
            orders = {n: sum((1 - p) ** (k - 1) for k in range(1, n + 1)) for n in (group - 1, group)}
            found = weight_on_grad_p(compose(["method=max_rl"]), p, group)
            assert found == pytest.approx(orders[group - 1], rel=1e-10)
            assert abs(found - orders[group]) > 1e-3


def test_k3_in_the_loss_follows_the_forward_kl_on_policy_and_k2_the_reverse():
    around = situation(away=1.0)
    targets = kl_targets(around)
    line = ["method=grpo", "coefficient.kl_coef=1", *SUMS[1:]]
    got = {name: kl_alone([*line, f"coefficient.kl_estimator={name}"], around).mean for name in ("k1", "k2", "k3")}
    assert torch.allclose(got["k3"], targets["forward KL of visited states"], atol=1e-12)
    assert torch.allclose(got["k2"], targets["reverse KL of visited states"], atol=1e-12)
    assert float(got["k1"].norm()) < 1e-12
    assert cosine(got["k3"], targets["reverse KL of visited states"]) < 0.95


def test_k1_in_the_reward_to_go_is_the_gradient_of_the_response_s_reverse_kl():
    around = situation(away=1.0)
    line = ["method=grpo", "coefficient.kl_coef=1", "coefficient.kl_estimator=k1", "coefficient.kl_in=reward_to_go", *SUMS[1:]]
    exact = -gradient_of(lambda logits: reverse_kl(around.world, logits, around.reference), around.policy)
    assert torch.allclose(kl_alone(line, around).mean, exact, atol=1e-12)


def test_one_over_length_biases_and_constant_length_does_not():
    """Under 1/|o| a response's push falls as 1/|o|, right or wrong alike, and the direction is no longer that of grad p."""
    around = situation()
    biased = measure(["method=dr_grpo", "aggregation=sequence_mean"], around, 2).mean
    assert cosine(measure(["method=dr_grpo"], around, 2).mean, grad_p(around)) == pytest.approx(1, abs=1e-12)
    assert cosine(biased, grad_p(around)) < 0.97
    pushes = {(panel, label, x): value for panel, label, x, value in questions.length()}
    for verdict in ("right", "wrong"):
        assert pushes[verdict, "sequence_mean", 2] / pushes[verdict, "sequence_mean", 3] == pytest.approx(1.5, rel=1e-9)


@pytest.mark.parametrize(("std", "scale"), [("population", 1.0), ("sample", 1.0), ("none", 1 / 0.7)])
def test_a_noise_correction_cancels_under_a_group_baseline_with_std(std, scale):
    """(r - rho0)/(1 - rho0 - rho1) is affine in r: with a std nothing of it is left, without one a factor."""
    around = situation(0.3, 2)
    right_R = around.world.right_R.double()
    line = ["method=grpo", f"coefficient.std={std}", *SUMS]
    plain, corrected = (
        measure(line, replace(around, reward_R=rewards), 4).mean for rewards in (right_R, (right_R - 0.1) / (1 - 0.1 - 0.2))
    )
    assert torch.allclose(corrected, plain * scale, atol=1e-12)


def test_a_product_of_ratios_undoes_staleness_and_a_token_ratio_does_not():
    around = situation(staleness=0.6)
    for ratio, bias in (("product", 0), ("token", 0.4)):
        got = measure(["method=reinforce", f"coefficient.ratio={ratio}", *SUMS[1:]], around, 1).mean
        assert float((got - grad_p(around)).norm() / grad_p(around).norm()) == pytest.approx(bias, abs=0.1 if bias else 1e-12)


def test_weights_undo_a_temperature_and_not_a_top_p():
    around = situation()
    line = ["method=reinforce", *SUMS[1:], "importance=plain", "importance.level=sequence"]
    for logits, exact in ((filtered(around.policy, temperature=0.5), True), (filtered(around.policy, top_p=0.7), False)):
        got = measure(line, replace(around, sampler=logits), 1).mean
        assert torch.allclose(got, grad_p(around), atol=1e-12) == exact


def test_dialects_on_policy_differ_by_a_constant_factor_where_the_page_says_so():
    around = situation()
    got = {
        name: measure(["method=grpo", f"dialect={name}", "coefficient.kl_coef=0"], around).mean
        for name in ("paper", "trl", "verl", "openrlhf", "prime_rl", "open_instruct", "slime")
    }
    same = {("trl", "verl"), ("verl", "openrlhf"), ("prime_rl", "open_instruct"), ("paper", "slime")}
    for a, b in same:
        assert cosine(got[a], got[b]) == pytest.approx(1, abs=1e-9), (a, b)
    assert cosine(got["paper"], got["trl"]) < 0.98
    assert float(got["slime"].norm() / got["paper"].norm()) == pytest.approx((3 / 4) ** 0.5, rel=1e-5)


def test_a_leave_out_of_every_response_is_no_error():
    """A batch of truncated responses alone has nothing to average, and no gradient."""
    around = situation(longest=2)
    got = measure(["method=dr_grpo", "aggregation.truncated=leave_out"], around, 2)
    assert float(got.mean.norm()) > 0


def test_the_command_writes_tables_figures_and_numbers(tmp_path, capsys):
    words = ["rows", "length", "methods=grpo,dr_grpo,sft,dpo", f"out={tmp_path}"]
    assert main(["bias-lab", *words]) == 0
    table, facts = read_table(tmp_path / "tables" / "bias_rows.csv")
    found = table.set_index(["method", "objective"])["cosine"]
    assert found["dr_grpo", "expected reward"] == pytest.approx(1, abs=1e-9)
    assert facts["group"] == questions.GROUP and len(table) == 4 * 6
    for name in ("rows", "length"):
        assert (tmp_path / "figures" / f"bias_{name}.png").stat().st_size > 10_000
    assert "| Dr. GRPO | expected reward | **1.000** |" in (tmp_path / "bias_lab.md").read_text()
    capsys.readouterr()
    assert main(["bias-lab", "wieght", f"out={tmp_path}"]) == 2
    assert "did you mean 'weight'" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="did you mean 'grpo'"):
        bias_lab.run(BiasLabOptions(methods=["grpoo"], out=tmp_path), "")


def test_the_page_has_the_table_of_the_results():
    root = Path(__file__).parents[2]
    table, _ = read_table(root / "experiments" / "results" / "bias_lab" / "bias_rows.csv")
    assert set(table["method"]) == set(questions.measurable())
    assert bias_lab.numbers(table) in (root / "docs" / "bias_lab.md").read_text()
