"""A gradient coefficient is a sum of named terms, each a product of named factors. The names are kept to the end.

GRPO (Eq. 21), for example, is `{"advantage": importance_weight * not_clipped * advantage, "kl": kl_coef * ref_ratio_minus_one}`;
metrics, `explain` and the figures read these names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor


@dataclass(frozen=True)
class Term:
    """One term: the product of `factors`, each broadcastable to [B, T]."""

    factors: Mapping[str, Tensor]

    def value(self) -> Tensor:
        """The product of the factors, in their broadcast shape."""
        return reduce(torch.mul, self.factors.values())


Terms = dict[str, Term]


def term(**factors: Tensor) -> Term:
    """`term(weight=w, advantage=a)` is the term w * a."""
    return Term(factors)


def coefficient(terms: Terms, response_mask_BT: Tensor) -> Tensor:
    """The gradient coefficient GC [B, T]: the sum of the terms, exactly zero off the response mask, and detached.

    Off the mask the factors may hold anything (a ratio of paddings can be infinite), so the sum is selected, not multiplied.
    """
    total = sum((item.value() for item in terms.values()), start=torch.zeros((), device=response_mask_BT.device))
    zero = torch.zeros((), dtype=total.dtype, device=total.device)
    return torch.where(response_mask_BT, total, zero).detach()
