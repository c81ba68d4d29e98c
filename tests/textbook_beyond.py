"""Objectives of rows whose baseline is from beyond the group, written from their papers with loops."""

from __future__ import annotations

import numpy as np
import torch
from textbook import members
from textbook_gates import rewards_of


def remax(b, logp, old, ref, length=16, over_std=False):
    """2310.10505: REINFORCE with r - r(greedy) on every token, summed over tokens."""
    total = 0.0
    for rows in members(b):
        rewards = np.array(rewards_of(b, rows))
        scale = rewards.std() if over_std else 1.0
        for row, r in zip(rows, rewards, strict=True):
            if scale > 0:
                total = total + (r - float(b.inputs.greedy_reward_B[row])) / scale * logp[row].sum()
    return total / (len(logp) * length)


def astar_po(b, logp, old, ref, value_beta=0.7, beta=0.3, length=16):
    """2505.20686: minus the mean of (beta_2 log(pi/pi_ref) - (r - V*))^2, V* = beta_1 log of the mean of exp(r/beta_1)."""
    total = 0.0
    for row, lp in enumerate(logp):
        others = b.inputs.reference_rewards_BN[row].tolist()
        value = value_beta * np.log(np.mean([np.exp(r / value_beta) for r in others]))
        total = total - (beta * (lp - ref[row]).sum() - (float(b.inputs.rewards_B[row]) - value)) ** 2
    return total / (len(logp) * length)


def spo(b, logp, old, ref, ddof=1, low=0.2, high=0.28, dual=10.0):
    """2509.13232: PPO's clip on (r - v) less its batch's mean over its batch's std, a mean over the batch's tokens."""
    raw = np.array([float(b.inputs.rewards_B[row]) - float(b.inputs.tracked_value_B[row]) for row in range(len(logp))])
    advantages = (raw - raw.mean()) / (raw.std(ddof=ddof) + 1e-8)
    total = 0.0
    for row, lp in enumerate(logp):
        for t in range(len(lp)):
            ratio, a = torch.exp(lp[t] - old[row][t]), advantages[row]
            term = torch.minimum(ratio * a, ratio.clamp(1 - low, 1 + high) * a)
            if dual is not None and a < 0:
                term = torch.maximum(term, lp[t] * 0 + dual * a)
            total = total + term
    return total / sum(len(lp) for lp in logp)
