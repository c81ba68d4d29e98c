"""The division of a pass among the ranks: which sequences each works on, and their outputs put together again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import numpy as np
import torch

from unified_rl.base.types import Ranks
from unified_rl.models.roles import Outputs
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.training.ranks import shares


def share_of_units(sequences: Sequence[TokenSequence], unit_B: np.ndarray | None, ranks: Ranks) -> np.ndarray:
    """Rows [b], ascending, of the sequences that this rank works on: whole units, dealt evenly by their tokens."""
    unit_B = np.arange(len(sequences)) if unit_B is None or ranks.size == 1 else np.unique(unit_B, return_inverse=True)[1]
    tokens_B = [sequence.input_tokens for sequence in sequences]
    dealt = shares(np.bincount(unit_B, weights=tokens_B).astype(int).tolist(), ranks.size)
    return np.flatnonzero(np.isin(unit_B, dealt[ranks.rank]))


def whole_outputs(gathered: Sequence[tuple[np.ndarray, Outputs]], device: torch.device) -> Outputs:
    """Outputs of all sequences from those of the ranks' shares."""
    num_sequences = sum(len(rows) for rows, _ in gathered)
    whole: Outputs = {}
    for rows, part in gathered:
        for name, values in part.items():
            if name not in whole:
                whole[name] = torch.zeros(num_sequences, values.shape[1], dtype=values.dtype, device=device)
            whole[name][torch.from_numpy(rows).to(device)] = values.to(device)
    return whole


def in_order(numbers: Sequence[float]) -> float:
    """Their sum, added up first to last: the same on every version of Python, of which later ones' `sum` makes up for rounding."""
    return reduce(add, numbers, 0.0)
