"""The scale of a loss in float16: smaller gradients than its range holds are lost, and larger ones are infinite.

Micikevicius et al. 2018 (arXiv 1710.03740), section 3.2. There an update whose gradients do not fit is skipped. Here it is made
again at half the scale, so that a run in float16 makes the updates of one in float32, on the same batches, and the scale is a
matter of rounding alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

Made = TypeVar("Made")


FIRST = 2.0**16
#: Updates in a row that fitted, after which twice the scale is tried.
PATIENCE = 2000


class GradientOverflow(OverflowError):
    """A gradient did not fit at the loss's scale, which is smaller now: nothing was changed, the update is to be made again."""


class LossScale:
    """A power of two by which a loss is multiplied before its gradient is taken, and the gradient divided afterwards.

    Attributes:
        value: 1 for good where the model is in another precision than float16.
        fitted: updates in a row whose gradients were finite.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.moves = dtype == torch.float16
        self.value, self.fitted = (FIRST if self.moves else 1.0), 0

    def lower(self) -> bool:
        """Halve the scale; False where it is 1 already, so that the gradient itself is not finite."""
        if self.value <= 1.0:
            return False
        self.value, self.fitted = self.value / 2, 0
        return True

    def passed(self) -> None:
        """Note that an update's gradients have fitted."""
        self.fitted += self.moves
        if self.fitted == PATIENCE:
            self.value, self.fitted = self.value * 2, 0


def until_it_fits(update: Callable[[], Made]) -> Made:
    """What an update returns, which is made again until its gradients fit. Each attempt brings a loss of its own."""
    while True:
        try:
            return update()
        except GradientOverflow:
            continue
