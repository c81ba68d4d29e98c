"""What a run remembers of each prompt from one rollout to the next, for coefficients that compare with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError
from unified_rl.base.types import Group
from unified_rl.loop.tracker import Outputs, ValueTracker
from unified_rl.methods.signals import per_prompt
from unified_rl.packing.packed_rows import TokenSequence

FILE = "prompts.json"


class Memory(Protocol):
    """What a run keeps of its prompts for its coefficient. Part of every checkpoint.

    OUTPUTS: what it recalls, by name (`output` of the signals of the prompt).
    """

    OUTPUTS: ClassVar[frozenset[str]]

    def recall(self, groups: Sequence[Group], device: torch.device | str) -> dict[str, Tensor]:
        """Its outputs for each response of these groups, [B], from before this rollout."""

    def note(self, groups: Sequence[Group], sequences: Sequence[TokenSequence], outputs: Outputs) -> dict[str, float]:
        """Remember a rollout, once it has been trained on; what of it is a metric.

        Args:
            sequences: the rollout's, in the order of the groups. outputs: of the policy after the updates.
        """

    def save(self, folder: Path) -> None:
        """Write it into a checkpoint's folder."""

    def load(self, folder: Path) -> None:
        """Take up what `save` wrote. Raises CheckpointError."""


def memories(coefficient: Any) -> tuple[Memory, ...]:
    """New memories of all that a coefficient reads."""
    wanted = {one.output for one in per_prompt(coefficient.needs)}
    kinds: tuple[Any, ...] = (PromptMemory, ValueTracker)
    return tuple(kind.of(coefficient) for kind in kinds if kind.OUTPUTS & wanted)


class PromptMemory:
    """Number, sum and squares of the rewards of all responses that a run has trained on, by prompt."""

    OUTPUTS: ClassVar[frozenset[str]] = frozenset({"count", "mean", "std"})

    @classmethod
    def of(cls, coefficient: Any) -> PromptMemory:
        """It has no options."""
        return cls()

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float, float]] = {}

    def recall(self, groups: Sequence[Group], device: torch.device | str) -> dict[str, Tensor]:
        """For each response of these groups: the `count`, `mean` and `std` (of the population) of its prompt's earlier rewards.

        Each float32 [B]; mean and std are NaN for a prompt that was not seen before.
        """
        rows = [self._row(group.prompt.id) for group in groups for _ in group.responses]
        columns = torch.tensor(rows, dtype=torch.float32, device=device).reshape(-1, 3).unbind(1)
        return dict(zip(("count", "mean", "std"), columns, strict=True))

    def note(self, groups: Sequence[Group], sequences: Sequence[TokenSequence], outputs: Outputs) -> dict[str, float]:
        """Remember a rollout, of which it reads the rewards alone."""
        for group in groups:
            count, total, squares = self._seen.get(group.prompt.id, (0, 0.0, 0.0))
            rewards = [float(scored.score.reward) for scored in group.responses]
            self._seen[group.prompt.id] = (
                count + len(rewards),
                total + sum(rewards),
                squares + sum(reward**2 for reward in rewards),
            )
        return {}

    def save(self, folder: Path) -> None:
        """Write it into a checkpoint's folder."""
        files.write_json(folder / FILE, self._seen)

    def load(self, folder: Path) -> None:
        """Take up what `save` wrote. Raises CheckpointError."""
        try:
            stored = json.loads((folder / FILE).read_text(encoding="utf-8"))
            self._seen = {
                prompt: (int(count), float(total), float(squares)) for prompt, (count, total, squares) in stored.items()
            }
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{folder / FILE} does not hold what the run remembers of its prompts ({error}); restore the file or go on from "
                "another checkpoint"
            ) from error

    def _row(self, prompt: str) -> tuple[float, float, float]:
        count, total, squares = self._seen.get(prompt, (0, 0.0, 0.0))
        if not count:
            return 0.0, float("nan"), float("nan")
        mean = total / count
        return float(count), mean, max(squares / count - mean**2, 0.0) ** 0.5
