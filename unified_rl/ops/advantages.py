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

import math

import torch
from torch import Tensor

from unified_rl.ops import kl

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


def length_weighted(rewards_B: Tensor, group_B: Tensor, lengths_B: Tensor) -> Tensor:
    """r_i minus the group's mean weighted by length, sum(L r) / sum(L) (OPO, arXiv 2505.23585); 0 in a group of one. [B] -> [B]."""
    _, index, count = _groups(group_B, rewards_B)
    lengths_B = lengths_B.to(rewards_B)
    totals = _segment_sum(lengths_B, index, len(count)).clamp(min=1)
    return rewards_B - (_segment_sum(lengths_B * rewards_B, index, len(count)) / totals)[index]


def apart_from(group_B: Tensor, left_B: Tensor) -> Tensor:
    """The groups with each response of `left_B` (bool) in a group of its own, where nothing is compared with it. [B] -> [B]."""
    alone_B = group_B.max() + 1 + torch.arange(len(group_B), device=group_B.device)
    return torch.where(left_B, alone_B, group_B)


def over_energy(rewards_B: Tensor, energy_BT: Tensor, response_mask_BT: Tensor, group_B: Tensor) -> Tensor:
    """r_i minus the group's mean at the same place, weighted by the energy of each response up to there (OTB). [B, T].

    energy_BT: |grad log pi|^2 of each token by the logits, 1 - 2 pi + sum_v pi_v^2; W_t is its sum over the first t
    tokens. The baseline is sum(r W_t)/sum(W_t) over the responses that have a t-th token; 0 is left where there is only one.
    """
    held_BT = torch.where(response_mask_BT, energy_BT, 0).cumsum(1)
    place_BT = (response_mask_BT.cumsum(1) - 1).clamp(min=0)
    zeros_BT = torch.zeros_like(held_BT)
    weight_BT = zeros_BT.scatter_add(1, place_BT, torch.where(response_mask_BT, held_BT, 0))
    same_BB = (group_B[:, None] == group_B).to(weight_BT)
    sums_BT = same_BB @ weight_BT
    rewarded_BT = same_BB @ (rewards_B.to(weight_BT)[:, None] * weight_BT)
    baseline_BT = torch.where(sums_BT > 0, rewarded_BT / torch.where(sums_BT > 0, sums_BT, 1), rewards_B[:, None])
    return torch.where(response_mask_BT, rewards_B[:, None] - baseline_BT.gather(1, place_BT), 0)


def relative(
    rewards_B: Tensor,
    group_B: Tensor,
    lengths_B: Tensor,
    *,
    baseline: str,
    std: str,
    epsilon: float,
    flat: str = "zero",
) -> Tensor:
    """(r - baseline) / (std + epsilon), each by name. [B], [B], [B] -> [B].

    baseline: "mean" of the group, "leave_one_out", "length_weighted", or "none". std: "none"; "population", "sample" (ddof 1) or
    "leave_one_out" (ddof 1, of the others) of the group; "batch", the ddof-1 std of the batch's rewards; or "mean", the group's
    (MaxRL, arXiv 2602.02710).

    Where the divisor without `epsilon` is 0 but for rounding, the result is 0, or with flat="undivided" what would have been
    divided (NeMo-RL, with the std of the others: a group's only right response). For a group of one with a baseline it is 0.
    """
    if (baseline, std, epsilon) == ("mean", "population", 0.0):
        return group_normalised(rewards_B, group_B)
    centred_B = {
        "mean": lambda: group_centred(rewards_B, group_B),
        "leave_one_out": lambda: leave_one_out(rewards_B, group_B),
        "length_weighted": lambda: length_weighted(rewards_B, group_B, lengths_B),
        "none": lambda: rewards_B,
    }[baseline]()
    return over_std(centred_B, rewards_B, group_B, std, epsilon, flat)


def over_std(values_B: Tensor, rewards_B: Tensor, group_B: Tensor, std: str, epsilon: float, flat: str = "zero") -> Tensor:
    """values / (std + epsilon), the std of the rewards by its name in `relative`; where that is 0, 0 or by `flat`. [B] -> [B]."""
    if std == "none":
        return values_B
    divisor_B = {
        "population": lambda: _group_std(rewards_B, group_B, 0),
        "sample": lambda: _group_std(rewards_B, group_B, 1),
        "batch": lambda: _batch_std(rewards_B),
        "leave_one_out": lambda: _std_of_others(rewards_B, group_B),
        "mean": lambda: rewards_B - group_centred(rewards_B, group_B),
    }[std]()
    flat_B = divisor_B.abs() <= MIN_STD * rewards_B.abs().clamp(min=1.0)
    left_B = values_B if flat == "undivided" else torch.zeros_like(values_B)
    return torch.where(flat_B, left_B, values_B / (torch.where(flat_B, 1, divisor_B) + epsilon))


def where_alone(advantages_B: Tensor, others_B: Tensor, group_B: Tensor) -> Tensor:
    """`others_B` for responses that are alone in their group, else the advantages. [B], [B], [B] -> [B]."""
    _, index, count = _groups(group_B, advantages_B)
    return torch.where(count[index] == 1, others_B, advantages_B)


def apart(
    rewards_BK: Tensor, weights_BK: Tensor, group_B: Tensor, lengths_B: Tensor, *, baseline: str, std: str, epsilon: float
) -> Tensor:
    """sum over k of w_k (r_k - baseline_k)/std_k: several rewards normalised each by itself (GDPO, arXiv 2601.05242). -> [B].

    baseline, std, epsilon: as in `relative`. A reward that does not vary within a group adds nothing there.
    """
    columns = zip(rewards_BK.unbind(1), weights_BK.unbind(1), strict=True)
    return sum(
        weight_B * relative(reward_B, group_B, lengths_B, baseline=baseline, std=std, epsilon=epsilon)
        for reward_B, weight_B in columns
    )  # type: ignore[return-value]


def over_batch(values_B: Tensor, convention: str, epsilon: float = 0.0) -> Tensor:
    """(value - mean) / (std + epsilon) over all responses; 0 where they are all alike. [B] -> [B].

    convention: "population" (ddof 0), "sample" (ddof 1), or "none": the values as they are.
    """
    if convention == "none":
        return values_B
    centred_B = values_B - values_B.mean()
    freedom = max(len(values_B) - (1 if convention == "sample" else 0), 1)
    std = (centred_B.square().sum() / freedom).sqrt()
    flat = std <= MIN_STD * values_B.abs().amax().clamp(min=1.0)
    return torch.where(flat, 0, centred_B / (torch.where(flat, 1, std) + epsilon))


def optimal_values(rewards_BN: Tensor, beta: float) -> Tensor:
    """beta log mean exp(r/beta) of each row's rewards: V* of their prompt (A*-PO, arXiv 2505.20686). [B, N] -> [B].

    It is what the best policy gains, with a KL of weight beta to the policy that the rewards are of: between their mean (large
    beta) and the largest of them (small beta).
    """
    count = math.log(rewards_BN.shape[1])
    return beta * (torch.logsumexp(rewards_BN / beta, 1) - count)


def best_over_second(rewards_B: Tensor, group_B: Tensor) -> Tensor:
    """The best response of each group gets its lead over the second best, all others 0 (arXiv 2503.19595). [B], [B] -> [B].

    Of equal best ones there is no lead. A group of one has no second.
    """
    same_BB = group_B[:, None] == group_B
    others_BB = same_BB.clone().fill_diagonal_(False)
    lowest = torch.full((), -torch.inf, dtype=rewards_B.dtype, device=rewards_B.device)
    rival_B = torch.where(others_BB, rewards_B, lowest).amax(1)
    return torch.where(others_BB.any(1), (rewards_B - rival_B).clamp(min=0), 0)


def whitened(advantages_BT: Tensor, response_mask_BT: Tensor, convention: str) -> Tensor:
    """(A - mean) / std over all response tokens of the batch; 0 where they are all alike. [B, T] -> [B, T].

    convention: "population" (ddof 0) or "sample" (ddof 1).
    """
    count = response_mask_BT.sum().to(advantages_BT)
    held_BT = torch.where(response_mask_BT, advantages_BT, 0)
    mean = held_BT.sum() / count.clamp(min=1)
    centred_BT = torch.where(response_mask_BT, advantages_BT - mean, 0)
    freedom = (count - (1 if convention == "sample" else 0)).clamp(min=1)
    std = (centred_BT.square().sum() / freedom).sqrt()
    flat = std <= MIN_STD * held_BT.abs().amax().clamp(min=1.0)
    return torch.where(flat, 0, centred_BT / torch.where(flat, 1, std))


def to_go(values_BT: Tensor, response_mask_BT: Tensor) -> Tensor:
    """The sum over a token's own and later response tokens, 0 off the mask. [B, T] -> [B, T]."""
    return _own_and_later_sum(torch.where(response_mask_BT, values_BT, 0)) * response_mask_BT


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


def of_step(step_rewards_BT: Tensor, step_ends_BT: Tensor, response_mask_BT: Tensor) -> Tensor:
    """Every response token receives the reward of the step that it is in, and of no other. 0 after the last step's end. [B, T].

    Arguments as of `process`.
    """
    at_ends_BT = torch.where(step_ends_BT, step_rewards_BT, 0)
    number_BT = step_ends_BT.cumsum(1) - step_ends_BT.long()  # of the step that a token is in, from 0
    of_number_BS = at_ends_BT.new_zeros(at_ends_BT.shape[0], at_ends_BT.shape[1] + 1).scatter_add(1, number_BT, at_ends_BT)
    return of_number_BS.gather(1, number_BT) * response_mask_BT


def at_last_token(rewards_B: Tensor, response_mask_BT: Tensor) -> Tensor:
    """Outcome rewards as token rewards: the reward at the last response token, 0 elsewhere. [B], [B, T] -> [B, T]."""
    later = response_mask_BT.flip(1).cumsum(1).flip(1)
    return rewards_B[:, None] * (response_mask_BT & (later == 1))


def with_kl_penalty(
    rewards_BT: Tensor,
    old_logp_BT: Tensor,
    ref_logp_BT: Tensor,
    response_mask_BT: Tensor,
    kl_coef: float,
    estimator: str = "k1",
) -> Tensor:
    """r_t - beta * log(pi_old / pi_ref) (Eq. 2), the KL in the reward; or another estimator's value in place of that log.

    `old_logp_BT` are the rollout's own log-probs, fixed over all updates of that rollout. k1 is exact for the sequence-level
    reverse KL when token terms are *summed*; under 1/|o| it is not. All [B, T].
    """
    return rewards_BT - kl_coef * kl.value(estimator, old_logp_BT, ref_logp_BT) * response_mask_BT


def gae(
    rewards_BT: Tensor, values_BT: Tensor, response_mask_BT: Tensor, *, discount: float, trace_decay: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (arXiv 1506.02438) over the response tokens of each row.

    delta_t = r_t + discount * V_{t+1} - V_t,  A_t = delta_t + discount * trace_decay * A_{t+1}; past the last response token V
    and A are 0, also for truncated responses (no bootstrap: the length limit is part of the task). Tokens off the mask are
    skipped: the response tokens on either side of them are neighbours in time.

    Args:
        rewards_BT, values_BT: [B, T]; V_t is the value *before* token t is written.
        response_mask_BT: bool [B, T].
        discount: gamma, in [0, 1].
        trace_decay: lambda, in [0, 1]; or one for each row [B].

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


def _group_std(rewards_B: Tensor, group_B: Tensor, ddof: int) -> Tensor:
    """Each row's group's std, 0 in a group of one. [B]."""
    _, index, count = _groups(group_B, rewards_B)
    squares = _segment_sum(group_centred(rewards_B, group_B).square(), index, len(count))
    return (squares / (count - ddof).clamp(min=1)).sqrt()[index]


def _batch_std(rewards_B: Tensor) -> Tensor:
    """The ddof-1 std of all rewards, whatever their group. [B]."""
    return ((rewards_B - rewards_B.mean()).square().sum() / max(len(rewards_B) - 1, 1)).sqrt().expand_as(rewards_B)


def _std_of_others(rewards_B: Tensor, group_B: Tensor) -> Tensor:
    """The ddof-1 std of the other rewards of each row's group, 0 where there are fewer than two. [B]."""
    others_BB = (group_B[:, None] == group_B).fill_diagonal_(False).to(rewards_B)
    count_B = others_BB.sum(1)
    mean_B = others_BB @ rewards_B / count_B.clamp(min=1)
    squares_B = (others_BB * (rewards_B - mean_B[:, None]).square()).sum(1)
    return (squares_B / (count_B - 1).clamp(min=1)).sqrt()


def _groups(group_N: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    groups, index, count = torch.unique(group_N, return_inverse=True, return_counts=True)
    return groups, index, count.to(like.dtype)


def _segment_sum(values_N: Tensor, index_N: Tensor, num_segments: int) -> Tensor:
    return torch.zeros(num_segments, dtype=values_N.dtype, device=values_N.device).index_add_(0, index_N, values_N)
