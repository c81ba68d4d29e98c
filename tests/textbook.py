"""Each method's own objective, written from its paper with loops over responses and tokens, for autograd to differentiate.

Nothing here uses `unified_rl.ops`: these are the independent references of the gradient tests. All are to be maximised.
`b` is a `ragged.Ragged`; `logp` a list of [T] tensors that require grad; `old`, `ref` lists of constants.
"""

from __future__ import annotations

import numpy as np
import torch


def members(b):
    groups: dict[int, list[int]] = {}
    for row, group in enumerate(b.inputs.group_B.tolist()):
        groups.setdefault(group, []).append(row)
    return list(groups.values())


def sft(b, logp, old, ref):
    return sum(lp.sum() / len(lp) for lp in logp) / len(logp)


def rft(b, logp, old, ref):
    return sum(float(b.inputs.correct_B[i]) * lp.sum() / len(lp) for i, lp in enumerate(logp)) / len(logp)


def _pairs(b):
    for rows in members(b):
        (plus,), (minus,) = ([r for r in rows if bool(b.inputs.chosen_B[r]) == side] for side in (True, False))
        yield plus, minus


def dpo(b, logp, old, ref, beta=0.1):
    """Rafailov et al. 2023, Eq. 7: mean over pairs of log sigma(beta (log-ratio+ - log-ratio-)), sums over tokens."""
    total = 0.0
    for plus, minus in _pairs(b):
        margin = beta * ((logp[plus].sum() - ref[plus].sum()) - (logp[minus].sum() - ref[minus].sum()))
        total = total + torch.log(1 / (1 + torch.exp(-margin)))
    return total / len(members(b))


def dpo_length_averaged(b, logp, old, ref, beta=0.1):
    """DeepSeekMath Eq. 12: means over tokens."""
    total = 0.0
    for plus, minus in _pairs(b):
        margin = beta * ((logp[plus] - ref[plus]).mean() - (logp[minus] - ref[minus]).mean())
        total = total + torch.log(1 / (1 + torch.exp(-margin)))
    return total / len(members(b))


def _clipped(lp, old_lp, advantage, low, high):
    """sum over tokens of min(rho A, clip(rho) A)."""
    total = 0.0
    for t in range(len(lp)):
        rho = torch.exp(lp[t] - old_lp[t])
        limited = torch.clamp(rho, 1 - low, 1 + high)
        total = total + torch.minimum(rho * advantage[t], limited * advantage[t])
    return total


def _gae(rewards, values, discount, trace_decay):
    """Sum over later deltas, straight from the definition (no recursion)."""
    length = len(rewards)
    deltas = [rewards[t] + discount * (values[t + 1] if t + 1 < length else 0.0) - values[t] for t in range(length)]
    return [sum((discount * trace_decay) ** (s - t) * deltas[s] for s in range(t, length)) for t in range(length)]


def ppo(b, logp, old, ref, kl_coef=0.04, eps=0.2, discount=1.0, trace_decay=0.95, process=False):
    total = 0.0
    for i, lp in enumerate(logp):
        length = len(lp)
        rewards = [0.0] * length
        if process:
            for t in range(length):
                rewards[t] = float(b.inputs.step_rewards_BT[i, t]) if b.inputs.step_ends_BT[i, t] else 0.0
        else:
            rewards[-1] = float(b.inputs.rewards_B[i])
        rewards = [r - kl_coef * float(old[i][t] - ref[i][t]) for t, r in enumerate(rewards)]
        advantage = _gae(rewards, b.inputs.values_BT[i, :length].tolist(), discount, trace_decay)
        total = total + _clipped(lp, old[i], advantage, eps, eps) / length
    return total / len(logp)


def _zscores(rewards):
    rewards = np.array(rewards, dtype=np.float64)
    return (rewards - rewards.mean()) / rewards.std() if rewards.std() > 0 else np.zeros(len(rewards))


def outcome_advantages(b):
    advantage = {}
    for rows in members(b):
        for row, z in zip(rows, _zscores([float(b.inputs.rewards_B[r]) for r in rows]), strict=True):
            advantage[row] = [z] * int(b.inputs.response_mask_BT[row].sum())
    return advantage


def process_advantages(b):
    """4.1.3: pool the step rewards of the whole group; a token gets the sum over steps that end at or after it."""
    advantage = {}
    for rows in members(b):
        steps = [(r, t) for r in rows for t in range(b.inputs.step_ends_BT.shape[1]) if b.inputs.step_ends_BT[r, t]]
        normalised = dict(zip(steps, _zscores([float(b.inputs.step_rewards_BT[r, t]) for r, t in steps]), strict=True))
        for r in rows:
            length = int(b.inputs.response_mask_BT[r].sum())
            advantage[r] = [sum(z for (row, end), z in normalised.items() if row == r and end >= t) for t in range(length)]
    return advantage


def _kl(name, lp, old_lp, ref_lp):
    log_ratio = lp - ref_lp
    return {
        "k1": log_ratio,
        "k2": log_ratio**2 / 2,
        "k3": torch.exp(-log_ratio) + log_ratio - 1,
        "weighted_k3": torch.exp(lp - old_lp) * (torch.exp(-log_ratio) + log_ratio - 1),
    }[name]


def grpo(b, logp, old, ref, kl_coef=0.04, eps=0.2, estimator="k3", process=False, signs="both"):
    """Eq. 3; `signs` keeps only the positive or the negative advantages."""
    advantage = process_advantages(b) if process else outcome_advantages(b)
    kept = {"both": lambda a: True, "positive": lambda a: a > 0, "negative": lambda a: a < 0}[signs]
    advantage = {row: [a if kept(a) else 0.0 for a in of_tokens] for row, of_tokens in advantage.items()}
    total = 0.0
    for i, lp in enumerate(logp):
        penalty = _kl(estimator, lp, old[i], ref[i]).sum()
        total = total + (_clipped(lp, old[i], advantage[i], eps, eps) - kl_coef * penalty) / len(lp)
    return total / len(logp)


def steps_of(b, row):
    """The tokens of each step of a response; what comes after the last step's end is in none."""
    begun, found = 0, []
    for t in range(int(b.inputs.response_mask_BT[row].sum())):
        if b.inputs.step_ends_BT[row, t]:
            found.append(list(range(begun, t + 1)))
            begun = t + 1
    return found


def vine_ppo(b, logp, old, ref, kl_coef=1e-4, eps=0.2, largest=10.0, whitened=True):
    """arXiv 2410.01679: PPO's clip on the one-step advantage of each step, whitened (ddof 1) over the batch's tokens; k3, held."""
    advantage = {
        row: {t: float(b.inputs.step_rewards_BT[row, step[-1]]) for step in steps_of(b, row) for t in step}
        for row in range(len(logp))
    }
    every = np.array([advantage[row].get(t, 0.0) for row, lp in enumerate(logp) for t in range(len(lp))])
    total = 0.0
    for row, lp in enumerate(logp):
        of_tokens = [advantage[row].get(t, 0.0) for t in range(len(lp))]
        if whitened:
            of_tokens = [(a - every.mean()) / every.std(ddof=1) for a in of_tokens]
        total = total + _clipped(lp, old[row], of_tokens, eps, eps)
        for t in range(len(lp)):
            total = total - kl_coef * torch.clamp(_kl("k3", lp[t], old[row][t], ref[row][t]), max=largest)
    return total / len(every)


def tree_rl(b, logp, old, ref, eps=0.2):
    """PPO's clip on each token's own step's reward, as it is; 1/|o|."""
    total = 0.0
    for row, lp in enumerate(logp):
        of_tokens = [0.0] * len(lp)
        for step in steps_of(b, row):
            for t in step:
                of_tokens[t] = float(b.inputs.step_rewards_BT[row, step[-1]])
        total = total + _clipped(lp, old[row], of_tokens, eps, eps) / len(lp)
    return total / len(logp)


def grpo_kl_in_reward(b, logp, old, ref, kl_coef=0.5, eps=0.2):
    """Eq. 3 without its KL term, on rewards with the response's summed KL of Eq. 2."""
    total = 0.0
    for rows in members(b):
        scores = _zscores([float(b.inputs.rewards_B[r]) - kl_coef * float((old[r] - ref[r]).sum()) for r in rows])
        for r, z in zip(rows, scores, strict=True):
            total = total + _clipped(logp[r], old[r], [z] * len(logp[r]), eps, eps) / len(logp[r])
    return total / len(logp)


def rloo(b, logp, old, ref, kl_coef=0.03, length=16):
    """Ahmadian et al. 2024, with token sums divided by a constant length."""
    total = 0.0
    for rows in members(b):
        reward = {r: float(b.inputs.rewards_B[r]) - kl_coef * float((old[r] - ref[r]).sum()) for r in rows}
        for r in rows:
            baseline = np.mean([reward[other] for other in rows if other != r])
            total = total + (reward[r] - baseline) * logp[r].sum()
    return total / (len(logp) * length)


def dr_grpo(b, logp, old, ref, eps=0.2, length=16):
    total = 0.0
    for rows in members(b):
        mean = np.mean([float(b.inputs.rewards_B[r]) for r in rows])
        for r in rows:
            total = total + _clipped(logp[r], old[r], [float(b.inputs.rewards_B[r]) - mean] * len(logp[r]), eps, eps)
    return total / (len(logp) * length)


def dapo(b, logp, old, ref, low=0.2, high=0.28):
    advantage = outcome_advantages(b)
    groups = members(b)
    total = 0.0
    for rows in groups:
        tokens = sum(len(logp[r]) for r in rows)
        total = total + sum(_clipped(logp[r], old[r], advantage[r], low, high) for r in rows) / tokens
    return total / len(groups)


def gspo(b, logp, old, ref, eps=0.01):
    """Zheng et al. 2025, Eqs. 5 and 7: a sequence-level ratio."""
    advantage = outcome_advantages(b)
    total = 0.0
    for i, lp in enumerate(logp):
        ratio = torch.exp((lp - old[i]).mean())
        total = total + torch.minimum(ratio * advantage[i][0], torch.clamp(ratio, 1 - eps, 1 + eps) * advantage[i][0])
    return total / len(logp)


def on_policy_distillation(b, logp, old, ref):
    """Per-token reverse KL on given samples (Gu et al. 2023): its gradient is that of minus half the squared log-ratio."""
    teacher = b.inputs.teacher_logp_BT
    return -sum(((lp - teacher[i, : len(lp)]) ** 2).mean() / 2 for i, lp in enumerate(logp)) / len(logp)
