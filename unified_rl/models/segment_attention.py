"""Attention by segments as one of transformers' attention kernels: compiled `flex_attention`, which skips what no token sees.

Registered under the name `SEGMENTS`. With a block mask it runs `flex_attention`; on a CPU, which has no backward pass for it, the
same mask evaluated densely. With anything else it is transformers' sdpa, so that a model set to it still generates and evaluates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.flex_attention import flex_attention_forward
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from unified_rl.models.block_masks import dense_mask

#: Generators look for "flex" in a kernel's name: it does not suit rows of one token.
SEGMENTS = "flex_segments"
#: Narrower heads are below the least size of a tensor core's product.
_LEAST_HEAD = 16


def unfit(decoder: PreTrainedModel) -> str:
    """Why a decoder cannot take a block mask; "" where it can."""
    config = decoder.config
    if not decoder._supports_flex_attn:
        return "transformers does not offer flex_attention for it"
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if head < _LEAST_HEAD:
        return f"its heads are {head} wide, and the kernel's least is {_LEAST_HEAD}"
    if getattr(config, "attention_dropout", 0.0):
        return "its configuration has dropout in the attention"
    return ""


def use_segments(decoder: PreTrainedModel) -> None:
    """Let the decoder attend by this kernel from now on. What is saved of the model stays the same."""
    if decoder.config._attn_implementation != SEGMENTS:
        decoder.set_attn_implementation(SEGMENTS)


def segment_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | BlockMask | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention [R, L, H, D] of queries [R, H, L, D] over keys and values [R, G, L, D], in transformers' form of a kernel.

    Args:
        softcap: scores are bounded to it by softcap * tanh(score / softcap), as in Gemma 2.
    """
    if not isinstance(attention_mask, BlockMask):
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    if kwargs.get("s_aux") is not None or kwargs.get("position_bias") is not None:
        return flex_attention_forward(module, query, key, value, attention_mask, scaling=scaling, softcap=softcap, **kwargs)
    if query.device.type == "cpu":
        attended = _dense(query, key, value, attention_mask, scaling, softcap)
    else:
        run: Any = flex_attention if torch.compiler.is_compiling() else _compiled_flex()
        attended = run(
            query,
            key,
            value,
            score_mod=None if softcap is None else _capped(softcap),
            block_mask=attention_mask,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
    return attended.transpose(1, 2).contiguous(), None


@functools.cache
def _compiled_flex() -> Callable[..., Tensor]:
    """One program for all lengths of a row, of which there are few: with sizes left open its inner loops would test bounds."""
    return torch.compile(flex_attention, dynamic=False, fullgraph=True)


def _capped(softcap: float) -> Callable[..., Tensor]:
    def score_mod(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return softcap * torch.tanh(score / softcap)

    return score_mod


def _dense(query: Tensor, key: Tensor, value: Tensor, mask: BlockMask, scaling: float | None, softcap: float | None) -> Tensor:
    """The textbook's formula under the mask that the blocks and the mask's function stand for."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    score = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        score = softcap * torch.tanh(score / softcap)
    return score.masked_fill(~dense_mask(mask), -torch.inf).softmax(-1) @ value


AttentionInterface.register(SEGMENTS, segment_attention)
AttentionMaskInterface.register(SEGMENTS, sdpa_mask)
