"""The trainers by name, and what the loop asks of any of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import nn

from unified_rl.engine_config import DeepSpeedConfig
from unified_rl.engines.deepspeed_settings import require_deepspeed
from unified_rl.engines.packing import TokenSequence
from unified_rl.engines.torch_trainer import AdamWOptions, Layout, Loss, Outputs, Role, TorchTrainer, UpdateReport
from unified_rl.types import Ranks


class Trainer(Protocol):
    """Trains one role. On several ranks all of them call every method together, with equal arguments."""

    @property
    def model(self) -> nn.Module:
        """The module that is trained; where ZeRO-3 divides its weights, they cannot be read off it."""

    @property
    def updates(self) -> int:
        """Updates made."""

    def outputs(self, sequences: Sequence[TokenSequence]) -> Outputs:
        """The role's outputs [B, T] under the present weights, whole on every rank."""

    def update(self, sequences: Sequence[TokenSequence], loss: Loss, unit_B: np.ndarray | None = None) -> UpdateReport:
        """One optimiser step on the sum of the micro-batches' losses."""

    def whole_model(self) -> nn.Module | None:
        """The model with all its weights, to be saved: on the first rank; None on the others."""

    def save(self, path: Path) -> None:
        """Write the optimiser's state."""

    def load(self, path: Path) -> None:
        """Read it back."""


def state_name(trainer: str, role: str) -> str:
    """Where in a checkpoint a trainer's state is: a file, or DeepSpeed's folder."""
    return role if trainer == "deepspeed" else f"{role}.safetensors"


def preflight_trainer(name: str) -> None:
    """Raise ConfigError where this trainer cannot be had."""
    if name == "deepspeed":
        require_deepspeed()


def build_trainer(
    name: str,
    settings: DeepSpeedConfig,
    model: nn.Module,
    role: Role,
    options: AdamWOptions,
    layout: Layout,
    ranks: Ranks,
) -> Trainer:
    """The trainer of `trainer.name`; `settings` are read by DeepSpeed's."""
    if name == "torch":
        return TorchTrainer(model, role, options, layout, ranks)
    from unified_rl.engines.deepspeed_trainer import DeepSpeedTrainer

    return DeepSpeedTrainer(model, role, options, layout, settings, ranks)
