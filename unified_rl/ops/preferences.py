"""Log-ratios and margins of preference pairs. A pair is a group of two rows, one of them chosen.

Rows of a pair need not be neighbours: membership is by `pair_B` (equal id = same pair) and side by `chosen_B`.
"""

import torch
from torch import Tensor


def side(chosen_B: Tensor, like: Tensor) -> Tensor:
    """+1 for chosen rows, -1 for rejected ones, [B], in the dtype of `like`."""
    return torch.where(chosen_B, 1.0, -1.0).to(like)


def summed_log_ratio(logp_BT: Tensor, ref_logp_BT: Tensor, response_mask_BT: Tensor) -> Tensor:
    """sum over t of log(pi / pi_ref)(o_t), per sequence. [B, T] -> [B]."""
    return _masked(logp_BT - ref_logp_BT, response_mask_BT).sum(1)


def mean_log_ratio(logp_BT: Tensor, ref_logp_BT: Tensor, response_mask_BT: Tensor) -> Tensor:
    """1/|o| times the sum (the paper's Eq. 12), 0 for an empty response. [B, T] -> [B]."""
    return summed_log_ratio(logp_BT, ref_logp_BT, response_mask_BT) / response_mask_BT.sum(1).clamp(min=1)


def margins(log_ratio_B: Tensor, chosen_B: Tensor, pair_B: Tensor, beta: float) -> Tensor:
    """m = beta * (log-ratio of the chosen - log-ratio of the rejected), given to both rows of the pair. [B] -> [B]."""
    signed_B = side(chosen_B, log_ratio_B) * log_ratio_B
    return beta * (signed_B + _of_partner(signed_B, pair_B))


def token_margins(
    logp_BT: Tensor, ref_logp_BT: Tensor, response_mask_BT: Tensor, chosen_B: Tensor, pair_B: Tensor, beta: float
) -> Tensor:
    """Eq. 14's per-token margin, as printed: the t-th tokens of the two responses against each other. [B, T] -> [B, T].

    t counts response tokens, whatever the padding. Where the partner has no t-th token, it contributes a log-ratio of 0.
    """
    position_BT = (response_mask_BT.cumsum(1) - 1).clamp(min=0)
    signed_BT = side(chosen_B, logp_BT)[:, None] * _masked(logp_BT - ref_logp_BT, response_mask_BT)
    by_position_BT = torch.zeros_like(signed_BT).scatter_add_(1, position_BT, signed_BT)
    return beta * (by_position_BT + _of_partner(by_position_BT, pair_B)).gather(1, position_BT)


def _of_partner(values: Tensor, pair_B: Tensor) -> Tensor:
    """Each row's partner's values [B] or [B, T]; 0 for a row without one. Compared row by row, so that no device is waited for."""
    partner_BB = (pair_B[:, None] == pair_B).fill_diagonal_(False)
    has_one_B = partner_BB.any(1).view(-1, *[1] * (values.dim() - 1))
    return torch.where(has_one_B, values[partner_BB.long().argmax(1)], 0)


def _masked(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    return torch.where(mask_BT, values_BT, torch.zeros((), dtype=values_BT.dtype, device=values_BT.device))
