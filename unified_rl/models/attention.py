"""What keeps the documents of packed rows apart in a decoder's attention, made of their segments for its kernel and device."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from transformers import PreTrainedModel

from unified_rl.base.errors import ConfigError
from unified_rl.models.reach import WHOLE, Reach, reaches
from unified_rl.packing.packed_rows import PackedRows

#: Masks of up to this many bytes stay with their rows for the next pass over them (policy, reference, value, epochs). Larger ones,
#: of which a rollout would keep many, are made at each pass: on the devices that such rows are for, in next to no time.
KEPT_MASK_BYTES = 4 * 2**20


def visible(packed: PackedRows, reach: Reach = WHOLE) -> Tensor:
    """Bool [R, L, L]; entry (r, i, j) says whether token i of row r attends to token j.

    A token sees the earlier tokens of its own segment and of the one that this continues, as far as `reach` goes, and itself.
    Distances are those of positions, not of places in the row. Padding sees padding.
    """
    segment_RL, continues_RL = packed.segment_RL, packed.continues_RL
    visible_RLL = segment_RL[:, :, None] == segment_RL[:, None, :]
    visible_RLL |= continues_RL[:, :, None] == segment_RL[:, None, :]
    position_RL = packed.position_ids_RL
    if reach.window:
        visible_RLL &= position_RL[:, :, None] - position_RL[:, None, :] < reach.window
    if reach.chunk:
        chunk_RL = position_RL // reach.chunk
        visible_RLL &= chunk_RL[:, :, None] == chunk_RL[:, None, :]
    return visible_RLL.tril_()


def additive_mask(packed: PackedRows, dtype: torch.dtype, reach: Reach = WHOLE) -> Tensor:
    """Additive mask [R, 1, L, L]: 0 where a token may look, the dtype's minimum elsewhere.

    Hugging Face models take it as it is, under eager and sdpa attention. The minimum rather than -inf, so that no softmax over an
    empty set of tokens can give NaN.
    """
    reach = _within(reach, packed.longest)
    if (dtype, reach) in packed.masks:
        return packed.masks[dtype, reach]
    hidden_RLL = visible(packed, reach).logical_not_()
    mask_RLL = torch.zeros(hidden_RLL.shape, dtype=dtype, device=hidden_RLL.device)
    mask_R1LL = mask_RLL.masked_fill_(hidden_RLL, torch.finfo(dtype).min)[:, None]
    if mask_R1LL.nbytes <= KEPT_MASK_BYTES:
        packed.masks[dtype, reach] = mask_R1LL
    return mask_R1LL


#: By the name that transformers gives to an attention kernel: what it takes, of packed rows, in place of a mask.
MASKS: dict[str, Callable[[PackedRows, torch.dtype, Reach], Tensor]] = {
    "eager": additive_mask,
    "sdpa": additive_mask,
    "flex_attention": additive_mask,
}


def attention_mask(decoder: PreTrainedModel, packed: PackedRows) -> Tensor | dict[str, Tensor] | None:
    """What the decoder's attention kernel takes to keep the segments of packed rows apart: one mask, or one for each kind of layer.

    None where a row holds one sequence: the model's own causal mask does, whatever padding follows.

    Raises:
        ConfigError: a kernel that cannot.
    """
    if packed.holds == "one sequence":
        return None
    kernel = decoder.config._attn_implementation or "eager"
    if kernel not in MASKS:
        raise ConfigError(
            f"attention {kernel!r} of {type(decoder).__name__} cannot keep the responses of packed rows apart; "
            f"choose one of: {', '.join(MASKS)}"
        )
    return for_layers(reaches(decoder.config), lambda reach: MASKS[kernel](packed, decoder.dtype, reach))


def for_layers(reach: Reach | Mapping[str, Reach], mask: Callable[[Reach], Tensor]) -> Tensor | dict[str, Tensor]:
    """The masks of a model's layers, as its forward takes them."""
    return mask(reach) if isinstance(reach, Reach) else {kind: mask(one) for kind, one in reach.items()}


def _within(reach: Reach, longest: int) -> Reach:
    """The same reach for sequences of up to `longest` tokens: a window that they do not leave is none."""
    return Reach(reach.window if reach.window < longest else 0, reach.chunk if reach.chunk < longest else 0)
