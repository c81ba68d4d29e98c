"""Which prompts a step sees: a fixed pool, reshuffled every epoch, as a function of (seed, step) alone."""

from __future__ import annotations

from collections.abc import Sequence

from unified_rl.base import rng
from unified_rl.base.errors import DataError
from unified_rl.base.types import Prompt


class PromptPool:
    """A pool of training prompts and the order in which steps draw from it.

    Every source with the same seed draws the same prompts in the same order, whatever the method: comparisons are matched.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int) -> None:
        if not prompts:
            raise DataError("no training prompts: the task's train split is empty; check data.path and data.prompts")
        self._prompts = prompts
        self._seed = seed

    def __len__(self) -> int:
        return len(self._prompts)

    def indices(self, step: int, count: int) -> list[int]:
        """Pool indices of draws step * count ... step * count + count - 1, each epoch being one permutation of the pool."""
        size = len(self._prompts)
        draws = range(step * count, (step + 1) * count)
        epochs = {draw // size for draw in draws}
        orders = {epoch: rng.generator(self._seed, "prompts", epoch).permutation(size) for epoch in epochs}
        return [int(orders[draw // size][draw % size]) for draw in draws]

    def __getitem__(self, index: int) -> Prompt:
        return self._prompts[index]
