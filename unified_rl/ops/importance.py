"""Correction of the train-inference mismatch: terms times pi_old / pi_behaviour, kept bounded. Tensors in, factors out.

Responses come from a sampler (another engine, other kernels, perhaps older weights), the gradient from the trainer. A term is an
expectation over the sampler's responses, so it is weighted by w = pi_old / pi_behaviour, per token or per response, where pi_old is
the trainer's before the rollout's first update. As w has no bound, one of two forms limits it:

    truncated (TIS)   min(w, cap)                       = w * min(1, cap / w)
    masked (MIS)      w inside [floor, cap], else 0     = w * 1[floor <= w <= cap]

Both are products of two named factors, so that the metrics can tell how far the engines differ and how often the limit bites.
A token weight is biased (it ignores how likely the sampler made the tokens before it); a sequence weight is not, but varies more.
Tokens or responses can be dropped besides (`kept`, `not_vetoed`), by another measure of the same distance.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unified_rl.ops import kl
from unified_rl.ops.ratios import bounded
from unified_rl.ops.terms import Term, Terms


def token_weight(old_logp_BT: Tensor, behaviour_logp_BT: Tensor, response_mask_BT: Tensor) -> Tensor:
    """w_t = pi_old(o_t) / pi_behaviour(o_t), 1 off the mask. Shapes [B, T] -> [B, T]."""
    return torch.exp(bounded(_log_ratio(old_logp_BT, behaviour_logp_BT, response_mask_BT)))


def sequence_weight(old_logp_BT: Tensor, behaviour_logp_BT: Tensor, response_mask_BT: Tensor) -> Tensor:
    """w = product over the response's tokens of pi_old / pi_behaviour. Shapes [B, T] -> [B, 1]."""
    summed_B1 = _log_ratio(old_logp_BT, behaviour_logp_BT, response_mask_BT).sum(1, keepdim=True)
    return torch.exp(bounded(summed_B1))


def geometric_weight(old_logp_BT: Tensor, behaviour_logp_BT: Tensor, response_mask_BT: Tensor) -> Tensor:
    """w = geometric mean over the response's tokens of pi_old / pi_behaviour. Shapes [B, T] -> [B, 1]."""
    summed_B1 = _log_ratio(old_logp_BT, behaviour_logp_BT, response_mask_BT).sum(1, keepdim=True)
    return torch.exp(bounded(summed_B1 / response_mask_BT.sum(1, keepdim=True).clamp(min=1)))


def truncated(weight: Tensor, cap: float, floor: float = 0.0) -> dict[str, Tensor]:
    """Factors of truncated importance sampling; `tis` is below 1 where the cap bites, above 1 where the floor does. Any shape."""
    limit = (cap / weight).clamp(max=1.0)
    return {"sampler_weight": weight, "tis": torch.maximum(limit, floor / weight) if floor else limit}


def masked(weight: Tensor, floor: float, cap: float) -> dict[str, Tensor]:
    """Factors of masked importance sampling (IcePop); `mis` is 0 where the weight is out of range, else 1. Any shape."""
    return {"sampler_weight": weight, "mis": ((weight >= floor) & (weight <= cap)).to(weight)}


def kept(
    old_logp_BT: Tensor,
    behaviour_logp_BT: Tensor,
    response_mask_BT: Tensor,
    *,
    measure: str,
    over: str,
    floor: float,
    cap: float,
) -> Tensor:
    """bool [B, T] or [B, 1]: what is within bounds, by "ratio" (w itself in [floor, cap]) or by "k2" or "k3" (of KL, at most cap).

    over: "token"; or of the response the "sum" over its tokens (of logs, for the ratio), their "mean", or the "max" (for the ratio:
    all tokens must be within).
    """
    log_ratio_BT = bounded(_log_ratio(old_logp_BT, behaviour_logp_BT, response_mask_BT))
    zero_BT = torch.zeros_like(log_ratio_BT)
    if measure == "ratio":
        value = _over(over if over != "max" else "token", log_ratio_BT, response_mask_BT).exp()
        inside = (value >= floor) & (value <= cap)
        return (inside | ~response_mask_BT).all(1, keepdim=True) if over == "max" else inside
    sizes_BT = {"k2": kl.k2, "k3": kl.k3}[measure](zero_BT, log_ratio_BT)
    return _over(over, sizes_BT, response_mask_BT) <= cap


def not_vetoed(old_logp_BT: Tensor, behaviour_logp_BT: Tensor, response_mask_BT: Tensor, floor: float) -> Tensor:
    """bool [B, 1]: whether no token's w is below the floor."""
    weight_BT = token_weight(old_logp_BT, behaviour_logp_BT, response_mask_BT)
    return ((weight_BT >= floor) | ~response_mask_BT).all(1, keepdim=True)


def mean_weight(weight: Tensor, response_mask_BT: Tensor) -> Tensor:
    """Over all response tokens for a weight per token [B, T]; over the responses for one per response [B, 1]. A scalar."""
    if weight.shape[1] == 1:
        return weight.mean()
    return torch.where(response_mask_BT, weight, 0).sum() / response_mask_BT.sum().clamp(min=1)


def with_factors(terms: Terms, factors: Mapping[str, Tensor], outside: frozenset[str] = frozenset()) -> Terms:
    """The terms, each but those `outside` multiplied by `factors`, which broadcast to [B, T]."""
    return {name: item if name in outside else Term({**item.factors, **factors}) for name, item in terms.items()}


def _over(over: str, values_BT: Tensor, response_mask_BT: Tensor) -> Tensor:
    """The values [B, T] themselves ("token"), or their sum, mean or max over each response [B, 1]; they are 0 off the mask."""
    if over == "token":
        return values_BT
    if over == "max":
        return values_BT.amax(1, keepdim=True)
    summed_B1 = values_BT.sum(1, keepdim=True)
    return summed_B1 if over == "sum" else summed_B1 / response_mask_BT.sum(1, keepdim=True).clamp(min=1)


def _log_ratio(old_logp_BT: Tensor, behaviour_logp_BT: Tensor, response_mask_BT: Tensor) -> Tensor:
    """log(pi_old / pi_behaviour), 0 off the mask, where there may be anything."""
    difference = old_logp_BT - behaviour_logp_BT
    return torch.where(response_mask_BT, difference, torch.zeros_like(difference))
