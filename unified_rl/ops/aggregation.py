"""Aggregation weights: how token gradients are averaged. Denominators are fixed over the global batch before any split.

Every rule here gives all tokens of one sequence the same weight, so a weight per sequence [B] is all there is, and it depends
on nothing but lengths and group membership: micro-batches and ranks receive slices of it and never recompute a denominator.
Sequences whose coefficient is zero stay in the denominators. An empty response has weight 0 and still counts in N.
"""

import torch
from torch import Tensor


def sequence_mean(lengths_B: Tensor) -> Tensor:
    """w = 1 / (N |o|): the paper's Eq. 5, the mean over sequences of each sequence's token mean.

    Args:
        lengths_B: number of response tokens (mask sum) of each of the N sequences of the global batch.
    """
    lengths = _floating(lengths_B)
    return torch.where(lengths > 0, 1.0 / (len(lengths) * lengths.clamp(min=1)), torch.zeros_like(lengths))


def prompt_token_mean(lengths_B: Tensor, group_B: Tensor) -> Tensor:
    """w = 1 / (P * sum of |o| over the prompt's group): token mean within each prompt's group, then mean over the P prompts.

    DAPO's rule (arXiv 2503.14476, Eq. 8) and ScaleRL's "prompt average".

    Args:
        lengths_B: [B] response lengths.
        group_B: [B] integer group ids, equal for responses to the same prompt.
    """
    lengths = _floating(lengths_B)
    groups, index_B = torch.unique(group_B, return_inverse=True)
    totals = torch.zeros(len(groups), dtype=lengths.dtype, device=lengths.device).index_add_(0, index_B, lengths)
    return _weight_of_nonempty(lengths, 1.0 / (len(groups) * totals.clamp(min=1))[index_B])


def batch_token_mean(lengths_B: Tensor) -> Tensor:
    """w = 1 / (sum of |o| over the batch): every token of the batch counts the same, so long responses weigh more."""
    lengths = _floating(lengths_B)
    return _weight_of_nonempty(lengths, (1.0 / lengths.sum().clamp(min=1)).expand_as(lengths))


def constant_length(lengths_B: Tensor, length: int) -> Tensor:
    """w = 1 / (N * length): token sums divided by a constant, so |o| leaves no bias (Dr. GRPO, arXiv 2503.20783).

    Args:
        lengths_B: [B] response lengths.
        length: the constant, usually the largest allowed response length; at least 1.
    """
    if length < 1:
        raise ValueError(f"constant_length needs a length of at least 1, got {length}")
    lengths = _floating(lengths_B)
    return _weight_of_nonempty(lengths, torch.full_like(lengths, 1.0 / (max(len(lengths), 1) * length)))


def pair_mean(lengths_B: Tensor) -> Tensor:
    """w = 1 / (N_pairs |o|): the expectation over pairs of Eq. 13, each side divided by its own length.

    A mean over the 2 * N_pairs sequences would silently halve a preference loss.
    """
    return 2.0 * sequence_mean(lengths_B)


def without_truncated(weights_B: Tensor, truncated_B: Tensor) -> Tensor:
    """Overlong filtering (DAPO, section 3.4): truncated responses get weight 0; the denominators keep counting them."""
    return torch.where(truncated_B, torch.zeros_like(weights_B), weights_B)


def _weight_of_nonempty(lengths: Tensor, weights_B: Tensor) -> Tensor:
    return torch.where(lengths > 0, weights_B, torch.zeros_like(weights_B))


def _floating(lengths_B: Tensor) -> Tensor:
    return lengths_B if lengths_B.is_floating_point() else lengths_B.to(torch.float64)
