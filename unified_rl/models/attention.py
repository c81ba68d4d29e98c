"""What a decoder reads of packed rows, and what keeps their segments apart in its attention: as its kernel and device want it.

On a CPU the rows as they are, with an additive mask. On a GPU, in half precision, all rows as one with a block mask, whose kernel
skips what no token sees; a model that cannot take one gets the additive mask there too, and that is said once.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask
from transformers import PreTrainedModel

from unified_rl.base.errors import ConfigError
from unified_rl.models.block_masks import block_mask
from unified_rl.models.segment_attention import SEGMENTS, unfit, use_segments
from unified_rl.packing.flat_rows import flattened
from unified_rl.packing.packed_rows import PackedRows

_log = logging.getLogger(__name__)

#: Masks of up to this many bytes stay with their rows for the next pass over them (policy, reference, value, epochs). Larger ones,
#: of which a rollout would keep many, are made at each pass: on the devices that such rows are for, in next to no time.
KEPT_MASK_BYTES = 4 * 2**20


class DecoderInput(NamedTuple):
    """What a decoder reads of a micro-batch.

    Attributes:
        input_ids_RL, position_ids_RL: int64 [R, L].
        mask: additive [R, 1, L, L]; or, where R is 1, a block mask.
        predicting_N: int64 [N], where in R L the state is that predicts each response token.
    """

    input_ids_RL: Tensor
    position_ids_RL: Tensor
    mask: Tensor | BlockMask
    predicting_N: Tensor


def visible(packed: PackedRows) -> Tensor:
    """Bool [R, L, L]; entry (r, i, j) says whether token i of row r attends to token j.

    A token sees the earlier tokens of its own segment and of the one that this continues, and itself. Padding sees padding.
    """
    segment_RL, continues_RL = packed.segment_RL, packed.continues_RL
    visible_RLL = segment_RL[:, :, None] == segment_RL[:, None, :]
    visible_RLL |= continues_RL[:, :, None] == segment_RL[:, None, :]
    return visible_RLL.tril_()


def additive_mask(packed: PackedRows, dtype: torch.dtype) -> Tensor:
    """Additive mask [R, 1, L, L]: 0 where a token may look, the dtype's minimum elsewhere.

    Hugging Face models take it as it is, under eager and sdpa attention. The minimum rather than -inf, so that no softmax over an
    empty set of tokens can give NaN.
    """
    if dtype in packed.masks:
        return packed.masks[dtype]
    hidden_RLL = visible(packed).logical_not_()
    mask_RLL = torch.zeros(hidden_RLL.shape, dtype=dtype, device=hidden_RLL.device)
    mask_R1LL = mask_RLL.masked_fill_(hidden_RLL, torch.finfo(dtype).min)[:, None]
    if mask_R1LL.nbytes <= KEPT_MASK_BYTES:
        packed.masks[dtype] = mask_R1LL
    return mask_R1LL


#: By the name that transformers gives to an attention kernel: what it takes, of packed rows, in place of a mask.
MASKS: dict[str, Callable[[PackedRows, torch.dtype], Tensor]] = {
    "eager": additive_mask,
    "sdpa": additive_mask,
    "flex_attention": additive_mask,
    SEGMENTS: additive_mask,
}


def attention_mask(decoder: PreTrainedModel, packed: PackedRows) -> Tensor:
    """What the decoder's attention kernel takes to keep the segments of packed rows apart.

    Raises:
        ConfigError: a kernel that cannot.
    """
    kernel = decoder.config._attn_implementation or "eager"
    if kernel not in MASKS:
        raise ConfigError(
            f"attention {kernel!r} of {type(decoder).__name__} cannot keep the responses of packed rows apart; "
            f"choose one of: {', '.join(MASKS)}"
        )
    return MASKS[kernel](packed, decoder.dtype)


def decoder_input(decoder: PreTrainedModel, packed: PackedRows) -> DecoderInput:
    """What the decoder reads of packed rows on its device.

    Raises:
        ConfigError: an attention kernel that cannot keep the segments apart.
    """
    if takes_blocks(decoder, packed.input_ids_RL.device):
        return block_input(decoder, packed)
    return DecoderInput(packed.input_ids_RL, packed.position_ids_RL, attention_mask(decoder, packed), packed.hidden_index_N)


def block_input(decoder: PreTrainedModel, packed: PackedRows) -> DecoderInput:
    """All rows as one, with a block mask, which stay with the rows for the next pass. Sets the decoder's attention kernel."""
    use_segments(decoder)
    if "flat" not in packed.masks:
        flat = flattened(packed)
        packed.masks["flat"] = DecoderInput(
            flat.input_ids_1T, flat.position_ids_1T, block_mask(flat.spans), flat.place_RL[packed.hidden_index_N]
        )
    return packed.masks["flat"]


def takes_blocks(decoder: PreTrainedModel, device: torch.device) -> bool:
    """Whether a decoder's passes on this device are given block masks.

    Single precision is not: it is for small models and for comparisons, whose dense masks are small, and whose kernel for them
    computes in full precision.
    """
    if device.type != "cuda" or decoder.dtype not in (torch.bfloat16, torch.float16):
        return False
    reason = unfit(decoder)
    if reason:
        _fall_back(type(decoder).__name__, reason)
    return not reason


@functools.cache
def _fall_back(name: str, reason: str) -> None:
    """Once for a kind of model: say that it attends by a dense mask, and keep cuDNN, which plans for each shape anew, off it."""
    _log.warning("%s attends by a dense mask, quadratic in the length of a row, and not by blocks: %s", name, reason)
    torch.backends.cuda.enable_cudnn_sdp(False)
