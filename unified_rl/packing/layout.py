"""How an engine lays sequences out: the sizes of its rows and micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unified_rl.packing.packed_rows import PackedRows, TokenSequence, pack
from unified_rl.packing.rows import Holds


@dataclass(frozen=True)
class Layout:
    """How sequences are packed: memory and speed depend on it, results do not. holds: what a row may hold for the model."""

    row_tokens: int
    micro_batch_tokens: int
    holds: Holds = "shared prompts"

    def pack(self, sequences: Sequence[TokenSequence], unit_B: np.ndarray | None, device: torch.device) -> list[PackedRows]:
        packed = pack(
            sequences,
            row_tokens=self.row_tokens,
            micro_batch_tokens=self.micro_batch_tokens,
            unit_B=unit_B,
            holds=self.holds,
        )
        return [micro_batch.to(device) for micro_batch in packed]
