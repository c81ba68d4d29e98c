"""Ratios of probabilities, kept finite: a product with a factor that is 0 is then 0, and no gradient is infinite."""

import torch
from torch import Tensor

#: Largest |log ratio| that a ratio is formed of. e^20 is 5e8: any clip or cap in use has long bitten, and float32 overflows at
#: e^88, where a clipped term would be infinity times 0.
MAX_LOG_RATIO = 20.0


def bounded(log_ratio: Tensor) -> Tensor:
    """The logarithm of a ratio within +-MAX_LOG_RATIO. Any shape."""
    return torch.clamp(log_ratio, -MAX_LOG_RATIO, MAX_LOG_RATIO)
