"""Ratios of probabilities, kept finite: a product with a factor that is 0 is then 0, and no gradient is infinite."""

import torch
from torch import Tensor

#: Largest |log ratio| that a ratio is formed of. e^20 is 5e8: any clip or cap in use has long bitten, and float32 overflows at
#: e^88, where a clipped term would be infinity times 0.
MAX_LOG_RATIO = 20.0


def bounded(log_ratio: Tensor) -> Tensor:
    """The logarithm of a ratio within +-MAX_LOG_RATIO. Any shape."""
    return torch.clamp(log_ratio, -MAX_LOG_RATIO, MAX_LOG_RATIO)


def log_ratio(estimator: str, logp_BT: Tensor, old_logp_BT: Tensor, response_mask_BT: Tensor) -> Tensor:
    """log rho by the named estimator, bounded: of each "token" [B, T], or of the response [B, 1]: "geometric" (the mean over its
    tokens, GSPO, arXiv 2507.18071) or "product" (their sum)."""
    difference_BT = logp_BT - old_logp_BT
    if estimator == "token":
        return bounded(difference_BT)
    summed_B1 = torch.where(response_mask_BT, difference_BT, 0).sum(1, keepdim=True)
    if estimator == "product":
        return bounded(summed_B1)
    return bounded(summed_B1 / response_mask_BT.sum(1, keepdim=True).clamp(min=1))
