"""Links of preference losses: how fast a pair's objective grows with beta times a response's score. Tensors in, slopes out.

A preference loss is a margin x a link: a score of each response (its summed log-ratio to the reference, say), the margin
m = beta (score of the chosen - score of the rejected), and a function of the two that is minimised. The coefficient of a response
is side * beta * slope * d score / d logp, with side +1 or -1. v is beta times a response's own score, e the rate of flipped labels.
All [B], one value per response; both of a pair where they depend on the margin alone.
"""

import math

import torch
from torch import Tensor


def logistic(margin_B: Tensor, smoothing: float = 0.0) -> Tensor:
    """Of log sigmoid(m) (DPO, arXiv 2305.18290); with e > 0 of (1 - e) log sigmoid(m) + e log sigmoid(-m) (conservative DPO)."""
    return (1 - smoothing) * torch.sigmoid(-margin_B) - smoothing * torch.sigmoid(margin_B)


def robust(margin_B: Tensor, smoothing: float) -> Tensor:
    """Of ((1 - e) log sigmoid(m) - e log sigmoid(-m)) / (1 - 2e): unbiased under flips at rate e (arXiv 2403.00409)."""
    return ((1 - smoothing) * torch.sigmoid(-margin_B) + smoothing * torch.sigmoid(margin_B)) / (1 - 2 * smoothing)


def hinge(margin_B: Tensor) -> Tensor:
    """Of -max(0, 1 - m) (SLiC, arXiv 2305.10425)."""
    return (margin_B < 1).to(margin_B)


def squared(margin_B: Tensor, beta: float) -> Tensor:
    """Of -(m / beta - 1 / (2 beta))^2 (IPO, arXiv 2310.12036): the margin is pulled to 1/2, from either side."""
    return (1 - 2 * margin_B) / beta**2


def exo(margin_B: Tensor, smoothing: float) -> Tensor:
    """Of -KL((sigmoid(m), sigmoid(-m)) || (1 - e, e)) (EXO on pairs, arXiv 2402.00856)."""
    chance_B = torch.sigmoid(margin_B)
    return chance_B * (1 - chance_B) * (math.log(1 - smoothing) - math.log(smoothing) - margin_B)


def discopop(margin_B: Tensor, temperature: float) -> Tensor:
    """Of (1 - g) log sigmoid(m) - g e^-m, g = sigmoid(m / temperature) (DiscoPOP, arXiv 2406.08414): it turns near m = 0."""
    gate_B = torch.sigmoid(margin_B / temperature)
    turning_B = gate_B * (1 - gate_B) / temperature * (torch.nn.functional.logsigmoid(margin_B) + torch.exp(-margin_B))
    return torch.sigmoid(-margin_B) * (1 - gate_B) + torch.exp(-margin_B) * gate_B - turning_B


def binary(scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
    """Of log sigmoid(v+) + log sigmoid(-v-): two classifications (BCO without its shift, arXiv 2404.04656)."""
    return torch.where(chosen_B, torch.sigmoid(-scaled_B), torch.sigmoid(scaled_B))


def noise_contrastive(scaled_B: Tensor, chosen_B: Tensor) -> Tensor:
    """Of log sigmoid(v+) + (log sigmoid(-v+) + log sigmoid(-v-)) / 2 (NCA on pairs, arXiv 2402.05369)."""
    down_B = torch.sigmoid(scaled_B) / 2
    return torch.where(chosen_B, torch.sigmoid(-scaled_B) - down_B, down_B)


def self_play(scaled_B: Tensor, chosen_B: Tensor, beta: float) -> Tensor:
    """Of -(v+ - 1/2)^2 / beta^2 - (v- + 1/2)^2 / beta^2 (SPPO with hard labels, arXiv 2405.00675)."""
    return torch.where(chosen_B, 1 - 2 * scaled_B, 1 + 2 * scaled_B) / beta**2


def anchored_zero(scaled_B: Tensor) -> Tensor:
    """Of sigmoid(v+) - sigmoid(v-) (APO-zero, arXiv 2408.06266): chosen up, rejected down, each by itself."""
    return torch.sigmoid(scaled_B) * torch.sigmoid(-scaled_B)


def anchored_down(scaled_B: Tensor, margin_B: Tensor, chosen_B: Tensor) -> Tensor:
    """Of sigmoid(m) - sigmoid(v+) (APO-down, arXiv 2408.06266): both down, the rejected more."""
    apart_B = torch.sigmoid(margin_B) * torch.sigmoid(-margin_B)
    return torch.where(chosen_B, apart_B - anchored_zero(scaled_B), apart_B)
