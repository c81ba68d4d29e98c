"""The replay store of iterative RL: what earlier reward models were trained on, and the mixes made of it and of fresh data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from unified_rl.base import rng
from unified_rl.base.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class Kept(Generic[T]):
    """An item and where it came from: the iteration that it was made in, and the key of the policy that wrote it."""

    item: T
    iteration: int
    policy: str


class ReplayStore(Generic[T]):
    """Every item of every earlier iteration, once each: an item that is replayed does not enter again."""

    def __init__(self) -> None:
        self._history: list[Kept[T]] = []

    def __len__(self) -> int:
        return len(self._history)

    def add(self, items: Sequence[T], *, iteration: int, policy: str) -> None:
        """Keep the fresh items of an iteration."""
        self._history += [Kept(item, iteration, policy) for item in items]

    def mix(self, fresh: Sequence[T], *, iteration: int, policy: str, share: float, seed: int) -> list[Kept[T]]:
        """The fresh items, then so many of the history's that these are `share` of the mix (all of them if that is fewer).

        Drawn without replacement, uniformly, as a function of (seed, iteration).

        Args:
            share: replayed / (fresh + replayed), in [0, 1). The paper replays 10 % (4.1.4).

        Raises:
            ConfigError: a share outside [0, 1).
        """
        if not 0 <= share < 1:
            raise ConfigError(f"iterate.replay={share} must lie in [0, 1)")
        wanted = min(len(self._history), round(len(fresh) * share / (1 - share)))
        drawn = rng.generator(seed, "replay", iteration).permutation(len(self._history))[:wanted]
        return [Kept(item, iteration, policy) for item in fresh] + [self._history[index] for index in sorted(drawn.tolist())]
