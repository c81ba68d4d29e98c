"""The gradient coefficients GC(q, o, t) of Eq. 5 as named terms. Tensors in, terms out.

Each function takes log-probs [B, T] and static per-token inputs, and returns the terms whose sum multiplies grad log pi. The sign
convention is the paper's: the objective is *maximised*. Aggregation (1/|o| and the mean over the batch) is not part of a
coefficient: see `aggregation`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unified_rl.ops import preferences
from unified_rl.ops.terms import Terms, term


def sft(response_mask_BT: Tensor, dtype: torch.dtype) -> Terms:
    """GC = 1 (Eq. 7)."""
    return {"likelihood": term(one=response_mask_BT.to(dtype))}


def rft(correct_B: Tensor) -> Terms:
    """GC = I(o), 1 where the response's answer is right and 0 otherwise (Eq. 10); for RFT and Online RFT alike. [B] bool."""
    return {"indicator": term(correct=correct_B[:, None])}


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
