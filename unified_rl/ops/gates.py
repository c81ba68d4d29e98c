"""Gates: what a policy-gradient term keeps of ratio x advantage. Tensors in, named factors out, whose product is the term.

Each is the derivative of a surrogate objective by the log-prob, or is stated to be a weight that nothing differentiates.
The ratio is [B, T] of tokens or [B, 1] of responses; everything broadcasts to [B, T].
"""

from __future__ import annotations

import torch
from torch import Tensor

Factors = dict[str, Tensor]


def clipped(ratio: Tensor, advantages_BT: Tensor, low: float, high: float, dual: float | None = None) -> Factors:
    """Of min(rho A, clip(rho, 1 - low, 1 + high) A): rho where the clip does not bite, which it does where it lowers the objective.

    dual: c > 1: for A < 0 the objective is at least c A (dual clip, arXiv 1912.09729), so that nothing flows where rho > c.
    """
    bites = ((advantages_BT > 0) & (ratio > 1 + high)) | ((advantages_BT < 0) & (ratio < 1 - low))
    if dual is not None:
        bites = bites | ((advantages_BT < 0) & (ratio > dual))
    return {"importance_weight": ratio, "not_clipped": (~bites).to(ratio), "advantage": advantages_BT}


def capped(ratio: Tensor, advantages_BT: Tensor, low: float, high: float) -> Factors:
    """CISPO (arXiv 2506.13585): the ratio clipped to [1 - low, 1 + high] is a constant weight; every token keeps a gradient."""
    return {"importance_weight": ratio.clamp(max(1 - low, 0.0), 1 + high), "advantage": advantages_BT}


def soft(ratio: Tensor, advantages_BT: Tensor, temperature_positive: float, temperature_negative: float) -> Factors:
    """SAPO (arXiv 2511.20347), of 4/tau sigmoid(tau (rho - 1)) A: the gate 4 s (1 - s) is 1 at rho = 1 and falls off on both sides.

    tau depends on the sign of A; the negative one's is commonly larger.
    """
    temperature = _by_sign(advantages_BT > 0, temperature_positive, temperature_negative, ratio)
    opened = torch.sigmoid(temperature * (ratio - 1))
    return {"importance_weight": ratio, "soft_gate": 4 * opened * (1 - opened), "advantage": advantages_BT}


def shaped(ratio: Tensor, logp_BT: Tensor, advantages_BT: Tensor, shaped_B1: Tensor, shaping: float) -> Factors:
    """LUFFY (arXiv 2504.14945): rho A; where `shaped_B1` (bool) of f(pi) A, f(x) = x/(x + g), whose factor is g pi/(pi + g)^2."""
    pi_BT = logp_BT.exp()
    weight_BT = torch.where(shaped_B1, shaping * pi_BT / (pi_BT + shaping).square(), ratio)
    return {"importance_weight": weight_BT, "advantage": advantages_BT}


def within_total_variation(
    ratio: Tensor, logp_BT: Tensor, old_logp_BT: Tensor, advantages_BT: Tensor, low: float, high: float, cap: float
) -> Factors:
    """DPPO (arXiv 2602.04879), total variation: min(rho, cap) A, dropped where pi - pi_old has gone further up than `high` under
    A > 0, or further down than `low` else."""
    moved_BT = logp_BT.exp() - old_logp_BT.exp()
    kept_BT = torch.where(advantages_BT > 0, moved_BT <= high, moved_BT >= -low)
    return {"importance_weight": ratio.clamp(max=cap), "not_clipped": kept_BT.to(ratio), "advantage": advantages_BT}


def within_both_sides(
    ratio: Tensor, logp_BT: Tensor, old_logp_BT: Tensor, advantages_BT: Tensor, low: float, high: float, cap: float
) -> Factors:
    """min(rho, cap) A, dropped where pi - pi_old leaves [-low, high], whatever the sign of A."""
    moved_BT = logp_BT.exp() - old_logp_BT.exp()
    kept_BT = (moved_BT <= high) & (moved_BT >= -low)
    return {"importance_weight": ratio.clamp(max=cap), "not_clipped": kept_BT.to(ratio), "advantage": advantages_BT}


def within_binary_kl(
    ratio: Tensor, logp_BT: Tensor, old_logp_BT: Tensor, advantages_BT: Tensor, low: float, high: float, cap: float
) -> Factors:
    """DPPO, binary KL: min(rho, cap) A, dropped where KL(Bernoulli(pi_old) || Bernoulli(pi)) exceeds the bound of A's sign and the
    token moves further out."""
    kl_BT = _binary_kl(old_logp_BT, logp_BT)
    kept_BT = torch.where(
        advantages_BT > 0, (kl_BT <= high) | (logp_BT <= old_logp_BT), (kl_BT <= low) | (logp_BT >= old_logp_BT)
    )
    return {"importance_weight": ratio.clamp(max=cap), "not_clipped": kept_BT.to(ratio), "advantage": advantages_BT}


def leaning(ratio: Tensor, logp_BT: Tensor, old_logp_BT: Tensor, advantages_BT: Tensor, delta: float) -> Factors:
    """DRPO (arXiv 2606.09821): rho A (1 - sign(A (rho - 1)) |pi - pi_old| / delta): less the further out, more on the way back."""
    moved_BT = (logp_BT.exp() - old_logp_BT.exp()).abs()
    return {
        "importance_weight": ratio,
        "leaning": 1 - torch.sign(advantages_BT * (ratio - 1)) * moved_BT / delta,
        "advantage": advantages_BT,
    }


def gamma_weighted(
    log_ratio_B1: Tensor, advantages_BT: Tensor, positive: tuple[float, float], negative: tuple[float, float]
) -> Factors:
    """VESPO (arXiv 2602.10693): phi(W) A, phi(W) = W^k e^(lambda (1 - W)), W the response's ratio; (k, lambda) by the sign of A.

    phi(1) = 1; nothing differentiates it. W is at least 1e-8.
    """
    up_BT = advantages_BT >= 0
    power = _by_sign(up_BT, positive[0], negative[0], log_ratio_B1)
    decay = _by_sign(up_BT, positive[1], negative[1], log_ratio_B1)
    log_weight_B1 = log_ratio_B1.clamp(min=LOWEST_LOG_WEIGHT)
    weight = torch.exp(decay + power * log_weight_B1 - decay * log_weight_B1.exp())
    return {"importance_weight": weight, "advantage": advantages_BT}


def geometric_of_clipped(
    log_ratio_BT: Tensor, response_mask_BT: Tensor, advantages_BT: Tensor, low: float, high: float
) -> Factors:
    """GMPO (arXiv 2507.20673): exp(mean over the tokens of log rho, each clipped to [-low, high] on the side that A pushes to).

    Of a response whose advantage is one number; a clipped token has no gradient of its own, but moves that of the others.
    """
    bites_BT = ((advantages_BT > 0) & (log_ratio_BT > high)) | ((advantages_BT < 0) & (log_ratio_BT < -low))
    held_BT = torch.where(bites_BT, log_ratio_BT.clamp(-low, high), log_ratio_BT)
    mean_B1 = torch.where(response_mask_BT, held_BT, 0).sum(1, keepdim=True) / response_mask_BT.sum(1, keepdim=True).clamp(
        min=1
    )
    return {
        "importance_weight": mean_B1.exp().expand_as(log_ratio_BT),
        "not_clipped": (~bites_BT).to(log_ratio_BT),
        "advantage": advantages_BT,
    }


def not_off_policy(
    logp_BT: Tensor, old_logp_BT: Tensor, response_mask_BT: Tensor, advantages_BT: Tensor, delta: float
) -> Tensor:
    """0 for a response of negative advantage whose mean of log(pi_old / pi) exceeds delta, else 1 (arXiv 2512.02556). [B, T]."""
    drift_BT = torch.where(response_mask_BT, old_logp_BT - logp_BT, 0)
    mean_B1 = drift_BT.sum(1, keepdim=True) / response_mask_BT.sum(1, keepdim=True).clamp(min=1)
    return (~((advantages_BT < 0) & (mean_B1 > delta))).to(logp_BT)


def _by_sign(up_BT: Tensor, above: float, below: float, like: Tensor) -> Tensor:
    """One number where the advantage is up, another elsewhere, in the precision of `like`. [B, T]."""
    return torch.where(up_BT, like.new_full((), above), like.new_full((), below))


#: log 1e-8.
LOWEST_LOG_WEIGHT = -18.420680743952367


def _binary_kl(logp: Tensor, other_logp: Tensor) -> Tensor:
    """KL between the two-way distributions (token, not token) of probabilities exp(logp) and exp(other_logp)."""
    p, q = logp.exp(), other_logp.exp()
    return p * (logp - other_logp) + (1 - p) * (torch.log1p(-p + TINY) - torch.log1p(-q + TINY))


#: Keeps log(1 - p) finite at p = 1.
TINY = 1e-8
