"""Advantages of set-level objectives: what a group reaches together, in place of what each response reaches on average.

[B] -> [B]; groups by integer id, rows in any order.
"""

import torch
from torch import Tensor


def pass_at_k(correct_B: Tensor, group_B: Tensor, k: int) -> Tensor:
    """Advantages of Pass@k Training (arXiv 2508.10751): of all subsets of k of a group of n, a subset is right if one of it is.

    With w wrong responses, R = 1 - C(w, k)/C(n, k) and sigma = sqrt(R (1 - R)): (1 - R)/sigma for a right response, and
    (1 - R - C(w - 1, k - 1)/C(n - 1, k - 1))/sigma for a wrong one; 0 where sigma is. k above n counts as n.
    """
    same_BB = (group_B[:, None] == group_B).to(correct_B)
    count_B, wrong_B = same_BB.sum(1), same_BB @ (1 - correct_B)
    size_B = count_B.clamp(max=k)
    failing_B = _chance(wrong_B, count_B, size_B, k)
    spread_B = (failing_B * (1 - failing_B)).sqrt()
    others_B = _chance(wrong_B - 1, count_B - 1, size_B - 1, k)
    found_B = failing_B - (1 - correct_B) * others_B
    return torch.where(spread_B > 0, found_B / torch.where(spread_B > 0, spread_B, 1), 0)


def max_at_k(rewards_B: Tensor, group_B: Tensor, k: int) -> Tensor:
    """n times the estimator of PKPO (arXiv 2505.15201, Eq. 33): by how much each response raises the best of k.

    k times the mean, over the subsets of k (of a group of n) that a response is in, of the best reward with it minus the best
    without it; so the mean over responses of A grad log pi estimates the gradient of the best of k. With rewards ascending it is
    n sum over j < i of (r_i - r_j) C(j, k - 2)/C(n, k), j from 0. 0 in a group smaller than k.
    """
    same_BB = group_B[:, None] == group_B
    place = torch.arange(len(group_B), device=group_B.device)
    earlier_BB = (rewards_B < rewards_B[:, None]) | ((rewards_B == rewards_B[:, None]) & (place < place[:, None]))
    below_BB = same_BB & earlier_BB
    rank_B, count_B = below_BB.sum(1).to(rewards_B), same_BB.sum(1).to(rewards_B)
    whole_B = _choose(count_B, k)
    weight_B = count_B * _choose(rank_B, k - 2) / torch.where(whole_B > 0, whole_B, 1)
    leads_BB = torch.where(below_BB, rewards_B[:, None] - rewards_B, 0)
    return torch.where(whole_B > 0, leads_BB @ weight_B, 0)


def _chance(marked_B: Tensor, count_B: Tensor, size_B: Tensor, most: int) -> Tensor:
    """C(marked, size)/C(count, size), size at most `most`: that a subset holds marked ones only. [B]."""
    found_B = torch.ones_like(count_B)
    for drawn in range(most):
        part_B = (marked_B - drawn).clamp(min=0) / (count_B - drawn).clamp(min=1)
        found_B = torch.where(size_B > drawn, found_B * part_B, found_B)
    return found_B


def _choose(count_B: Tensor, size: int) -> Tensor:
    """C(count, size). [B]."""
    found_B = torch.ones_like(count_B)
    for drawn in range(size):
        found_B = found_B * (count_B - drawn).clamp(min=0) / (drawn + 1)
    return found_B
