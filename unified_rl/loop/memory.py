"""What a run remembers of each prompt: the rewards of its earlier responses, for coefficients that compare with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError
from unified_rl.base.types import Group

FILE = "prompts.json"


class PromptMemory:
    """Number, sum and squares of the rewards of all responses that a run has trained on, by prompt. Part of every checkpoint."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float, float]] = {}

    def recall(self, groups: Sequence[Group], device: torch.device | str) -> dict[str, Tensor]:
        """For each response of these groups: the `count`, `mean` and `std` (of the population) of its prompt's earlier rewards.

        Each float32 [B]; mean and std are NaN for a prompt that was not seen before.
        """
        rows = [self._row(group.prompt.id) for group in groups for _ in group.responses]
        columns = torch.tensor(rows, dtype=torch.float32, device=device).reshape(-1, 3).unbind(1)
        return dict(zip(("count", "mean", "std"), columns, strict=True))

    def note(self, groups: Sequence[Group]) -> None:
        """Remember a rollout, once it has been trained on."""
        for group in groups:
            count, total, squares = self._seen.get(group.prompt.id, (0, 0.0, 0.0))
            rewards = [float(scored.score.reward) for scored in group.responses]
            self._seen[group.prompt.id] = (
                count + len(rewards),
                total + sum(rewards),
                squares + sum(reward**2 for reward in rewards),
            )

    def save(self, folder: Path) -> None:
        """Write it into a checkpoint's folder."""
        files.write_json(folder / FILE, self._seen)

    @classmethod
    def load(cls, folder: Path) -> PromptMemory:
        """What `save` wrote. Raises CheckpointError."""
        found = cls()
        try:
            stored = json.loads((folder / FILE).read_text(encoding="utf-8"))
            found._seen = {
                prompt: (int(count), float(total), float(squares)) for prompt, (count, total, squares) in stored.items()
            }
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{folder / FILE} does not hold what the run remembers of its prompts ({error}); restore the file or go on from "
                "another checkpoint"
            ) from error
        return found

    def _row(self, prompt: str) -> tuple[float, float, float]:
        count, total, squares = self._seen.get(prompt, (0, 0.0, 0.0))
        if not count:
            return 0.0, float("nan"), float("nan")
        mean = total / count
        return float(count), mean, max(squares / count - mean**2, 0.0) ** 0.5
