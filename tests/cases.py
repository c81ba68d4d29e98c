"""Every coefficient with its textbook objective: what the gradient tests, and those that look for a missing one, iterate over."""

from __future__ import annotations

from dataclasses import replace

import textbook
import textbook_beyond as beyond
import textbook_gates as gates
import textbook_mixed as mixed
import textbook_pairs as pairs
import torch

from unified_rl import coefficients as c
from unified_rl.methods.signals import per_micro_batch, within_update
from unified_rl.models.roles import policy_role

LENGTH = 16  # of constant_length


def role_of(coefficient, temperature=1.0):
    """The policy's role with the side outputs that the coefficient reads; a teacher that they are from is the policy itself."""
    beside = frozenset(one.output for one in per_micro_batch(coefficient.needs))
    if not within_update(coefficient.needs):
        return policy_role(temperature, beside=beside)
    return lambda model, packed: policy_role(temperature, beside=beside, teacher=model)(model, packed)


def gspo_objective(logp_BT, inputs):
    """GSPO, as a user would write it on padded tensors."""
    mask = inputs.response_mask_BT
    lengths = mask.sum(1)
    ratio = torch.exp(((logp_BT - inputs.old_logp_BT) * mask).sum(1) / lengths)
    advantage = c.Grpo().prepare(replace(inputs, step_ends_BT=None)).advantages_BT.sum(1) / lengths
    return torch.minimum(ratio * advantage, ratio.clamp(0.99, 1.01) * advantage).mean()


Gspo = c.coefficient_from_objective(gspo_objective, needs=frozenset({"old_logp", "groups"}))

#        name: (coefficient, aggregation, textbook objective, process supervision, pairs)
CASES = {
    "sft": (c.Sft(), "sequence_mean", textbook.sft, False, False),
    "rft": (c.Rft(), "sequence_mean", textbook.rft, False, False),
    "dpo": (c.Dpo(), "pair_mean", textbook.dpo, False, True),
    "dpo_length_averaged": (c.Dpo(form="length_averaged"), "pair_mean", textbook.dpo_length_averaged, False, True),
    "ppo": (c.Ppo(), "sequence_mean", textbook.ppo, False, False),
    "ppo_discounted": (
        c.Ppo(discount=0.9, trace_decay=0.7),
        "sequence_mean",
        lambda *a: textbook.ppo(*a, discount=0.9, trace_decay=0.7),
        False,
        False,
    ),
    "ppo_process": (c.Ppo(), "sequence_mean", lambda *a: textbook.ppo(*a, process=True), True, False),
    "grpo": (c.Grpo(), "sequence_mean", textbook.grpo, False, False),
    "grpo_process": (c.Grpo(), "sequence_mean", lambda *a: textbook.grpo(*a, process=True), True, False),
    "grpo_k1": (
        c.Grpo(kl_estimator="k1", kl_coef=0.5),
        "sequence_mean",
        lambda *a: textbook.grpo(*a, 0.5, 0.2, "k1"),
        False,
        False,
    ),
    "grpo_k2": (
        c.Grpo(kl_estimator="k2", kl_coef=0.5),
        "sequence_mean",
        lambda *a: textbook.grpo(*a, 0.5, 0.2, "k2"),
        False,
        False,
    ),
    "grpo_weighted_k3": (
        c.Grpo(kl_estimator="weighted_k3", kl_coef=0.5),
        "sequence_mean",
        lambda *a: textbook.grpo(*a, 0.5, 0.2, "weighted_k3"),
        False,
        False,
    ),
    "vine_ppo": (c.StepAdvantage(), "batch_token_mean", textbook.vine_ppo, True, False),
    "tree_rl": (c.TreeAdvantage(), "sequence_mean", textbook.tree_rl, True, False),
    "vine_ppo_held": (
        c.StepAdvantage(kl_coef=0.5, kl_clamp=1e-4, whitening="none"),
        "batch_token_mean",
        lambda *a: textbook.vine_ppo(*a, kl_coef=0.5, largest=1e-4, whitened=False),
        True,
        False,
    ),
    "grpo_positives": (c.GrpoPositives(), "sequence_mean", lambda *a: textbook.grpo(*a, signs="positive"), False, False),
    "grpo_negatives": (c.GrpoNegatives(), "sequence_mean", lambda *a: textbook.grpo(*a, signs="negative"), False, False),
    "grpo_negatives_process": (
        c.GrpoNegatives(),
        "sequence_mean",
        lambda *a: textbook.grpo(*a, process=True, signs="negative"),
        True,
        False,
    ),
    "grpo_kl_in_reward": (c.GrpoKlInReward(kl_coef=0.5), "sequence_mean", textbook.grpo_kl_in_reward, False, False),
    "rloo": (c.Rloo(), "constant_length", textbook.rloo, False, False),
    "dr_grpo": (c.DrGrpo(), "constant_length", textbook.dr_grpo, False, False),
    "dapo": (c.Dapo(), "prompt_token_mean", textbook.dapo, False, False),
    "gspo": (c.Gspo(clip_low=0.01, clip_high=0.01), "sequence_mean", textbook.gspo, False, False),
    "opd": (c.OnPolicyDistillation(), "sequence_mean", textbook.on_policy_distillation, False, False),
    "from_objective": (Gspo(), None, textbook.gspo, False, False),
}


def _case(coefficient, objective, aggregation="sequence_mean"):
    return coefficient, aggregation, objective, False, "pairs" in coefficient.needs


CASES |= {
    # advantages
    "grpo_sample_std": _case(
        c.Grpo(kl_coef=0, std="sample", std_epsilon=1e-4),
        gates.clipped_with(lambda *given: gates.zscore(*given, ddof=1, epsilon=1e-4)),
    ),
    "grpo_batch_std": _case(c.Grpo(kl_coef=0, std="batch", std_epsilon=1e-4), gates.batch_std),
    "grpo_std_of_others": _case(
        c.Grpo(kl_coef=0, baseline="leave_one_out", std="leave_one_out"), gates.clipped_with(gates.over_others)
    ),
    "grpo_dual_clip": _case(c.Grpo(kl_coef=0, dual_clip=1.5), gates.dual_clip),
    "grpo_clip_higher": _case(c.Grpo(kl_coef=0, clip_high=0.28), gates.clipped_with(gates.zscore, 0.2, 0.28)),
    "max_rl": _case(c.MaxRl(), gates.clipped_with(gates.over_mean)),
    "gdpo": _case(c.Gdpo(), gates.several_apart, "batch_token_mean"),
    "gdpo_sample": _case(c.Gdpo(over_batch="sample"), lambda *a: gates.several_apart(*a, ddof=1), "batch_token_mean"),
    "best_of_group": _case(c.BestOfGroup(), gates.clipped_with(gates.lead)),
    "reinforce_pp": _case(c.ReinforcePlusPlus(kl_coef=0.3), gates.reinforce_pp, "batch_token_mean"),
    "reinforce_pp_baseline": _case(c.ReinforcePlusPlusBaseline(kl_coef=0.3), gates.reinforce_pp_baseline, "batch_token_mean"),
    "opo": _case(c.Opo(), gates.opo, "batch_token_mean"),
    "gpg": _case(c.Gpg(), gates.gpg, "batch_token_mean"),
    "policy_gradient": _case(c.PolicyGradient(), gates.plain_ratio),
    "reinforce": _case(c.PolicyGradient(baseline="none", std="none", ratio="none"), gates.reinforce),
    "psr": _case(c.Signed(right=1.0, wrong=0.0), gates.signed(1.0, 0.0)),
    "w_reinforce": _case(c.Signed(), gates.signed(0.1, 1.0)),
    "raft_pp": _case(c.Signed(right=1.0, wrong=0.0, ratio="token"), gates.signed(1.0, 0.0, ratio=True)),
    # ratios and gates
    "rloo_of_sequences": _case(c.Rloo(kl_coef=0, ratio="product"), gates.rloo_of_sequences, "constant_length"),
    "rloo_kl_to_go": _case(c.Rloo(kl_coef=0.3, kl_in="reward_to_go"), gates.kl_in_reward_to_go),
    "gmpo": _case(c.Gmpo(clip_low=0.05, clip_high=0.05), gates.gmpo),
    "vespo": _case(c.Vespo(), gates.vespo, "batch_token_mean"),
    "cispo": _case(c.Cispo(clip_low=0.1, clip_high=0.05), gates.cispo, "batch_token_mean"),
    "sapo": _case(c.Sapo(), gates.sapo),
    "dppo_tv": _case(c.TrustRegion(bound_low=0.02, bound_high=0.02), gates.trust_region("total_variation"), "batch_token_mean"),
    "dppo_kl": _case(
        c.TrustRegion(divergence="binary_kl", bound_low=1e-4, bound_high=1e-4),
        gates.trust_region("binary_kl", 1e-4),
        "batch_token_mean",
    ),
    "both_sides": _case(
        c.TrustRegion(divergence="both_sides", bound_low=0.02, bound_high=0.02, std="none", squared_drift=0.3, cap=1.05),
        gates.trust_region("both_sides", 0.02, cap=1.05, drift=0.3, rule=gates.centred),
        "batch_token_mean",
    ),
    "drpo": _case(c.Drpo(), gates.drpo),
    "dro": _case(c.Dro(), gates.dro, "batch_token_mean"),
    "deepseek_v32": _case(c.Grpo(kl_estimator="weighted_k3", off_policy_delta=0.01), gates.off_policy_mask),
    "high_entropy": _case(c.HighEntropy(), gates.high_entropy, "batch_token_mean"),
    "clip_cov": _case(c.ClipCov(clip_eps=0.2, share=0.05, above=0.1, below=0.5), gates.clip_cov, "batch_token_mean"),
    "kl_cov": _case(c.KlCov(share=0.1, hold=0.5), gates.kl_cov, "batch_token_mean"),
    # likelihood and distillation
    "dft": _case(c.Dft(), gates.dft),
    "gkd": _case(c.Divergence(), lambda b, logp, old, ref: 0.0 * logp[0].sum()),  # test_teacher_losses has what it trains by
    "minillm": _case(
        c.OnPolicyDistillation(credit="to_go"),
        lambda *a: gates.distillation(*a, to_go=True, length=LENGTH),
        "constant_length",
    ),
    "opd_within_bounds": _case(
        c.OnPolicyDistillation(ratio="token", fall=0.01, squared_drift=0.3),
        lambda *a: gates.distillation(*a, ratio=True, fall=0.01, drift=0.3),
    ),
    # the critic
    "ppo_whitened": _case(c.Ppo(whitening="sample"), lambda *a: gates.critic(*a, ddof=1)),
    "vapo": _case(
        c.Ppo(kl_coef=0, length_adaptive=0.3, clip_high=0.28, positive_nll=0.1, value_trace_decay=1.0),
        lambda *a: gates.critic(*a, kl_coef=0, adaptive=0.3, high=0.28, nll=0.1, average=gates.token_mean),
        "batch_token_mean",
    ),
    "ppo_kl_in_loss": _case(
        c.Ppo(kl_coef=0.5, kl_in="loss", kl_estimator="k3"), lambda *a: gates.critic(*a, kl_coef=0.5, kl_in_loss=True)
    ),
    # pairs
    "cdpo": _case(c.Dpo(label_smoothing=0.1), pairs.on_margin(pairs.smoothed), "pair_mean"),
    "dpo_nll": _case(c.Dpo(nll_coef=0.7), pairs.with_nll, "pair_mean"),
    "wpo": _case(c.Wpo(), pairs.weighted, "pair_mean"),
    "ld_dpo": _case(c.Dpo(tail_weight=0.5), pairs.length_desensitised, "pair_mean"),
    "f_dpo_forward_kl": _case(c.Dpo(divergence="forward_kl"), pairs.of_divergence(lambda t: 1 - 1 / t), "pair_mean"),
    "f_dpo_js": _case(c.Dpo(divergence="js"), pairs.of_divergence(lambda t: torch.log(2 * t / (t + 1))), "pair_mean"),
    "f_dpo_alpha": _case(
        c.Dpo(divergence="alpha", alpha=0.3), pairs.of_divergence(lambda t: (t**-0.7 - 1) / -0.7), "pair_mean"
    ),
    "robust_dpo": _case(c.RobustDpo(), pairs.on_margin(pairs.robust), "pair_mean"),
    "exo": _case(c.Exo(label_smoothing=0.05), pairs.on_margin(pairs.exo), "pair_mean"),
    "hinge": _case(c.Hinge(beta=0.5), pairs.on_margin(pairs.hinge, 0.5), "pair_mean"),
    "ipo": _case(c.Ipo(), pairs.ipo, "pair_mean"),
    "ipo_mean": _case(c.Ipo(over="mean"), lambda *a: pairs.ipo(*a, mean=True), "pair_mean"),
    "simpo": _case(c.SimPo(), pairs.simpo, "pair_mean"),
    "cpo": _case(c.Cpo(), pairs.cpo, "pair_mean"),
    "orpo": _case(c.Orpo(), pairs.orpo, "pair_mean"),
    "bco": _case(c.Bco(), pairs.on_scores(pairs.binary), "pair_mean"),
    "nca": _case(c.Nca(), pairs.on_scores(pairs.noise_contrastive), "pair_mean"),
    "sppo": _case(c.Sppo(), pairs.on_scores(pairs.self_play), "pair_mean"),
    "apo_zero": _case(c.ApoZero(), pairs.on_scores(pairs.anchored_zero), "pair_mean"),
    "apo_down": _case(c.ApoDown(), pairs.on_scores(pairs.anchored_down), "pair_mean"),
    "discopop": _case(c.DiscoPop(temperature=0.5), pairs.on_margin(pairs.discopop), "pair_mean"),
    "aot": _case(c.Aot(), pairs.aot, "pair_mean"),
    # without pairs, on sets, with demonstrations beside samples
    "kto": _case(c.Kto(undesirable_weight=0.8), mixed.kto),
    "pass_at_k": _case(c.PassAtK(k=2), mixed.of_set(mixed.passes, 2, "correct_B")),
    "pass_at_3": _case(c.PassAtK(k=3), mixed.of_set(mixed.passes, 3, "correct_B")),
    "pkpo": _case(c.MaxAtK(k=2), mixed.of_set(mixed.raises, 2, average=LENGTH), "constant_length"),
    "pkpo_3": _case(c.MaxAtK(k=3), mixed.of_set(mixed.raises, 3, average=LENGTH), "constant_length"),
    "otb": _case(c.OptimalTokenBaseline(), mixed.otb, "batch_token_mean"),
    "kimi": _case(c.Kimi(drift=0.3), mixed.kimi, "constant_length"),
    "remax": _case(c.ReMax(), beyond.remax, "constant_length"),
    "remax_over_std": _case(c.ReMax(std="population"), lambda *a: beyond.remax(*a, over_std=True), "constant_length"),
    "astar_po": _case(c.OptimalAdvantage(value_beta=0.7, beta=0.3), beyond.astar_po, "constant_length"),
    "spo": _case(c.SingleStream(), beyond.spo, "batch_token_mean"),
    "spo_population": _case(
        c.SingleStream(over_batch="population", dual_clip=None),
        lambda *a: beyond.spo(*a, ddof=0, dual=None),
        "batch_token_mean",
    ),
    "luffy": _case(c.Luffy(), mixed.luffy, "constant_length"),
    "sft_rl": _case(c.SftAndRl(sample_weight=0.7, demonstration_weight=0.3), mixed.sft_and_rl),
    "chord_phi": _case(
        c.SftAndRl(sample_weight=0.7, demonstration_weight=0.3, token_weight="uncertainty"),
        lambda *a: mixed.sft_and_rl(*a, phi=True),
    ),
    "hpt": _case(c.Switched(), mixed.hpt, "batch_token_mean"),
}
