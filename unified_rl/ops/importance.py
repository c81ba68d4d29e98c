"""Correction of the train-inference mismatch: every term times pi_old / pi_behaviour, kept bounded. Tensors in, factors out.

Responses come from a sampler (another engine, other kernels, perhaps older weights), the gradient from the trainer. A term is an
expectation over the sampler's responses, so all are weighted alike: by w = pi_old / pi_behaviour, per token or per sequence,
where pi_old is the trainer's before the rollout's first update. As w has no bound, one of two forms limits it:

    truncated (TIS)   min(w, cap)                       = w * min(1, cap / w)
    masked (MIS)      w inside [floor, cap], else 0     = w * 1[floor <= w <= cap]

Both are products of two named factors, so that the metrics can tell how far the engines differ and how often the limit bites.
A token weight is biased (it ignores how likely the sampler made the tokens before it); a sequence weight is not, but varies more.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unified_rl.ops.ratios import bounded
from unified_rl.ops.terms import Term, Terms


def token_weight(old_logp_BT: Tensor, behaviour_logp_BT: Tensor, response_mask_BT: Tensor) -> Tensor:
    """w_t = pi_old(o_t) / pi_behaviour(o_t), 1 off the mask. Shapes [B, T] -> [B, T]."""
    return torch.exp(bounded(_log_ratio(old_logp_BT, behaviour_logp_BT, response_mask_BT)))


def sequence_weight(old_logp_BT: Tensor, behaviour_logp_BT: Tensor, response_mask_BT: Tensor) -> Tensor:
    """w = product over the response's tokens of pi_old / pi_behaviour. Shapes [B, T] -> [B, 1]."""
    summed_B1 = _log_ratio(old_logp_BT, behaviour_logp_BT, response_mask_BT).sum(1, keepdim=True)
    return torch.exp(bounded(summed_B1))


def truncated(weight: Tensor, cap: float) -> dict[str, Tensor]:
    """Factors of truncated importance sampling; `tis` is below 1 where the cap bites. Any shape."""
    return {"sampler_weight": weight, "tis": (cap / weight).clamp(max=1.0)}


def masked(weight: Tensor, floor: float, cap: float) -> dict[str, Tensor]:
    """Factors of masked importance sampling (IcePop); `mis` is 0 where the weight is out of range, else 1. Any shape."""
    return {"sampler_weight": weight, "mis": ((weight >= floor) & (weight <= cap)).to(weight)}


def with_factors(terms: Terms, factors: Mapping[str, Tensor]) -> Terms:
    """The terms, each multiplied by `factors`, which broadcast to [B, T]."""
    return {name: Term({**item.factors, **factors}) for name, item in terms.items()}


def _log_ratio(old_logp_BT: Tensor, behaviour_logp_BT: Tensor, response_mask_BT: Tensor) -> Tensor:
    """log(pi_old / pi_behaviour), 0 off the mask, where there may be anything."""
    difference = old_logp_BT - behaviour_logp_BT
    return torch.where(response_mask_BT, difference, torch.zeros_like(difference))
