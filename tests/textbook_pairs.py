"""Objectives of preference rows, written from their papers with a loop over pairs, like `textbook`. All are to be maximised."""

from __future__ import annotations

import numpy as np
import torch
from textbook import _pairs


def log_sigmoid(x):
    return torch.log(1 / (1 + torch.exp(-x)))


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def summed(logp, ref, row):
    return logp[row].sum() - ref[row].sum()


def mean_over_pairs(b, per_pair):
    found = [per_pair(plus, minus) for plus, minus in _pairs(b)]
    return sum(found) / len(found)


def on_margin(link, beta=0.1):
    """A link of m = beta (D+ - D-)."""

    def objective(b, logp, old, ref):
        return mean_over_pairs(b, lambda p, m: link(beta * (summed(logp, ref, p) - summed(logp, ref, m))))

    return objective


def on_scores(link, beta=0.1):
    """A link of v+ = beta D+ and v- = beta D-."""

    def objective(b, logp, old, ref):
        return mean_over_pairs(b, lambda p, m: link(beta * summed(logp, ref, p), beta * summed(logp, ref, m)))

    return objective


def smoothed(m, e=0.1):
    return (1 - e) * log_sigmoid(m) + e * log_sigmoid(-m)


def robust(m, e=0.1):
    return ((1 - e) * log_sigmoid(m) - e * log_sigmoid(-m)) / (1 - 2 * e)


def exo(m, e=0.05):
    p = sigmoid(m)
    return -(p * torch.log(p / (1 - e)) + (1 - p) * torch.log((1 - p) / e))


def hinge(m):
    return -torch.clamp(1 - m, min=0)


def discopop(m, temperature=0.5):
    g = sigmoid(m / temperature)
    return (1 - g) * log_sigmoid(m) - g * torch.exp(-m)


def binary(plus, minus):
    return log_sigmoid(plus) + log_sigmoid(-minus)


def noise_contrastive(plus, minus):
    return log_sigmoid(plus) + (log_sigmoid(-plus) + log_sigmoid(-minus)) / 2


def self_play(plus, minus, beta=0.1):
    return -((plus / beta - 0.5 / beta) ** 2) - (minus / beta + 0.5 / beta) ** 2


def anchored_zero(plus, minus):
    return sigmoid(plus) - sigmoid(minus)


def anchored_down(plus, minus):
    return sigmoid(plus - minus) - sigmoid(plus)


def ipo(b, logp, old, ref, beta=0.1, mean=False):
    """Azar et al. 2023, Eq. 17."""

    def of(p, m):
        plus, minus = summed(logp, ref, p), summed(logp, ref, m)
        if mean:
            plus, minus = plus / len(logp[p]), minus / len(logp[m])
        return -((plus - minus - 1 / (2 * beta)) ** 2)

    return mean_over_pairs(b, of)


def simpo(b, logp, old, ref, beta=2.0, gamma=1.0):
    return mean_over_pairs(b, lambda p, m: log_sigmoid(beta * (logp[p].mean() - logp[m].mean()) - gamma))


def cpo(b, logp, old, ref, beta=0.1):
    """With the mean log-likelihood of the chosen response, one per pair."""
    return mean_over_pairs(b, lambda p, m: log_sigmoid(beta * (logp[p].sum() - logp[m].sum())) + logp[p].mean())


def orpo(b, logp, old, ref, lam=0.1):
    def odds(row):
        p = torch.exp(logp[row].mean())
        return p / (1 - p)

    return mean_over_pairs(b, lambda p, m: logp[p].mean() + lam * log_sigmoid(torch.log(odds(p) / odds(m))))


def with_nll(b, logp, old, ref, beta=0.1, nll=0.7):
    return mean_over_pairs(
        b, lambda p, m: log_sigmoid(beta * (summed(logp, ref, p) - summed(logp, ref, m))) + nll * logp[p].mean()
    )


def weighted(b, logp, old, ref, beta=0.1):
    """Zhou et al. 2024: DPO's pairs times both responses' weights, numbers that nothing differentiates."""
    energy = b.inputs.more["squared_probs_BT"]

    def weight(row):
        ratios = [float(torch.exp(lp.detach()) / energy[row, t]) for t, lp in enumerate(logp[row])]
        return float(np.prod(ratios)) ** (1 / len(ratios))

    return mean_over_pairs(
        b, lambda p, m: weight(p) * weight(m) * log_sigmoid(beta * (summed(logp, ref, p) - summed(logp, ref, m)))
    )


def length_desensitised(b, logp, old, ref, beta=0.1, tail=0.5):
    """The tokens past the shorter response's length count `tail`."""

    def score(row, shorter):
        gaps = logp[row] - ref[row]
        return gaps[:shorter].sum() + tail * gaps[shorter:].sum()

    def of(p, m):
        shorter = min(len(logp[p]), len(logp[m]))
        return log_sigmoid(beta * (score(p, shorter) - score(m, shorter)))

    return mean_over_pairs(b, of)


def of_divergence(derivative, beta=0.1):
    """f-DPO: f'(pi / pi_ref) of the sequence in place of the log-ratio."""

    def objective(b, logp, old, ref):
        def score(row):
            return derivative(torch.exp(summed(logp, ref, row)))

        return mean_over_pairs(b, lambda p, m: log_sigmoid(beta * (score(p) - score(m))))

    return objective


def aot(b, logp, old, ref, beta=0.1):
    """Melnyk et al. 2024: both sides sorted by their log-ratio, and compared rank by rank."""
    plus, minus = zip(*_pairs(b), strict=True)
    by_rank = [
        [rows[k] for k in np.argsort([float(summed(logp, ref, row).detach()) for row in rows])] for rows in (plus, minus)
    ]
    found = [log_sigmoid(beta * (summed(logp, ref, p) - summed(logp, ref, m))) for p, m in zip(*by_rank, strict=True)]
    return sum(found) / len(found)
