"""Objectives of rows whose baseline is from beyond the group, written from their papers with loops."""

from __future__ import annotations

import numpy as np
from textbook import members
from textbook_gates import rewards_of


def remax(b, logp, old, ref, length=16, over_std=False):
    """2310.10505, Eq. 8 with the advantage r - r(greedy) on every token: REINFORCE, summed over tokens."""
    total = 0.0
    for rows in members(b):
        rewards = np.array(rewards_of(b, rows))
        scale = rewards.std() if over_std else 1.0
        for row, r in zip(rows, rewards, strict=True):
            if scale > 0:
                total = total + (r - float(b.inputs.greedy_reward_B[row])) / scale * logp[row].sum()
    return total / (len(logp) * length)
