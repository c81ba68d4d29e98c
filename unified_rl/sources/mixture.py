"""Demonstrations mixed from several parts by weight, in an order that is a function of (seed, step) alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np

from unified_rl.base import rng
from unified_rl.base.errors import DataError
from unified_rl.base.types import Draw, Group, Prompt, Response, Score, ScoredResponse

#: A demonstration of a mix is nobody's answer to a graded problem.
NOT_GRADED = Score(0.0, "unparsable", None, None)


class Mixture:
    """Which items each epoch holds, and in which order.

    A part of n items and weight w gives round(w n) items to every epoch: the next ones of an endless stream of its permutations.
    So within any span of epochs every item of a part has been seen as often as any other, give or take one.

    Args:
        sizes: items per part; items are numbered through, part after part.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], seed: int) -> None:
        self._sizes, self._seed = sizes, seed
        self.counts = [max(1, round(weight * size)) for size, weight in zip(sizes, weights, strict=True) if size]
        if not self.counts:
            raise DataError("the mix of demonstrations is empty; check data.demonstrations")
        self._first = np.cumsum([0, *sizes])

    def __len__(self) -> int:
        """Items per epoch."""
        return sum(self.counts)

    def epoch(self, epoch: int) -> np.ndarray:
        """The items of an epoch in their order, int64 [len(self)]."""
        parts = [part for part, size in enumerate(self._sizes) if size]
        items = [self._of_part(part, count, epoch) for part, count in zip(parts, self.counts, strict=True)]
        return np.concatenate(items)[rng.generator(self._seed, "mixture", epoch).permutation(len(self))]

    def _of_part(self, part: int, count: int, epoch: int) -> np.ndarray:
        size, draws = self._sizes[part], np.arange(epoch * count, (epoch + 1) * count)
        passes = {int(number): self._permutation(part, int(number)) for number in np.unique(draws // size)}
        return self._first[part] + np.array([passes[int(draw) // size][draw % size] for draw in draws])

    def _permutation(self, part: int, number: int) -> np.ndarray:
        return rng.generator(self._seed, "mixture part", part, number).permutation(self._sizes[part])


class ByCount:
    """Steps of `per_step` items."""

    def __init__(self, mixture: Mixture, per_step: int) -> None:
        self._mixture, self._per_step = mixture, per_step
        self._epoch = lru_cache(maxsize=2)(mixture.epoch)

    def items(self, step: int) -> np.ndarray:
        """Items of draws step x per_step ... (step + 1) x per_step - 1, epoch after epoch."""
        draws = np.arange(step * self._per_step, (step + 1) * self._per_step)
        return np.array([self._epoch(int(draw) // len(self._mixture))[draw % len(self._mixture)] for draw in draws])


class ByRows:
    """Steps of `per_step` rows: an epoch's items, in their order, joined to rows of at most `row_tokens`.

    An item that does not fit what is left of a row begins the next one, as in the paper ("randomly concatenated until reaching a
    maximum context length"). The last row of an epoch is closed by its end.

    Args:
        lengths: tokens of every item, each at most `row_tokens`.
    """

    def __init__(self, mixture: Mixture, lengths: np.ndarray, row_tokens: int, per_step: int) -> None:
        self._mixture, self._lengths, self._row_tokens, self._per_step = mixture, lengths, row_tokens, per_step
        self.rows = lru_cache(maxsize=2)(self._rows)
        self._ends: list[int] = []  # rows up to and with each epoch

    def items(self, step: int) -> np.ndarray:
        """Items of rows step x per_step ... (step + 1) x per_step - 1, epoch after epoch."""
        first, last = step * self._per_step, (step + 1) * self._per_step
        found, epoch = [], 0
        while True:
            begin, end = self._span(epoch)
            found += self.rows(epoch)[max(first, begin) - begin : last - begin] if end > first else []
            if end >= last:
                return np.concatenate(found)
            epoch += 1

    def _span(self, epoch: int) -> tuple[int, int]:
        """The numbers of an epoch's rows, counted over all epochs."""
        while len(self._ends) <= epoch:
            before = self._ends[-1] if self._ends else 0
            self._ends.append(before + len(self.rows(len(self._ends))))
        return (self._ends[epoch - 1] if epoch else 0), self._ends[epoch]

    def _rows(self, epoch: int) -> list[np.ndarray]:
        """The rows of an epoch, each as the items that it holds."""
        order = self._mixture.epoch(epoch)
        total = np.cumsum(self._lengths[order])
        starts, place, before = [], 0, 0
        while place < len(order):
            starts.append(place)
            place = int(np.searchsorted(total, before + self._row_tokens, side="right"))
            before = int(total[place - 1])
        return np.split(order, starts[1:])


class Batches(Protocol):
    """Which items a step holds."""

    def items(self, step: int) -> np.ndarray: ...


class MixedDemonstrations:
    """The step's items of a mix, each as a group of one response. `item` makes the prompt and response of a numbered item."""

    def __init__(self, batches: Batches, item: Callable[[int], tuple[Prompt, Response]]) -> None:
        self._batches, self._item = batches, item

    def draw(self, step: int, policy_version: int) -> Draw:
        pairs = [self._item(int(index)) for index in self._batches.items(step)]
        return Draw([Group(prompt, (ScoredResponse(response, NOT_GRADED),)) for prompt, response in pairs])
