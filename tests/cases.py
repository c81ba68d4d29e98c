"""Every coefficient with its textbook objective: what the gradient tests, and those that look for a missing one, iterate over."""

from __future__ import annotations

from dataclasses import replace

import textbook
import torch

from unified_rl import coefficients as c

LENGTH = 16  # of constant_length


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
