"""Advantages: from rewards to a number per token. No gradient ever flows through them.

Groups are given by integer ids `group_B` (equal id = responses to the same prompt), so groups may be ragged and rows may come
in any order. Tokens are addressed by `response_mask_BT`, so left padding, right padding and gaps (tool output) are all the same.

Conventions the paper leaves open, fixed here once:

- std is the *population* std (ddof 0): the paper writes "std" of the group without a correction; ddof 0 gives the exact
  1/sqrt(p(1-p)) weight on grad p for 0/1 rewards, and exists for a group of one. (TRL and verl use ddof 1: a factor
  sqrt((G-1)/G).)
- A group is *zero-variance* when its std is at most `MIN_STD` times the larger of 1 and its largest absolute reward, which
  covers rounding of equal rewards; its advantages are exactly 0. No epsilon is added to any other group's std.
- A group of one is zero-variance under every rule here, leave-one-out included (there is nobody to compare with).
- A response without steps has no process reward: its advantages are 0, and it does not enter the pooled statistics.
"""

import torch
from torch import Tensor

MIN_STD = 1e-6


def group_normalised(rewards_B: Tensor, group_B: Tensor) -> Tensor:
    """Outcome supervision (4.1.2): (r_i - mean(r)) / std(r) within the group; 0 in zero-variance groups. [B], [B] -> [B]."""
    return _normalise(rewards_B, group_B)


def group_centred(rewards_B: Tensor, group_B: Tensor) -> Tensor:
    """r_i - mean(r) within the group, without the division by std (Dr. GRPO, arXiv 2503.20783). [B], [B] -> [B]."""
    _, index, count = _groups(group_B, rewards_B)
    return rewards_B - _segment_sum(rewards_B, index, len(count))[index] / count[index]


def leave_one_out(rewards_B: Tensor, group_B: Tensor) -> Tensor:
    """r_i minus the mean of the *other* rewards of the group (RLOO, arXiv 2402.14740); 0 in a group of one. [B], [B] -> [B]."""
    _, index, count = _groups(group_B, rewards_B)
    others = (count - 1).clamp(min=1)
    return group_centred(rewards_B, group_B) * (count / others)[index] * (count > 1)[index]


def zero_variance_groups(rewards_B: Tensor, group_B: Tensor) -> Tensor:
    """Whether each group (in ascending order of id) has no spread of rewards. [B], [B] -> bool [num_groups]."""
    return _statistics(rewards_B, group_B)[3]


def positive_part(advantages_BT: Tensor) -> Tensor:
    """max(A, 0): what raises likelihoods, and nothing that lowers them. Any shape."""
    return advantages_BT.clamp(min=0)


def negative_part(advantages_BT: Tensor) -> Tensor:
    """min(A, 0): what lowers likelihoods, and nothing that raises them. positive_part + negative_part = A. Any shape."""
    return advantages_BT.clamp(max=0)


def to_tokens(advantages_B: Tensor, response_mask_BT: Tensor) -> Tensor:
    """Every response token receives its sequence's advantage. [B], [B, T] -> [B, T]."""
    return advantages_B[:, None] * response_mask_BT


def process(step_rewards_BT: Tensor, step_ends_BT: Tensor, response_mask_BT: Tensor, group_B: Tensor) -> Tensor:
    """Process supervision (4.1.3): A[i, t] = sum over steps ending at or after t of (r_step - mean(R)) / std(R).

    R pools the rewards of *all steps of all responses* of the group. Tokens after the last step's end receive 0, which is why
    the reward gives the last step the response's last token.

    Args:
        step_rewards_BT: [B, T] the step's reward at its last token, anything elsewhere.
        step_ends_BT: bool [B, T], True at the last token of each step.
        response_mask_BT: bool [B, T].
        group_B: [B] group ids.

    Returns:
        [B, T] advantages, 0 off the response mask.
    """
    rows = step_ends_BT.nonzero()[:, 0]
    normalised = torch.zeros_like(step_rewards_BT)
    normalised[step_ends_BT] = _normalise(step_rewards_BT[step_ends_BT], group_B[rows])
    return _own_and_later_sum(normalised) * response_mask_BT


def at_last_token(rewards_B: Tensor, response_mask_BT: Tensor) -> Tensor:
    """Outcome rewards as token rewards: the reward at the last response token, 0 elsewhere. [B], [B, T] -> [B, T]."""
    later = response_mask_BT.flip(1).cumsum(1).flip(1)
    return rewards_B[:, None] * (response_mask_BT & (later == 1))


def with_kl_penalty(
    rewards_BT: Tensor, old_logp_BT: Tensor, ref_logp_BT: Tensor, response_mask_BT: Tensor, kl_coef: float
) -> Tensor:
    """r_t - beta * log(pi_old / pi_ref) (Eq. 2), the KL in the reward.

    `old_logp_BT` are the rollout's own log-probs, fixed over all updates of that rollout. Exact for the sequence-level reverse
    KL when token terms are *summed*; under 1/|o| it is not. All [B, T].
    """
    return rewards_BT - kl_coef * (old_logp_BT - ref_logp_BT) * response_mask_BT


def gae(
    rewards_BT: Tensor, values_BT: Tensor, response_mask_BT: Tensor, *, discount: float, trace_decay: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (arXiv 1506.02438) over the response tokens of each row.

    delta_t = r_t + discount * V_{t+1} - V_t,  A_t = delta_t + discount * trace_decay * A_{t+1}; past the last response token V
    and A are 0, also for truncated responses (no bootstrap: the length limit is part of the task). Tokens off the mask are
    skipped: the response tokens on either side of them are neighbours in time.

    Args:
        rewards_BT, values_BT: [B, T]; V_t is the value *before* token t is written.
        response_mask_BT: bool [B, T].
        discount: gamma, in [0, 1].
        trace_decay: lambda, in [0, 1].

    Returns:
        advantages [B, T] and the value targets A + V [B, T], both 0 off the mask.
    """
    advantage = torch.zeros_like(values_BT[:, 0])
    next_value = torch.zeros_like(advantage)
    advantages = torch.zeros_like(values_BT)
    for t in reversed(range(values_BT.shape[1])):
        on = response_mask_BT[:, t]
        delta = rewards_BT[:, t] + discount * next_value - values_BT[:, t]
        advantage = torch.where(on, delta + discount * trace_decay * advantage, advantage)
        next_value = torch.where(on, values_BT[:, t], next_value)
        advantages[:, t] = torch.where(on, advantage, torch.zeros_like(advantage))
    return advantages, (advantages + values_BT) * response_mask_BT


def _own_and_later_sum(values_BT: Tensor) -> Tensor:
    return values_BT.flip(1).cumsum(1).flip(1)


def _normalise(values_N: Tensor, group_N: Tensor) -> Tensor:
    """(value - mean) / std pooled over each group's values, 0 in zero-variance groups."""
    mean, std, index, flat = _statistics(values_N, group_N)
    scale = torch.where(flat, torch.zeros_like(std), 1.0 / torch.where(flat, torch.ones_like(std), std))
    return (values_N - mean[index]) * scale[index]


def _statistics(values_N: Tensor, group_N: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean and population std per group, each value's group index, and whether the group is zero-variance."""
    groups, index, count = _groups(group_N, values_N)
    mean = _segment_sum(values_N, index, len(groups)) / count
    variance = _segment_sum((values_N - mean[index]).square(), index, len(groups)) / count
    largest = torch.zeros_like(mean).scatter_reduce_(0, index, values_N.abs(), "amax")
    std = variance.sqrt()
    return mean, std, index, std <= MIN_STD * largest.clamp(min=1.0)


def _groups(group_N: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    groups, index, count = torch.unique(group_N, return_inverse=True, return_counts=True)
    return groups, index, count.to(like.dtype)


def _segment_sum(values_N: Tensor, index_N: Tensor, num_segments: int) -> Tensor:
    return torch.zeros(num_segments, dtype=values_N.dtype, device=values_N.device).index_add_(0, index_N, values_N)
