"""Objectives of rows on demonstrations beside samples, on unpaired responses and on sets, written from their papers with loops."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import torch
from textbook import _clipped, members
from textbook_gates import rewards_of, sg


def lengths_of(logp):
    return [len(lp) for lp in logp]


def own_advantages(b, std):
    """Row -> (r - mean)/std over the samples of its group alone; demonstrations have none."""
    found = {}
    for rows in members(b):
        own = [row for row in rows if not b.inputs.demonstrated_B[row]]
        rewards = np.array(rewards_of(b, own))
        spread = rewards.std() if std else 1.0
        found |= {row: (r - rewards.mean()) / spread if spread > 0 else 0.0 for row, r in zip(own, rewards, strict=True)}
    return found


def luffy(b, logp, old, ref, gamma=0.1, length=16):
    """2504.14945, Eq. 5 without its clip: rho A of the samples, f(pi) A of the others, A over the union and without std."""
    total = 0.0
    for rows in members(b):
        rewards = np.array(rewards_of(b, rows))
        for row, r in zip(rows, rewards, strict=True):
            pi = torch.exp(logp[row])
            weight = pi / (pi + gamma) if b.inputs.demonstrated_B[row] else torch.exp(logp[row] - old[row])
            total = total + (weight * (r - rewards.mean())).sum()
    return total / (len(logp) * length)


def sft_and_rl(b, logp, old, ref, mu=0.3, nu=0.7, phi=False):
    """mu times SFT on the demonstrations plus nu times GRPO on the samples, each a mean over its own responses of token means."""
    advantage = own_advantages(b, std=True)
    sft, rl = [], []
    for row, lp in enumerate(logp):
        if b.inputs.demonstrated_B[row]:
            pi = sg(torch.exp(lp))
            sft.append(((pi * (1 - pi) if phi else 1.0) * lp).mean())
        else:
            rl.append(_clipped(lp, old[row], [advantage[row]] * len(lp), 0.2, 0.2) / len(lp))
    return mu * sum(sft) / len(sft) + nu * sum(rl) / len(rl)


def hpt(b, logp, old, ref):
    """2509.04419: of a prompt that no sample solves SFT on its demonstration, of any other RL on its samples; token means."""
    advantage = own_advantages(b, std=False)
    sft, rl, counts = 0.0, 0.0, [0, 0]
    for rows in members(b):
        own = [row for row in rows if not b.inputs.demonstrated_B[row]]
        solved = any(b.inputs.correct_B[row] for row in own)
        for row in rows:
            lp = logp[row]
            if row in own and solved:
                rl, counts[0] = rl + _clipped(lp, old[row], [advantage[row]] * len(lp), 0.2, 0.2), counts[0] + len(lp)
            if row not in own and not solved:
                sft, counts[1] = sft + lp.sum(), counts[1] + len(lp)
    return rl / max(counts[0], 1) + sft / max(counts[1], 1)


def kto(b, logp, old, ref, beta=0.1, desirable=1.0, undesirable=0.8):
    """2402.01306, Eq. 8: lambda_D sigma(beta (r - z0)) of right ones, lambda_U sigma(beta (z0 - r)) of wrong ones; z0 a number."""
    total = 0.0
    for row, lp in enumerate(logp):
        gap = (lp - ref[row]).sum() - float(b.inputs.mismatched_kl_B[row])
        right = bool(b.inputs.correct_B[row])
        total = total + (desirable if right else undesirable) * torch.sigmoid(beta * gap if right else -beta * gap)
    return total / len(logp)


def passes(correct, place, k):
    """2508.10751, section 2.3, by enumeration of the groups of k: a group's reward is its best, normalised over all groups."""
    groups = list(combinations(range(len(correct)), k))
    rewards = np.array([max(correct[i] for i in group) for group in groups], dtype=float)
    if rewards.std() == 0:
        return 0.0
    z = (rewards - rewards.mean()) / rewards.std()
    return float(np.mean([z[i] for i, group in enumerate(groups) if place in group]))


def raises(rewards, place, k):
    """2505.15201, Eq. 33, by enumeration of the subsets of k, times n."""
    rest = [i for i in range(len(rewards)) if i != place]
    gains = [
        max(max(rewards[i] for i in others), rewards[place]) - max(rewards[i] for i in others)
        for others in combinations(rest, k - 1)
    ]
    return len(rewards) * sum(gains) / comb(len(rewards), k)


def of_set(rule, k, which="rewards_B", average=None):
    """PPO's clip on advantages of a rule over the group's values."""

    def objective(b, logp, old, ref):
        total = 0.0
        for rows in members(b):
            values = [float(getattr(b.inputs, which)[row]) for row in rows]
            for place, row in enumerate(rows):
                term = _clipped(logp[row], old[row], [rule(values, place, k)] * len(logp[row]), 0.2, 0.2)
                total = total + term / (len(logp[row]) if average is None else average)
        return total / len(logp)

    return objective


def otb(b, logp, old, ref):
    """verl: at each place the group's rewards weighted by the energy of its log-probs' gradient so far, as the baseline."""
    total, tokens = 0.0, sum(lengths_of(logp))
    for rows in members(b):
        energy = {}
        for row in rows:
            pi = sg(torch.exp(logp[row]))
            squared = b.inputs.squared_probs_BT[row][: len(pi)]
            energy[row] = torch.cumsum(1 - 2 * pi + squared, 0)
        for row in rows:
            for t, lp in enumerate(logp[row]):
                there = [other for other in rows if len(logp[other]) > t]
                weights = [float(energy[other][t]) for other in there]
                mean = sum(w * float(b.inputs.rewards_B[other]) for w, other in zip(weights, there, strict=True)) / sum(weights)
                total = total + (float(b.inputs.rewards_B[row]) - mean) * lp
    return total / tokens


def kimi(b, logp, old, ref, tau=0.3, length=16):
    """2501.12599, Eq. 3 doubled: (r - mean) log pi - tau/2 (log pi/pi_i)^2 of whole responses."""
    total = 0.0
    for rows in members(b):
        mean = np.mean(rewards_of(b, rows))
        for row in rows:
            gap = (logp[row] - old[row]).sum()
            total = total + (float(b.inputs.rewards_B[row]) - mean) * logp[row].sum() - tau / 2 * gap**2
    return total / (len(logp) * length)
