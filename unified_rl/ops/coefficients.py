"""The gradient coefficients GC(q, o, t) of Eq. 5 as named terms. Tensors in, terms out.

Each function takes log-probs [B, T] and static per-token inputs, and returns the terms whose sum multiplies grad log pi. The sign
convention is the paper's: the objective is *maximised*. Aggregation (1/|o| and the mean over the batch) is not part of a
coefficient: see `aggregation`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unified_rl.ops import kl, preferences
from unified_rl.ops.ratios import bounded
from unified_rl.ops.terms import Term, Terms, term


def sft(response_mask_BT: Tensor, dtype: torch.dtype) -> Terms:
    """GC = 1 (Eq. 7)."""
    return {"likelihood": term(one=response_mask_BT.to(dtype))}


def rft(correct_B: Tensor) -> Terms:
    """GC = I(o), 1 where the response's answer is right and 0 otherwise (Eq. 10); for RFT and Online RFT alike. [B] bool."""
    return {"indicator": term(correct=correct_B[:, None])}


def policy_gradient(logp_BT: Tensor, old_logp_BT: Tensor, advantages_BT: Tensor, clip_low: float, clip_high: float) -> Term:
    """rho * 1[not clipped] * A: the derivative of min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A) with respect to logp.

    rho = pi / pi_old. The clip bites where it lowers the objective: A > 0 and rho > 1 + clip_high, or A < 0 and rho < 1 - clip_low.
    With one update per rollout rho is 1 and the term is A (Eqs. 16-18 and 19-21). A clipped term is 0 however large the ratio;
    an unclipped one is limited by |log rho| <= `ratios.MAX_LOG_RATIO`. All [B, T].
    """
    ratio = torch.exp(bounded(logp_BT - old_logp_BT))
    clipped = ((advantages_BT > 0) & (ratio > 1 + clip_high)) | ((advantages_BT < 0) & (ratio < 1 - clip_low))
    return term(importance_weight=ratio, not_clipped=(~clipped).to(ratio), advantage=advantages_BT)


def ppo(logp_BT: Tensor, old_logp_BT: Tensor, advantages_BT: Tensor, clip_eps: float) -> Terms:
    """GC = A_t (Eq. 18), in its clipped form for several updates per rollout; the KL is already in the rewards behind A_t."""
    return {"advantage": policy_gradient(logp_BT, old_logp_BT, advantages_BT, clip_eps, clip_eps)}


def grpo(
    logp_BT: Tensor,
    old_logp_BT: Tensor,
    ref_logp_BT: Tensor,
    advantages_BT: Tensor,
    *,
    clip_eps: float,
    kl_coef: float,
    kl_estimator: str = "k3",
) -> Terms:
    """GC = A + beta (pi_ref / pi - 1) (Eq. 21), in the form of Eq. 3 for several updates per rollout. All [B, T]."""
    return {
        "advantage": policy_gradient(logp_BT, old_logp_BT, advantages_BT, clip_eps, clip_eps),
        "kl": kl.loss_term(kl_estimator, logp_BT, ref_logp_BT, old_logp_BT, kl_coef),
    }


def clipped_advantage(
    logp_BT: Tensor, old_logp_BT: Tensor, advantages_BT: Tensor, *, clip_low: float, clip_high: float
) -> Terms:
    """rho * 1[not clipped] * A without a KL term: Dr. GRPO (symmetric clip) and DAPO (clip-higher: clip_high > clip_low)."""
    return {"advantage": policy_gradient(logp_BT, old_logp_BT, advantages_BT, clip_low, clip_high)}


def reinforce(logp_BT: Tensor, advantages_BT: Tensor) -> Terms:
    """GC = A, without importance weight or clip (RLOO, arXiv 2402.14740, and REINFORCE)."""
    return {"advantage": term(advantage=advantages_BT.expand_as(logp_BT))}


def dpo(logp_BT: Tensor, ref_logp_BT: Tensor, response_mask_BT: Tensor, chosen_B: Tensor, pair_B: Tensor, beta: float) -> Terms:
    """Standard DPO (arXiv 2305.18290) inside Eq. 5's 1/|o|: GC = +-|o| beta sigma(-m), m from *summed* log-ratios."""
    log_ratio_B = preferences.summed_log_ratio(logp_BT, ref_logp_BT, response_mask_BT)
    factors = _preference_factors(log_ratio_B, chosen_B, pair_B, beta, logp_BT)
    return {"preference": term(length=response_mask_BT.sum(1, keepdim=True).to(logp_BT), **factors)}


def dpo_length_averaged(
    logp_BT: Tensor, ref_logp_BT: Tensor, response_mask_BT: Tensor, chosen_B: Tensor, pair_B: Tensor, beta: float
) -> Terms:
    """The exact coefficient of the paper's Eq. 12: GC = +-beta sigma(-m), m from length-*averaged* log-ratios."""
    log_ratio_B = preferences.mean_log_ratio(logp_BT, ref_logp_BT, response_mask_BT)
    return {"preference": term(**_preference_factors(log_ratio_B, chosen_B, pair_B, beta, logp_BT))}


def dpo_as_printed(
    logp_BT: Tensor, ref_logp_BT: Tensor, response_mask_BT: Tensor, chosen_B: Tensor, pair_B: Tensor, beta: float
) -> Terms:
    """Eq. 14 as printed: GC = +-sigma(-m_t) with single-token margins and no leading beta.

    Not the gradient of Eq. 12 nor of any stated objective; kept so that the printed formula can be run and compared. A missing
    partner token contributes a log-ratio of 0.
    """
    margin_BT = preferences.token_margins(logp_BT, ref_logp_BT, response_mask_BT, chosen_B, pair_B, beta)
    return {"preference": term(side=preferences.side(chosen_B, logp_BT)[:, None], misranking=torch.sigmoid(-margin_BT))}


def from_objective(objective: Callable[[Tensor], Tensor], logp_BT: Tensor) -> Terms:
    """Any differentiable objective J(logp) as a coefficient: dJ / dlogp by autograd on a leaf.

    The result already contains the aggregation weight (dJ/dlogp = w * GC) and is only summed.

    Args:
        objective: maps log-probs [B, T] (a leaf that requires grad) to the scalar to be *maximised*.
        logp_BT: [B, T] log-probs of the whole batch; may be detached.

    Raises:
        ValueError: the objective is not a scalar, or does not depend on the log-probs.
    """
    leaf = logp_BT.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        value = objective(leaf)
        if value.dim() != 0:
            raise ValueError(f"an objective must return a scalar to maximise, got shape {tuple(value.shape)}")
        if not value.requires_grad:
            raise ValueError("the objective does not depend on the log-probs it was given; was it detached?")
        (gradient,) = torch.autograd.grad(value, leaf, allow_unused=False)
    return {"objective": term(derivative=gradient)}


def _preference_factors(log_ratio_B: Tensor, chosen_B: Tensor, pair_B: Tensor, beta: float, like: Tensor) -> dict[str, Tensor]:
    margin_B = preferences.margins(log_ratio_B, chosen_B, pair_B, beta)
    return {
        "side": preferences.side(chosen_B, like)[:, None],
        "beta": torch.full((), beta, dtype=like.dtype, device=like.device),
        "misranking": torch.sigmoid(-margin_B)[:, None],
    }
