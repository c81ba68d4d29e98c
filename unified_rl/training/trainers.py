"""The trainers by name: where each is built, and where its state is in a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from unified_rl.base.types import Ranks
from unified_rl.config.engines import DeepSpeedConfig
from unified_rl.models.roles import Role
from unified_rl.packing.layout import Layout
from unified_rl.training.deepspeed_settings import require_deepspeed
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.protocol import Trainer
from unified_rl.training.torch_trainer import TorchTrainer

Build = Callable[[DeepSpeedConfig, nn.Module, Role, AdamWOptions, Layout, Ranks], Trainer]


@dataclass(frozen=True)
class Kind:
    """build: the trainer of a model. preflight: raises ConfigError where it cannot be had. state: its state's file name."""

    build: Build
    preflight: Callable[[], None]
    state: str


def _torch(
    settings: DeepSpeedConfig, model: nn.Module, role: Role, options: AdamWOptions, layout: Layout, ranks: Ranks
) -> Trainer:
    return TorchTrainer(model, role, options, layout, ranks)


def _deepspeed(
    settings: DeepSpeedConfig, model: nn.Module, role: Role, options: AdamWOptions, layout: Layout, ranks: Ranks
) -> Trainer:
    from unified_rl.training.deepspeed_trainer import DeepSpeedTrainer

    return DeepSpeedTrainer(model, role, options, layout, settings, ranks)


TRAINERS = {
    "torch": Kind(_torch, preflight=lambda: None, state="{role}.safetensors"),
    "deepspeed": Kind(_deepspeed, preflight=require_deepspeed, state="{role}"),  # a folder, each rank's part in a file
}


def state_name(trainer: str, role: str) -> str:
    """Where in a checkpoint the state of a role's trainer is: a file, or DeepSpeed's folder."""
    return TRAINERS[trainer].state.format(role=role)


def preflight_trainer(name: str) -> None:
    """Raise ConfigError where this trainer cannot be had."""
    TRAINERS[name].preflight()


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
    return TRAINERS[name].build(settings, model, role, options, layout, ranks)
