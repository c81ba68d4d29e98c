"""Which tokens of an update are chosen: by a quantile, or by rank. Nothing is read from the device."""

import torch
from torch import Tensor

#: By how many units of the last place two computations of one value may differ.
_ROUNDING = 64


def highest_share(values_BT: Tensor, mask_BT: Tensor, share: float) -> Tensor:
    """bool [B, T]: response tokens whose value is at or above the (1 - share) quantile, interpolated, of all response tokens'.

    Values that differ by rounding count as equal: the first tokens of one prompt's responses have one and the same distribution,
    and which of them is chosen must not depend on how they were packed or divided among ranks.
    """
    low = torch.full((), -torch.inf, dtype=values_BT.dtype, device=values_BT.device)
    descending_N = torch.where(mask_BT, values_BT, low).flatten().sort(descending=True).values
    place = (mask_BT.sum() - 1).to(values_BT) * share
    below, above = place.floor().long(), place.ceil().long()
    upper, lower = descending_N.gather(0, below[None]), descending_N.gather(0, above[None])
    quantile = upper + (lower - upper) * (place - below)
    slack = _ROUNDING * torch.finfo(values_BT.dtype).eps * quantile.abs().clamp(min=1)
    return mask_BT & (values_BT >= quantile - slack)


def highest_count(values_BT: Tensor, mask_BT: Tensor, share: float) -> Tensor:
    """bool [B, T]: the highest of the response tokens, as many as the share of them rounded down, and at least one."""
    low = torch.full((), -torch.inf, dtype=values_BT.dtype, device=values_BT.device)
    order_N = torch.where(mask_BT, values_BT, low).flatten().argsort(descending=True, stable=True)
    count = (mask_BT.sum() * share).floor().clamp(min=1)
    chosen_N = torch.arange(order_N.numel(), device=values_BT.device) < count
    return torch.zeros_like(chosen_N).index_copy_(0, order_N, chosen_N).view(mask_BT.shape) & mask_BT


def drawn(chance_BT: Tensor, candidates_BT: Tensor, mask_BT: Tensor, share: float) -> Tensor:
    """bool [B, T]: of the candidates those with the least numbers: as many as the share of all response tokens, at least one.

    The share is rounded down, and where there are fewer candidates all are drawn. chance_BT: in [0, 1).
    """
    return highest_count(torch.where(candidates_BT, -chance_BT, -torch.inf), mask_BT, share) & candidates_BT


def switched(correct_B: Tensor, group_B: Tensor, demonstrated_B: Tensor, solved: float) -> Tensor:
    """bool [B]: of a group more than `solved` of whose samples are right, the samples; of any other, the demonstrations (HPT)."""
    own_BB = ((group_B[:, None] == group_B) & ~demonstrated_B).to(correct_B)
    rate_B = own_BB @ correct_B / own_BB.sum(1).clamp(min=1)
    return (rate_B > solved) != demonstrated_B


def covariance(advantages_BT: Tensor, logp_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """(A - mean)(log pi - mean) of each token, the means over all response tokens. [B, T]."""
    return _centred(advantages_BT, mask_BT) * _centred(logp_BT, mask_BT)


def _centred(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    return values_BT - torch.where(mask_BT, values_BT, 0).sum() / mask_BT.sum().clamp(min=1)
