"""The trainer protocol: what the loop asks of whatever trains a model role, and what it gives and gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from unified_rl.models.roles import Outputs
from unified_rl.packing.packed_rows import Members, TokenSequence

#: A loss: (outputs as right-padded [b, T], which sequences of the update's batch these are) -> scalar to be minimised. It reads
#: nothing back from the device: what it finds out it keeps there until the update is over.
Loss = Callable[[Outputs, Members], Tensor]


@dataclass(frozen=True)
class UpdateReport:
    """loss: the update's summed loss. grad_norm: before clipping. learning_rate: of this update."""

    loss: float
    grad_norm: float
    learning_rate: float


class Trainer(Protocol):
    """Trains one role. On several ranks all of them call every method together, with equal arguments.

    Sequences that come as a `Batch` are laid out once for all passes over them.
    """

    @property
    def model(self) -> nn.Module:
        """The module that is trained; where ZeRO-3 divides its weights, they cannot be read off it."""

    @property
    def updates(self) -> int:
        """Updates made."""

    def outputs(self, sequences: Sequence[TokenSequence]) -> Outputs:
        """The role's outputs [B, T] under the present weights, without gradient, whole on every rank."""

    def update(self, sequences: Sequence[TokenSequence], loss: Loss, unit_B: np.ndarray | None = None) -> UpdateReport:
        """One optimiser step on the sum of all micro-batches' losses, which the device is not waited for in between.

        Args:
            unit_B: sequences with equal numbers (a pair, a group) reach `loss` together.

        Raises:
            TrainingError: the loss or the gradient is not finite; the weights are then unchanged.
            GradientOverflow: in float16 the update is to be made again, with a loss of its own (`loss_scale.until_it_fits`).
        """

    def whole_model(self) -> nn.Module | None:
        """The model with all its weights, to be saved: on the first rank; None on the others."""

    def save(self, path: Path) -> None:
        """Write the optimiser's state (not the weights). Raises CheckpointError."""

    def load(self, path: Path) -> None:
        """Read back what `save` wrote. Raises CheckpointError where it does not fit the model."""
