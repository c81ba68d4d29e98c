"""Block masks of packed rows for `flex_attention`: which blocks of tokens are seen in full, in part, or not at all.

Made from spans, by counting what each token sees of each block: T T / 128 numbers, where torch's own `create_block_mask` evaluates
all T T pairs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from unified_rl.packing.flat_rows import BLOCK, Spans


def block_mask(spans: Spans) -> BlockMask:
    """The mask [1, 1, T, T] of a flat row, for all heads. Made on the spans' device without waiting for it."""
    partial, full = _blocks(spans)
    size = len(spans.own_T)
    return BlockMask.from_kv_blocks(
        *_ordered(partial), *_ordered(full), BLOCK_SIZE=BLOCK, mask_mod=_mask_mod(spans), seq_lengths=(size, size)
    )


def dense_mask(mask: BlockMask) -> Tensor:
    """Bool [1, 1, T, T], as the kernel reads a block mask: full blocks whole, partial blocks where its function says so."""
    assert mask.full_kv_num_blocks is not None and mask.full_kv_indices is not None
    none = torch.zeros((), dtype=torch.int64, device=mask.kv_indices.device)
    index_T = torch.arange(mask.shape[-1], device=mask.kv_indices.device)
    shown = mask.mask_mod(none, none, index_T[:, None], index_T[None, :])
    full = _token_by_token(mask.full_kv_num_blocks, mask.full_kv_indices)
    return full | (_token_by_token(mask.kv_num_blocks, mask.kv_indices) & shown)


def _mask_mod(spans: Spans) -> Callable[..., Tensor]:
    own_T, prior_T, prior_end_T = spans.own_T, spans.prior_T, spans.prior_end_T

    def seen(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        own = (key >= own_T[query]) & (key <= query)
        return own | ((key >= prior_T[query]) & (key < prior_end_T[query]))

    return seen


def _blocks(spans: Spans) -> tuple[Tensor, Tensor]:
    """Bool [T / 128, T / 128] each: blocks of queries by blocks of keys that are seen in part, and in full."""
    size, device = len(spans.own_T), spans.own_T.device
    query_T1 = torch.arange(size, dtype=torch.int32, device=device)[:, None]
    first_K = torch.arange(0, size, BLOCK, dtype=torch.int32, device=device)

    def seen_TK(start_T: Tensor, end_T1: Tensor) -> Tensor:
        return (torch.minimum(end_T1, first_K + BLOCK) - torch.maximum(start_T[:, None], first_K)).clamp_(min=0)

    count_TK = seen_TK(spans.own_T, query_T1 + 1) + seen_TK(spans.prior_T, spans.prior_end_T[:, None])
    count_QK = count_TK.view(-1, BLOCK, len(first_K)).sum(1)
    full_QK = count_QK == BLOCK * BLOCK
    return (count_QK > 0) & ~full_QK, full_QK


def _ordered(blocks_QK: Tensor) -> tuple[Tensor, Tensor]:
    """For each block of queries how many blocks of keys there are, int32 [1, 1, Q], and which, first, int32 [1, 1, Q, K]."""
    indices_QK = blocks_QK.int().argsort(dim=-1, descending=True, stable=True)
    return blocks_QK.sum(-1, dtype=torch.int32)[None, None], indices_QK.int()[None, None]


def _token_by_token(number_11Q: Tensor, indices_11QK: Tensor) -> Tensor:
    """Bool [1, 1, T, T]: whether a query's and a key's blocks are among the given ones."""
    counted = torch.arange(indices_11QK.shape[-1], device=indices_11QK.device) < number_11Q[..., None]
    blocks = torch.zeros_like(counted).scatter(-1, indices_11QK.long(), counted)
    return blocks.repeat_interleave(BLOCK, -2).repeat_interleave(BLOCK, -1)
