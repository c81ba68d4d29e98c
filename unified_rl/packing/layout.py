"""How an engine lays sequences out: the sizes of its rows and micro-batches, and when each is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch

from unified_rl.packing.packed_rows import PackedRows, Sizes, TokenSequence, micro_batches_of
from unified_rl.packing.rows import Holds


@dataclass(frozen=True)
class Layout:
    """How sequences are packed: memory and speed depend on it, results do not. holds: what a row may hold for the model."""

    row_tokens: int
    micro_batch_tokens: int
    holds: Holds = "shared prompts"

    def pack(self, sequences: Sequence[TokenSequence], unit_B: np.ndarray | None, device: torch.device) -> LaidOut:
        made = micro_batches_of(sequences, Sizes(self.row_tokens, self.micro_batch_tokens), unit_B, self.holds)
        return LaidOut(micro_batch.to(device) for micro_batch in made)


class LaidOut(Sequence[PackedRows]):
    """Micro-batches that are made once, each when a pass first comes to it: the host packs the next while a GPU works on one."""

    def __init__(self, made: Iterator[PackedRows]) -> None:
        self._made, self._rest = list[PackedRows](), made

    def __iter__(self) -> Iterator[PackedRows]:
        place = 0
        while place < len(self._made) or self._make_next():
            yield self._made[place]
            place += 1

    @overload
    def __getitem__(self, index: int) -> PackedRows: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[PackedRows]: ...

    def __getitem__(self, index: int | slice) -> PackedRows | Sequence[PackedRows]:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> list[PackedRows]:
        while self._make_next():
            pass
        return self._made

    def _make_next(self) -> bool:
        packed = next(self._rest, None)
        if packed is not None:
            self._made.append(packed)
        return packed is not None
