"""Float32 masters of low-precision weights: what the optimiser steps on, and where gradients are added up.

A bfloat16 number has 8 significant bits, so an update of less than 1/512 of a weight would be rounded away, step after step (a
float16 number has 11). The master keeps it; the model computes with the master rounded to its own dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from unified_rl.training.loss_scale import LossScale


class MasterWeights:
    """The masters of a model's parameters, in their order: float32 copies of those of lower precision, the others themselves.

    A micro-batch's gradient, taken of a loss at `scale`, is divided by it and added to the master's in float32 as soon as it is
    whole, and its own memory is given back.

    Attributes:
        masters: what an optimiser is given.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], scale: LossScale) -> None:
        self.masters = [_master(parameter) for parameter in parameters]
        self._scale = scale
        self._pairs = [(low, high) for low, high in zip(parameters, self.masters, strict=True) if low is not high]
        for low, high in self._pairs:
            low.register_post_accumulate_grad_hook(_adding_to(high, scale))

    def unscale(self) -> None:
        """Divide the gradients of those weights that are their own masters, once all micro-batches have been added."""
        lows = {id(high) for _, high in self._pairs}
        own = [master.grad for master in self.masters if master.grad is not None and id(master) not in lows]
        if own and self._scale.value != 1.0:
            torch._foreach_div_(own, self._scale.value)

    @torch.no_grad()
    def to_model(self) -> None:
        """Round the masters into the model, after a step or when they were read from a file."""
        if self._pairs:
            lows, highs = (list(side) for side in zip(*self._pairs, strict=True))
            torch._foreach_copy_(lows, highs)


def _master(parameter: nn.Parameter) -> nn.Parameter:
    low = parameter.is_floating_point() and parameter.dtype.itemsize < 4
    return nn.Parameter(parameter.detach().float()) if low else parameter


def _adding_to(master: nn.Parameter, scale: LossScale) -> Callable[[Tensor], None]:
    """A hook that moves a parameter's gradient to its master, off the loss's scale."""

    def move(parameter: Tensor) -> None:
        gradient, parameter.grad = parameter.grad, None
        if gradient is None:
            return
        if master.grad is None:
            master.grad = gradient.float() if scale.value == 1.0 else gradient.float() / scale.value
        else:
            master.grad.add_(gradient, alpha=1.0 / scale.value)

    return move
