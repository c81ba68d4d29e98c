"""What is read off a softmax over the vocabulary, token by token, and its gradient with respect to the logits.

Written for chunks of logits that nobody else holds: both functions work in place, since a chunk is by far the largest tensor of a
training pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

#: Computed from the policy's logits alone; and against the logits of a teacher.
OF_POLICY = ("logp", "entropy", "squared_probs")
OF_TEACHER = ("reverse_kl", "forward_kl", "jsd")


@dataclass(frozen=True)
class Statistics:
    """values: name -> [n]. lse_n: log-sum-exp of the logits. teacher_lse_n: of the teacher's."""

    values: dict[str, Tensor]
    lse_n: Tensor
    teacher_lse_n: Tensor | None = None


def statistics(
    logits_nV: Tensor,
    targets_n: Tensor,
    names: tuple[str, ...],
    teacher_nV: Tensor | None = None,
    share: float = 0.5,
) -> Statistics:
    """Per token, in nats: log-prob of the target, entropy, sum of squared probabilities, KL(pi || pi_T), KL(pi_T || pi), and
    jsd = (1 - s) KL(pi || m) + s KL(pi_T || m), m = (1 - s) pi + s pi_T.

    Args:
        logits_nV, teacher_nV: float32 or float64 [n, V]; overwritten. names: which of `OF_POLICY` and `OF_TEACHER`.
        share: s, the teacher's in the mixture; between 0 and 1.
    """
    largest = logits_nV.amax(dim=-1, keepdim=True)
    # From here on the logits are relative to their row's largest, in place.
    logits_nV -= largest
    target_logit = logits_nV.gather(-1, targets_n[:, None])[:, 0]
    weights = logits_nV.exp()
    total = weights.sum(dim=-1)
    log_total = total.log()
    values = {"logp": target_logit - log_total, "entropy": log_total - torch.linalg.vecdot(weights, logits_nV) / total}
    if "squared_probs" in names:
        values["squared_probs"] = torch.linalg.vecdot(weights, weights) / total.square()
    teacher_lse = None
    if teacher_nV is not None:
        teacher_largest = teacher_nV.amax(dim=-1, keepdim=True)
        teacher_nV -= teacher_largest
        teacher_weights = teacher_nV.exp()
        teacher_total = teacher_weights.sum(dim=-1)
        log_ratio_of_totals = teacher_total.log() - log_total
        teacher_nV -= logits_nV  # log pi_T - log pi, up to the totals
        values["reverse_kl"] = log_ratio_of_totals - torch.linalg.vecdot(weights, teacher_nV) / total
        values["forward_kl"] = torch.linalg.vecdot(teacher_weights, teacher_nV) / teacher_total - log_ratio_of_totals
        if "jsd" in names:
            teacher_nV -= log_ratio_of_totals[:, None]
            excess_nV = _excess_of_mixture(teacher_nV, share)  # log m - log pi
            of_policy_n = torch.linalg.vecdot(weights, excess_nV) / total
            of_teacher_n = torch.linalg.vecdot(teacher_weights, teacher_nV.sub_(excess_nV)) / teacher_total
            values["jsd"] = share * of_teacher_n - (1 - share) * of_policy_n
        teacher_lse = teacher_total.log() + teacher_largest[:, 0]
    return Statistics({name: values[name] for name in names}, log_total + largest[:, 0], teacher_lse)


def policy_statistics(
    logits_nV: Tensor, targets_n: Tensor, names: tuple[str, ...], residual_nV: Tensor | None
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Those of `OF_POLICY`, in the order of `names`, and log-sum-exps. The same formulas, to be compiled: nothing is overwritten.

    Args:
        residual_nV: where to write -d logp / d logits, the probabilities less the target's unit vector, in any precision.
    """
    largest_n1 = logits_nV.amax(dim=-1, keepdim=True)
    relative_nV = logits_nV - largest_n1
    weights_nV = relative_nV.exp()
    total_n1 = weights_nV.sum(dim=-1, keepdim=True)
    log_total_n1 = total_n1.log()
    logp_n1 = logits_nV.gather(-1, targets_n[:, None]) - largest_n1 - log_total_n1
    values = {
        "logp": logp_n1[:, 0],
        "entropy": (log_total_n1 - (weights_nV * relative_nV).sum(dim=-1, keepdim=True) / total_n1)[:, 0],
        "squared_probs": (weights_nV.square().sum(dim=-1, keepdim=True) / total_n1.square())[:, 0],
    }
    if residual_nV is not None:
        of_target = torch.arange(logits_nV.shape[1], device=logits_nV.device)[None] == targets_n[:, None]
        # p - 1 of a likely target is a small difference: it is taken before it is rounded.
        residual_nV.copy_(torch.where(of_target, torch.expm1(logp_n1), weights_nV / total_n1))
    return tuple(values[name] for name in names), (largest_n1 + log_total_n1)[:, 0]


def logits_gradient(
    logits_nV: Tensor,
    targets_n: Tensor,
    found: Statistics,
    upstream: Mapping[str, Tensor],
    teacher_nV: Tensor | None = None,
    share: float = 0.5,
) -> Tensor:
    """Sum over the outputs of (d output / d logits) times its upstream gradient, [n, V], in place of the logits.

    With p the policy's probabilities, t the teacher's, e the target's unit vector and s = log p - log t:
        d logp = e - p                     d entropy = -p (log p + entropy)        d squared_probs = 2 p (p - squared_probs)
        d reverse_kl = p (s - reverse_kl)  d forward_kl = p - t
    and with m the mixture, b the teacher's share in it and u = log p - log m:
        d jsd = (1 - b) p (u - sum p u)

    Args:
        logits_nV, teacher_nV: [n, V]; overwritten. found: what `statistics` gave for them. upstream: name -> [n]; has "logp".
    """
    logp_nV = logits_nV.sub_(found.lse_n[:, None])
    d_logp_n1 = upstream["logp"][:, None]
    scale = d_logp_n1  # minus the gradient, over p
    if "entropy" in upstream:
        scale = (logp_nV + found.values["entropy"][:, None]).mul_(upstream["entropy"][:, None]).add_(d_logp_n1)
    if teacher_nV is not None:
        assert found.teacher_lse_n is not None
        teacher_nV.sub_(found.teacher_lse_n[:, None])
    if "reverse_kl" in upstream:
        assert teacher_nV is not None
        excess = (logp_nV - teacher_nV).sub_(found.values["reverse_kl"][:, None])
        scale = scale - excess.mul_(upstream["reverse_kl"][:, None])
    if "jsd" in upstream:
        assert teacher_nV is not None
        excess = _excess_of_mixture(teacher_nV - logp_nV, share)  # -u
        excess -= torch.linalg.vecdot(logp_nV.exp(), excess)[:, None]
        scale = scale + excess.mul_((1 - share) * upstream["jsd"][:, None])
    if "forward_kl" in upstream:
        scale = scale - upstream["forward_kl"][:, None]
    probs_nV = logp_nV.exp_()
    if "squared_probs" in upstream:
        excess = (probs_nV - found.values["squared_probs"][:, None]).mul_(2 * upstream["squared_probs"][:, None])
        scale = scale - excess
    d_logits_nV = probs_nV.mul_(-scale if scale.shape[1] == 1 else scale.neg_())
    if "forward_kl" in upstream:
        assert teacher_nV is not None
        d_logits_nV.sub_(teacher_nV.exp_().mul_(upstream["forward_kl"][:, None]))
    return d_logits_nV.scatter_add_(-1, targets_n[:, None], d_logp_n1)


def _excess_of_mixture(log_ratio_nV: Tensor, share: float) -> Tensor:
    """log m - log p = log((1 - s) + s t / p), from log t - log p."""
    return torch.nn.functional.softplus(log_ratio_nV + math.log(share / (1 - share))) + math.log1p(-share)
