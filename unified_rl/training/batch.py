"""Sequences that are laid out once: a rollout's passes (old log-probs, reference, value, every epoch's update) share their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np
import torch
from torch import Tensor

from unified_rl.base.types import Ranks
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import PackedRows, TokenSequence
from unified_rl.training.shares import share_of_units


@dataclass(frozen=True, slots=True)
class Share:
    """What one rank works on: sequences `rows` (int64 [b], ascending) of the batch, as micro-batches on its device.

    rows_b: `rows` on that device. Micro-batches number the sequences within the share.
    """

    rows: np.ndarray
    rows_b: Tensor
    micro_batches: Sequence[PackedRows]


class Batch(Sequence[TokenSequence]):
    """Sequences, with the rows that passes over them were given: the same pass again gets the same rows.

    Sequences do not change while they are here. The rows live as long as the batch.
    """

    def __init__(self, sequences: Sequence[TokenSequence]) -> None:
        self._sequences = list(sequences)
        self._shares: dict[tuple, Share] = {}

    @classmethod
    def of(cls, sequences: Sequence[TokenSequence]) -> Batch:
        """The batch that `sequences` are, or a new one of them."""
        return sequences if isinstance(sequences, cls) else cls(sequences)

    @overload
    def __getitem__(self, index: int) -> TokenSequence: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[TokenSequence]: ...

    def __getitem__(self, index: int | slice) -> TokenSequence | Sequence[TokenSequence]:
        return self._sequences[index]

    def __len__(self) -> int:
        return len(self._sequences)

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest response."""
        return max((len(sequence.response_ids) for sequence in self), default=0)

    def subset(self, rows: np.ndarray) -> Batch:
        """The sequences `rows` (int64, ascending): this batch itself where they are all of it."""
        return self if len(rows) == len(self) else Batch([self._sequences[row] for row in rows])

    def share(self, layout: Layout, unit_B: np.ndarray | None, ranks: Ranks, device: torch.device) -> Share:
        """What this rank works on, in whole units, laid out at the first call.

        Args:
            unit_B: int [B]; sequences with equal numbers stay in one micro-batch. None: each is its own unit.
        """
        key = (layout, device, ranks.rank, ranks.size, None if unit_B is None else unit_B.tobytes())
        if key not in self._shares:
            rows = share_of_units(self, unit_B, ranks)
            own = [self._sequences[row] for row in rows]
            micro_batches = layout.pack(own, None if unit_B is None else unit_B[rows], device) if own else []
            self._shares[key] = Share(rows, torch.from_numpy(rows).to(device), micro_batches)
        return self._shares[key]
