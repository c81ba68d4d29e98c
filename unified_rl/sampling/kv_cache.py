"""Keys and values where a model's own modules decode: one row per sequence, written in place at each row's own position.

Rows are left-aligned: token t of a sequence lies in slot t of its row, whatever its neighbours' lengths are. That wastes no
slots on left padding, lets a row be replaced by another sequence at any time, and makes what a row computes independent of the
others (the mask hides the slots behind its own position, and a hidden slot contributes an exact zero).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from unified_rl.sampling.fixed_shapes import CHUNK

TILE = 16
"""Rows and prompts are rounded up to a multiple of this, the rows of a product (`fixed_shapes.py`); the cache to whole chunks.

CPU kernels treat the ragged end of a matrix or a loop by other code than its body, with other rounding. With multiples of 16 there
is no ragged end.
"""


def round_up(count: int) -> int:
    """The least multiple of TILE that is at least `count`."""
    return -(-count // TILE) * TILE


class RowCacheLayer(CacheLayerMixin):
    """Keys and values of one attention layer, [rows, kv_heads, length, head_dim], allocated when the first ones arrive.

    The buffers are as long as the longest sequence needs and no longer, and are reallocated as it grows: attention over a
    contiguous buffer is more than twice as fast on a CPU as over a window of a longer one, which buys the copies many times.
    """

    keys: Any  # tensors from the first ones on
    values: Any

    def __init__(self) -> None:
        super().__init__()
        self.shape = (0, 0)

    def resize(self, rows: int, length: int) -> None:
        """Give room to `rows` sequences of `length` tokens, keeping what fits of the present ones."""
        self.shape = (rows, length)
        if self.is_initialized:
            self.keys, self.values = _resized(self.keys, rows, length), _resized(self.values, rows, length)

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        rows, length = self.shape
        self.keys, self.values = (
            each.new_zeros(rows, each.shape[1], length, each.shape[3]) for each in (key_states, value_states)
        )
        self.is_initialized = True

    def plan_step(self, rows: torch.Tensor, positions: torch.Tensor) -> None:
        """Say where the next `update` writes: one token in each of the first rows, at `positions`."""
        self.rows, self.positions = rows, positions

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one token's keys and values [B, kv_heads, 1, head_dim] and return those of the first B rows, whole."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys[self.rows, :, self.positions] = key_states[:, :, 0]
        self.values[self.rows, :, self.positions] = value_states[:, :, 0]
        count = key_states.shape[0]
        return self.keys[:count], self.values[:count]

    def load(self, rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Start the sequences of `rows` with a prompt's keys and values [len(rows), kv_heads, prompt length, head_dim]."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        self.keys[rows, :, : keys.shape[2]] = keys
        self.values[rows, :, : values.shape[2]] = values

    def move(self, source: torch.Tensor, target: torch.Tensor) -> None:
        """Copy the rows `source` to the rows `target`."""
        self.keys[target] = self.keys[source]
        self.values[target] = self.values[source]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.shape[1], 0

    def get_seq_length(self) -> int:
        return self.shape[1]

    def get_max_length(self) -> int:
        return -1


def _resized(buffer: torch.Tensor, rows: int, length: int) -> torch.Tensor:
    """A [rows, heads, length, dim] copy of the buffer. New slots are zero, for 0 * NaN would show through the mask."""
    resized = buffer.new_empty(rows, buffer.shape[1], length, buffer.shape[3])
    kept_rows, kept_length = min(rows, buffer.shape[0]), min(length, buffer.shape[2])
    resized[kept_rows:] = 0
    resized[:kept_rows, :, kept_length:] = 0
    resized[:kept_rows, :, :kept_length] = buffer[:kept_rows, :, :kept_length]
    return resized


class RowCache(Cache):
    """The layers of one model, in the form that any Hugging Face model's forward accepts as `past_key_values`."""

    def __init__(self, layers: int) -> None:
        self._own = [RowCacheLayer() for _ in range(layers)]
        super().__init__(layers=list(self._own))
        self.rows, self.length = 0, 0

    def fit(self, rows: int, length: int) -> None:
        """Make room for `rows` sequences of `length` tokens, rounded up to whole chunks, and give back what is far too much."""
        length = -(-length // CHUNK) * CHUNK
        if rows > self.rows or length > self.length or 2 * length <= self.length:
            self.rows, self.length = rows, length
            for layer in self._own:
                layer.resize(rows, length)

    def plan_step(self, positions: torch.Tensor) -> None:
        """The next forward writes one token per row, row i at `positions[i]` (int64 [rows])."""
        rows = torch.arange(positions.shape[0], device=positions.device)
        for layer in self._own:
            layer.plan_step(rows, positions)

    def load(self, rows: np.ndarray, prompt_kv: list[tuple[torch.Tensor, torch.Tensor]], prompts: np.ndarray) -> None:
        """Start row `rows[i]` with entry `prompts[i]` of the prefilled keys and values, one pair per layer."""
        for layer, (keys, values) in zip(self._own, prompt_kv, strict=True):
            pick = torch.from_numpy(prompts).to(keys.device)
            layer.load(torch.from_numpy(rows).to(keys.device), keys[pick], values[pick])

    def move(self, source: np.ndarray, target: np.ndarray) -> None:
        """Copy the rows `source` to the rows `target`."""
        for layer in self._own:
            device = layer.keys.device
            layer.move(torch.from_numpy(source).to(device), torch.from_numpy(target).to(device))
