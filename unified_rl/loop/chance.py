"""Chance for coefficients that draw tokens: a function of the run's seed, of the update and of a token's place, and no more.

Rows may be padded, divided among ranks or micro-batches and ordered at will, and a run that is resumed draws what it would have.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unified_rl.base import rng


def uniform(seed: int, update: int, rows: np.ndarray, response_mask_BT: Tensor) -> Tensor:
    """A number in [0, 1) for each token of responses [B, T], float64.

    Args:
        update: how many the policy had before. rows: places [B] of the responses in their rollout.
    """
    width = response_mask_BT.shape[1]
    drawn = [rng.generator(seed, "chance", update, int(row)).random(width) for row in rows]
    return torch.from_numpy(np.stack(drawn)).to(response_mask_BT.device)
