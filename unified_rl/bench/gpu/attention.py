"""Attention of one layer over a packed row, forward and backward: a dense mask, a block mask, and documents one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from unified_rl.bench.gpu.device import best_seconds
from unified_rl.bench.gpu.models import dtype_on, filled_rows, layout_of, shape_named
from unified_rl.models.attention import additive_mask


def measure(name: str, device: torch.device, rounds: int) -> Iterator[dict[str, Any]]:
    """Milliseconds of each way on the heads of a shape; a way that this device or torch has not says so."""
    shape, dtype = shape_named(name), dtype_on(device)
    row_tokens, _ = layout_of(name)
    sequences, packed = filled_rows(shape, row_tokens, row_tokens)
    mask_11LL = additive_mask(packed.to(device), dtype)
    length, size = mask_11LL.shape[-1], shape.head_size
    heads = [shape.num_heads, shape.num_kv_heads, shape.num_kv_heads]
    query, key, value = (torch.randn(1, h, length, size, device=device, dtype=dtype, requires_grad=True) for h in heads)
    documents_L = (packed.position_ids_RL[0].to(device) == 0).cumsum(0)
    found: dict[str, Any] = {"what": "attention", "shape": name, "tokens": length, "documents": len(sequences)}
    ways: dict[str, Callable[[], Callable[[], Tensor]]] = {
        "dense_mask": lambda: partial(
            scaled_dot_product_attention,
            query,
            key,
            value,
            attn_mask=mask_11LL,
            enable_gqa=shape.num_heads != shape.num_kv_heads,
        ),
        "block_mask": lambda: _block_mask(query, key, value, documents_L),
        "by_document": lambda: _by_document(query, key, value, [sequence.input_tokens for sequence in sequences]),
    }
    for way, make in ways.items():
        try:
            found[f"{way}_ms"] = 1e3 * best_seconds(partial(_forward_and_backward, make(), query, key, value), rounds, device)
        except Exception as error:  # another torch, another device: what is missing is said, and the rest measured
            found[f"{way}_ms"] = (
                f"not here ({type(error).__name__}: {str(error).splitlines()[0][:80]})" if str(error) else "not here"
            )
    yield found


def _forward_and_backward(attend: Callable[[], Tensor], *inputs: Tensor) -> None:
    for tensor in inputs:
        tensor.grad = None
    attend().sum().backward()


def _block_mask(query: Tensor, key: Tensor, value: Tensor, documents_L: Tensor) -> Callable[[], Tensor]:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def sees(batch: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return (documents_L[i] == documents_L[j]) & (i >= j)

    length = query.shape[2]
    blocks = create_block_mask(sees, None, None, length, length, device=str(query.device))
    return partial(
        torch.compile(flex_attention), query, key, value, block_mask=blocks, enable_gqa=query.shape[1] != key.shape[1]
    )


def _by_document(query: Tensor, key: Tensor, value: Tensor, lengths: list[int]) -> Callable[[], Tensor]:
    from torch.nn.attention.varlen import varlen_attn

    # torch 2.10 says `is_causal`, later ones a window.
    causal: dict[str, Any] = (
        {"window_size": (-1, 0)} if "window_size" in signature(varlen_attn).parameters else {"is_causal": True}
    )
    repeats = query.shape[1] // key.shape[1]
    ends = torch.tensor([0, *lengths], dtype=torch.int32, device=query.device).cumsum(0, dtype=torch.int32)
    used = int(sum(lengths))

    def attend() -> Tensor:
        q, k, v = (
            x[0, :, :used].repeat_interleave(repeats if x is not query else 1, 0).transpose(0, 1) for x in (query, key, value)
        )
        attended = varlen_attn(q, k, v, ends, ends, max(lengths), max(lengths), **causal)
        assert isinstance(attended, Tensor)  # what else it can return was not asked for
        return attended

    return attend
