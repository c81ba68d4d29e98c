"""A whole copy of a policy whose weights ZeRO-3 has divided, for the torch generator, which reads them at every token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from unified_rl.base.types import Decoding, Generator, GeneratorInfo, Prompt, Response
from unified_rl.training.weight_sync import whole_weights


@runtime_checkable
class Divided(Protocol):
    """A trainer whose model's weights may be divided among the ranks."""

    @property
    def model(self) -> nn.Module: ...

    @property
    def updates(self) -> int: ...

    def empty_copy(self) -> nn.Module:
        """A plain copy of the model on its device, whose weights are yet to be filled in."""


class WholeCopy:
    """A copy on every rank, renewed before it is sampled from. `model`: the copy, a plain module."""

    def __init__(self, trainer: Divided) -> None:
        self.model: nn.Module = trainer.empty_copy().requires_grad_(False).eval()
        self._trainer = trainer
        self._version: int | None = None

    @torch.no_grad()
    def sync(self) -> None:
        """Take over the trainer's weights, if it has moved since the last time. All ranks call this together."""
        if self._version == self._trainer.updates:
            return
        for name, weight in whole_weights(self._trainer.model):
            self.model.get_parameter(name).copy_(weight)
        self._version = self._trainer.updates


class FollowingGenerator:
    """A generator that samples from a `WholeCopy`. Implements `Generator`."""

    def __init__(self, generator: Generator, copy: WholeCopy) -> None:
        self._generator, self._copy = generator, copy

    @property
    def info(self) -> GeneratorInfo:
        return self._generator.info

    def generate(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], decoding: Decoding, policy_version: int
    ) -> list[list[Response]]:
        self._copy.sync()
        return self._generator.generate(prompts, seeds, decoding, policy_version)
