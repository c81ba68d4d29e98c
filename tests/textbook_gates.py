"""Objectives of the rows with other ratios, gates and advantages, written from their papers with loops, like `textbook`.

`sg` is the papers' stop-gradient: what it holds is a number.
"""

from __future__ import annotations

import numpy as np
import torch
from textbook import _clipped, _gae, _kl, members, outcome_advantages


def sg(value):
    return value.detach()


def rewards_of(b, rows):
    return [float(b.inputs.rewards_B[r]) for r in rows]


def per_group(b, rule):
    """Row -> rule(rewards of its group, its place in the group, the group's lengths)."""
    found = {}
    for rows in members(b):
        rewards = np.array(rewards_of(b, rows))
        lengths = np.array([int(b.inputs.response_mask_BT[r].sum()) for r in rows])
        found |= {row: float(rule(rewards, place, lengths)) for place, row in enumerate(rows)}
    return found


def zscore(rewards, place, lengths, ddof=0, epsilon=0.0):
    std = rewards.std(ddof=ddof)
    return (rewards[place] - rewards.mean()) / (std + epsilon) if std > 0 else 0.0


def centred(rewards, place, lengths):
    return rewards[place] - rewards.mean()


def over_mean(rewards, place, lengths):
    return (rewards[place] - rewards.mean()) / rewards.mean() if rewards.mean() else 0.0


def over_others(rewards, place, lengths):
    """Against the mean and the ddof-1 std of the others."""
    rest = np.delete(rewards, place)
    std = rest.std(ddof=1)
    return (rewards[place] - rest.mean()) / std if std > 0 else 0.0


def length_weighted(rewards, place, lengths):
    return rewards[place] - (lengths * rewards).sum() / lengths.sum()


def lead(rewards, place, lengths):
    """(r - the best of the others)/std where that is positive."""
    gain = rewards[place] - max(np.delete(rewards, place))
    return gain / rewards.std() if gain > 0 else 0.0


def token_mean(b, logp, per_response):
    tokens = sum(len(lp) for lp in logp)
    return sum(per_response(i, lp) for i, lp in enumerate(logp)) / tokens


def sequence_mean(b, logp, per_response):
    return sum(per_response(i, lp) / len(lp) for i, lp in enumerate(logp)) / len(logp)


def clipped_with(rule, low=0.2, high=0.2, average=sequence_mean):
    """PPO's clip on the advantages of a rule."""

    def objective(b, logp, old, ref):
        advantage = per_group(b, rule)
        return average(b, logp, lambda i, lp: _clipped(lp, old[i], [advantage[i]] * len(lp), low, high))

    return objective


def several_apart(b, logp, old, ref, ddof=0, low=0.2, high=0.2):
    """GDPO: each reward's z-score in its group, weighted and added up; then the z-score of the sums over the batch."""
    summed = [0.0] * len(logp)
    for k in range(b.inputs.reward_parts_BK.shape[1]):
        for rows in members(b):
            rewards = np.array([float(b.inputs.reward_parts_BK[r, k]) for r in rows])
            for row, reward in zip(rows, rewards, strict=True):
                z = (reward - rewards.mean()) / rewards.std() if rewards.std() > 0 else 0.0
                summed[row] += float(b.inputs.reward_weights_BK[row, k]) * z
    summed = np.array(summed)
    advantage = (summed - summed.mean()) / summed.std(ddof=ddof)
    return token_mean(b, logp, lambda i, lp: _clipped(lp, old[i], [advantage[i]] * len(lp), low, high))


def dual_clip(b, logp, old, ref, eps=0.2, c=1.5):
    """Ye et al. 2020, Eq. 5: for A < 0, max(min(rho A, clip(rho) A), c A)."""
    advantage = outcome_advantages(b)

    def of(i, lp):
        total = 0.0
        for t in range(len(lp)):
            a, rho = advantage[i][t], torch.exp(lp[t] - old[i][t])
            inner = torch.minimum(rho * a, torch.clamp(rho, 1 - eps, 1 + eps) * a)
            total = total + (torch.clamp(inner, min=c * a) if a < 0 else inner)
        return total

    return sequence_mean(b, logp, of)


def batch_std(b, logp, old, ref):
    """Centred in the group, divided by the ddof-1 std of all rewards of the batch + 1e-4."""
    std = np.std(b.inputs.rewards_B.numpy(), ddof=1) + 1e-4
    return clipped_with(lambda *given: centred(*given) / std)(b, logp, old, ref)


def whitened(values, lengths, ddof):
    """Per token (A - mean)/std over all tokens of the batch; `values` a list of lists."""
    flat = np.concatenate([np.array(v, dtype=float) for v in values])
    return [[(x - flat.mean()) / flat.std(ddof=ddof) for x in row] for row in values]


def reinforce_pp(b, logp, old, ref, kl_coef=0.3):
    raw = []
    for i, lp in enumerate(logp):
        kl = [float(old[i][t] - ref[i][t]) for t in range(len(lp))]
        raw.append([float(b.inputs.rewards_B[i]) - kl_coef * sum(kl[t:]) for t in range(len(lp))])
    advantage = whitened(raw, None, 1)
    return token_mean(b, logp, lambda i, lp: _clipped(lp, old[i], advantage[i], 0.2, 0.2))


def reinforce_pp_baseline(b, logp, old, ref, kl_coef=0.3):
    score = per_group(b, centred)
    advantage = whitened([[score[i]] * len(lp) for i, lp in enumerate(logp)], None, 1)
    return token_mean(
        b,
        logp,
        lambda i, lp: _clipped(lp, old[i], advantage[i], 0.2, 0.2) - kl_coef * _kl("k2", lp, old[i], ref[i]).sum(),
    )


def opo(b, logp, old, ref):
    advantage = per_group(b, length_weighted)
    return token_mean(b, logp, lambda i, lp: advantage[i] * lp.sum())


def gpg(b, logp, old, ref):
    advantage = per_group(b, centred)
    alpha = len(logp) / max(sum(float(r) != 0 for r in b.inputs.rewards_B), 1)
    return token_mean(b, logp, lambda i, lp: alpha * advantage[i] * lp.sum())


def reinforce(b, logp, old, ref):
    return sequence_mean(b, logp, lambda i, lp: float(b.inputs.rewards_B[i]) * lp.sum())


def plain_ratio(b, logp, old, ref):
    advantage = per_group(b, zscore)
    return sequence_mean(b, logp, lambda i, lp: (torch.exp(lp - old[i]) * advantage[i]).sum())


def signed(right, wrong, ratio=False):
    def objective(b, logp, old, ref):
        def of(i, lp):
            a = right if float(b.inputs.correct_B[i]) else -wrong
            return _clipped(lp, old[i], [a] * len(lp), 0.2, 0.2) if ratio else a * lp.sum()

        return sequence_mean(b, logp, of)

    return objective


def rloo_of_sequences(b, logp, old, ref, length=16):
    """Several updates: the ratio of the whole response, clipped once; each response counts once, over a constant."""
    advantage = per_group(b, lambda rewards, place, lengths: rewards[place] - np.delete(rewards, place).mean())
    total = 0.0
    for i, lp in enumerate(logp):
        ratio = torch.exp((lp - old[i]).sum())
        total = total + torch.minimum(ratio * advantage[i], torch.clamp(ratio, 0.8, 1.2) * advantage[i])
    return total / (len(logp) * length)


def gmpo(b, logp, old, ref, low=0.05, high=0.05):
    """Zhao et al. 2025, Eq. 4: the geometric mean of the ratios, each clipped by min in the direction of the advantage."""
    advantage = per_group(b, zscore)
    total = 0.0
    for i, lp in enumerate(logp):
        sign, logs = np.sign(advantage[i]), []
        for t in range(len(lp)):
            x = lp[t] - old[i][t]
            logs.append(sign * torch.minimum(sign * x, sign * torch.clamp(x, -low, high)))
        total = total + torch.exp(sum(logs) / len(lp)) * advantage[i]
    return total / len(logp)


def vespo(b, logp, old, ref):
    advantage = per_group(b, zscore)

    def of(i, lp):
        weight = torch.exp((lp - old[i]).sum())
        k, lam = (2.0, 3.0) if advantage[i] >= 0 else (3.0, 2.0)
        return sg(weight**k * torch.exp(lam * (1 - weight))) * advantage[i] * lp.sum()

    return token_mean(b, logp, of)


def cispo(b, logp, old, ref, low=0.1, high=0.05):
    advantage = per_group(b, zscore)
    return token_mean(
        b, logp, lambda i, lp: (sg(torch.clamp(torch.exp(lp - old[i]), 1 - low, 1 + high)) * advantage[i] * lp).sum()
    )


def sapo(b, logp, old, ref, positive=1.0, negative=1.05):
    """Gao et al. 2025: 4/tau sigmoid(tau (rho - 1)) A, averaged over each response."""
    advantage = per_group(b, zscore)

    def of(i, lp):
        tau = positive if advantage[i] > 0 else negative
        return (4 / tau * torch.sigmoid(tau * (torch.exp(lp - old[i]) - 1)) * advantage[i]).sum()

    return sequence_mean(b, logp, of)


def trust_region(divergence, bound=0.02, cap=20.0, drift=0.0, rule=zscore):
    def objective(b, logp, old, ref):
        advantage = per_group(b, rule)

        def of(i, lp):
            total = 0.0
            for t in range(len(lp)):
                new, before = float(torch.exp(lp[t].detach())), float(torch.exp(old[i][t]))
                moved = new - before
                up = advantage[i] > 0
                if divergence == "total_variation":
                    kept = moved <= bound if up else moved >= -bound
                elif divergence == "both_sides":
                    kept = abs(moved) <= bound
                else:
                    kl = before * np.log(before / new) + (1 - before) * np.log((1 - before) / (1 - new))
                    kept = kl <= bound or (moved <= 0 if up else moved >= 0)
                weight = sg(torch.clamp(torch.exp(lp[t] - old[i][t]), max=cap))
                total = total + kept * weight * advantage[i] * lp[t] - drift * (lp[t] - old[i][t]) ** 2
            return total

        return token_mean(b, logp, of)

    return objective


def drpo(b, logp, old, ref, delta=0.2):
    """Its gradient is stated, not its objective: the weight stands before grad log pi."""
    advantage = per_group(b, zscore)

    def of(i, lp):
        rho, moved = torch.exp(lp - old[i]), torch.exp(lp) - torch.exp(old[i])
        return (sg(rho * advantage[i] * (1 - torch.sign(advantage[i] * (rho - 1)) * moved.abs() / delta)) * lp).sum()

    return sequence_mean(b, logp, of)


def dro(b, logp, old, ref, drift=0.1):
    advantage = per_group(b, zscore)
    return token_mean(b, logp, lambda i, lp: (advantage[i] * lp - drift / 2 * (lp - old[i]) ** 2).sum())


def off_policy_mask(b, logp, old, ref, delta=0.01):
    """GRPO with the weighted k3; responses with A < 0 whose mean log(pi_old / pi) exceeds delta keep only the KL."""
    advantage = outcome_advantages(b)

    def of(i, lp):
        dropped = advantage[i][0] < 0 and float((old[i] - lp.detach()).mean()) > delta
        gain = 0.0 if dropped else _clipped(lp, old[i], advantage[i], 0.2, 0.2)
        return gain - 0.04 * _kl("weighted_k3", lp, old[i], ref[i]).sum()

    return sequence_mean(b, logp, of)


def kl_in_reward_to_go(b, logp, old, ref, kl_coef=0.3):
    """Leave-one-out on the rewards alone; each token then pays for the KL of what follows."""
    advantage = per_group(b, lambda rewards, place, lengths: rewards[place] - np.delete(rewards, place).mean())

    def of(i, lp):
        kl = [float(old[i][t] - ref[i][t]) for t in range(len(lp))]
        return sum((advantage[i] - kl_coef * sum(kl[t:])) * lp[t] for t in range(len(lp)))

    return sequence_mean(b, logp, of)


def high_entropy(b, logp, old, ref, share=0.2):
    entropy = b.inputs.more["entropy_BT"]
    flat = np.concatenate([entropy[i, : len(lp)].numpy() for i, lp in enumerate(logp)])
    least = np.quantile(flat, 1 - share)
    advantage = per_group(b, zscore)

    def of(i, lp):
        return sum(
            _clipped(lp[t : t + 1], old[i][t : t + 1], [advantage[i]], 0.2, 0.2)
            for t in range(len(lp))
            if entropy[i, t] >= least
        )

    return token_mean(b, logp, of)


def kl_cov(b, logp, old, ref, share=0.1, hold=0.5):
    advantage = per_group(b, zscore)
    places = [(i, t) for i, lp in enumerate(logp) for t in range(len(lp))]
    a = np.array([advantage[i] for i, _ in places])
    p = np.array([float(logp[i][t].detach()) for i, t in places])
    covariance = (a - a.mean()) * (p - p.mean())
    held = {places[k] for k in np.argsort(-covariance)[: max(1, int(len(places) * share))]}

    def of(i, lp):
        total = 0.0
        for t in range(len(lp)):
            log_ratio = lp[t] - old[i][t]
            total = total + torch.exp(log_ratio) * advantage[i] - hold * log_ratio.abs() * ((i, t) in held)
        return total

    return token_mean(b, logp, of)


def clip_cov(b, logp, old, ref, eps=0.2, share=0.05, above=0.1, below=0.5):
    """PPO's clip; then tokens in the order of their numbers lose their gradient, until there are enough or no more in the band."""
    advantage = per_group(b, zscore)
    places = [(i, t) for i, lp in enumerate(logp) for t in range(len(lp))]
    mean_a = np.mean([advantage[i] for i, _ in places])
    mean_p = np.mean([float(logp[i][t].detach()) for i, t in places])
    band = []
    for i, t in places:
        ratio = float(torch.exp(logp[i][t].detach() - old[i][t]))
        stays = ratio * advantage[i] <= min(max(ratio, 1 - eps), 1 + eps) * advantage[i]
        if stays and above < (advantage[i] - mean_a) * (float(logp[i][t].detach()) - mean_p) < below:
            band.append((float(b.inputs.more["chance_BT"][i, t]), i, t))
    drawn = {(i, t) for _, i, t in sorted(band)[: max(1, int(len(places) * share))]}
    assert drawn

    def of(i, lp):
        kept = [t for t in range(len(lp)) if (i, t) not in drawn]
        return sum((_clipped(lp[t : t + 1], old[i][t : t + 1], [advantage[i]], eps, eps) for t in kept), start=0.0 * lp.sum())

    return token_mean(b, logp, of)


def dft(b, logp, old, ref):
    return sequence_mean(b, logp, lambda i, lp: (sg(torch.exp(lp)) * lp).sum())


def distillation(b, logp, old, ref, to_go=False, ratio=False, fall=None, drift=0.0, length=None):
    """The score-function form: the teacher's log-ratio, a number, before grad log pi."""
    teacher = b.inputs.teacher_logp_BT

    def of(i, lp):
        wanted = [float(teacher[i, t] - lp[t].detach()) for t in range(len(lp))]
        wanted = [sum(wanted[t:]) for t in range(len(lp))] if to_go else wanted
        total = 0.0
        for t in range(len(lp)):
            rho = torch.exp(lp[t] - old[i][t])
            kept = fall is None or float(torch.exp(lp[t].detach()) - torch.exp(old[i][t])) >= -fall
            total = total + kept * wanted[t] * (rho if ratio else lp[t]) - drift * (lp[t] - old[i][t]) ** 2
        return total

    if length:
        return sum(of(i, lp) for i, lp in enumerate(logp)) / (len(logp) * length)
    return sequence_mean(b, logp, of)


def critic(
    b, logp, old, ref, *, kl_coef=0.04, ddof=None, adaptive=None, high=0.2, nll=0.0, kl_in_loss=False, average=sequence_mean
):
    """PPO with whitened advantages, a trace decay by the length, a likelihood of right responses, and the KL (k3) in the loss."""
    raw = []
    for i, lp in enumerate(logp):
        rewards = [0.0] * (len(lp) - 1) + [float(b.inputs.rewards_B[i])]
        if not kl_in_loss:
            rewards = [r - kl_coef * float(old[i][t] - ref[i][t]) for t, r in enumerate(rewards)]
        decay = 0.95 if adaptive is None else max(0.0, 1 - 1 / (adaptive * len(lp)))
        raw.append(_gae(rewards, b.inputs.values_BT[i, : len(lp)].tolist(), 1.0, decay))
    advantage = raw if ddof is None else whitened(raw, None, ddof)

    def of(i, lp):
        total = _clipped(lp, old[i], advantage[i], 0.2, high) + nll * float(b.inputs.correct_B[i]) * lp.sum()
        return total - kl_coef * _kl("k3", lp, old[i], ref[i]).sum() if kl_in_loss else total

    return average(b, logp, of)
