"""Log-ratios and margins of preference pairs. A pair is a group of two rows, one of them chosen.

Rows of a pair need not be neighbours: membership is by `pair_B` (equal id = same pair) and side by `chosen_B`.
"""

import math

import torch
from torch import Tensor

from unified_rl.ops.ratios import bounded


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
    return beta * pair_sum(signed_B, pair_B)


def pair_sum(values_B: Tensor, pair_B: Tensor) -> Tensor:
    """Of the two rows of each pair, given to both. [B] -> [B]."""
    return values_B + _of_partner(values_B, pair_B)


def shared_length(response_mask_BT: Tensor, pair_B: Tensor) -> Tensor:
    """bool [B, T]: whether a response token's place is within the length of the shorter response of its pair (LD-DPO)."""
    lengths_B = response_mask_BT.sum(1)
    shorter_B = torch.minimum(lengths_B, _of_partner(lengths_B, pair_B))
    return response_mask_BT & (response_mask_BT.cumsum(1) <= shorter_B[:, None])


def ranked_partners(values_B: Tensor, chosen_B: Tensor) -> Tensor:
    """For each response the value of the other side's response of the same rank: values sorted within each side. [B] -> [B].

    Both sides have as many responses.
    """
    order_B = torch.argsort(values_B, stable=True)
    earlier_BB = torch.arange(len(values_B), device=values_B.device)[:, None] > torch.arange(
        len(values_B), device=values_B.device
    )
    side_B, sorted_B = chosen_B[order_B], values_B[order_B]
    rank_B = (earlier_BB & (side_B[:, None] == side_B)).sum(1)
    other_BB = (rank_B[:, None] == rank_B) & (side_B[:, None] != side_B)
    found_B = torch.where(other_BB, sorted_B, 0).sum(1)
    return torch.zeros_like(values_B).index_copy_(0, order_B, found_B)


def of_divergence(divergence: str, log_ratio_B: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """f'(ratio) of an f-divergence as the score of f-DPO (arXiv 2309.16240), and its derivative by the log-ratio. [B] -> [B], [B].

    divergence: "forward_kl" 1 - 1/t, "js" log(2t / (t + 1)), "alpha" (t^(alpha - 1) - 1) / (alpha - 1), whose limit at 1 is log t.
    """
    held_B = bounded(log_ratio_B)
    if divergence == "forward_kl":
        return -torch.expm1(-held_B), torch.exp(-held_B)
    if divergence == "js":
        return math.log(2) + torch.nn.functional.logsigmoid(log_ratio_B), torch.sigmoid(-log_ratio_B)
    power = alpha - 1
    if abs(power) < 1e-6:
        return log_ratio_B, torch.ones_like(log_ratio_B)
    return torch.expm1(power * held_B) / power, torch.exp(power * held_B)


def log_odds(mean_logp_B: Tensor) -> tuple[Tensor, Tensor]:
    """log(p / (1 - p)) of p = exp(mean log-prob), and its derivative 1 / (1 - p) by the mean (ORPO). [B] -> [B], [B, 1]."""
    rest_B = -torch.expm1(mean_logp_B)
    return mean_logp_B - torch.log(rest_B), (1 / rest_B)[:, None]


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
