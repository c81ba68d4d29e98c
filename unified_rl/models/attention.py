"""What a decoder reads of packed rows, and what keeps their segments apart in its attention: as its kernel and device want it.

On a CPU the rows as they are, with an additive mask. On a GPU, in half precision, all rows as one with a block mask, whose kernel
skips what no token sees; a model that cannot take one gets the additive mask there too, and that is said once.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask
from transformers import PreTrainedModel

from unified_rl.base.errors import ConfigError
from unified_rl.models.block_masks import block_mask
from unified_rl.models.decoder_pass import last_hidden, takes_positions
from unified_rl.models.reach import WHOLE, Reach, reaches
from unified_rl.models.segment_attention import SEGMENTS, unfit, use_segments
from unified_rl.packing.flat_rows import FlatRows, flattened, within
from unified_rl.packing.packed_rows import PackedRows

_log = logging.getLogger(__name__)
Mask = TypeVar("Mask", Tensor, BlockMask)

#: Masks of up to this many bytes stay with their rows for the next pass over them (policy, reference, value, epochs). Larger ones,
#: of which a rollout would keep many, are made at each pass: on the devices that such rows are for, in next to no time.
KEPT_MASK_BYTES = 4 * 2**20


class DecoderInput(NamedTuple):
    """What a decoder reads of a micro-batch.

    Attributes:
        input_ids_RL: int64 [R, L]. position_ids_RL: the same; None where the decoder counts them itself.
        mask: additive [R, 1, L, L]; a block mask where R is 1; one of either for each kind of layer; None for the decoder's own.
        predicting_N: int64 [N], where in R L the state is that predicts each response token.
    """

    input_ids_RL: Tensor
    position_ids_RL: Tensor | None
    mask: Any
    predicting_N: Tensor

    def hidden(self, decoder: PreTrainedModel) -> Tensor:
        """The decoder's last hidden states [N, D] that predict the response tokens."""
        hidden_RLD = last_hidden(decoder, self.input_ids_RL, self.position_ids_RL, self.mask)
        return hidden_RLD.flatten(0, 1).index_select(0, self.predicting_N)


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
    SEGMENTS: additive_mask,
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


def for_layers(reach: Reach | Mapping[str, Reach], mask: Callable[[Reach], Mask]) -> Mask | dict[str, Mask]:
    """The masks of a model's layers, as its forward takes them."""
    return mask(reach) if isinstance(reach, Reach) else {kind: mask(one) for kind, one in reach.items()}


def _within(reach: Reach, longest: int) -> Reach:
    """The same reach for sequences of up to `longest` tokens: a window that they do not leave is none."""
    return Reach(reach.window if reach.window < longest else 0, reach.chunk if reach.chunk < longest else 0)


def decoder_input(decoder: PreTrainedModel, packed: PackedRows) -> DecoderInput:
    """What the decoder reads of packed rows on its device.

    Raises:
        ConfigError: an attention kernel that cannot keep the segments apart.
    """
    if packed.holds == "shared prompts" and takes_blocks(decoder, packed.input_ids_RL.device):
        return block_input(decoder, packed)
    positions_RL = packed.position_ids_RL if takes_positions(decoder) else None
    return DecoderInput(packed.input_ids_RL, positions_RL, attention_mask(decoder, packed), packed.hidden_index_N)


def block_input(decoder: PreTrainedModel, packed: PackedRows) -> DecoderInput:
    """All rows as one, with a block mask, which stay with the rows for the next pass. Sets the decoder's attention kernel."""
    use_segments(decoder)
    kept = packed.masks
    if FlatRows not in kept:
        kept[FlatRows] = flattened(packed)
    flat: FlatRows = kept[FlatRows]

    def mask(reach: Reach) -> BlockMask:
        reach = _within(reach, packed.longest)
        if (BlockMask, reach) not in kept:
            kept[BlockMask, reach] = block_mask(within(flat, reach.window, reach.chunk))
        found: BlockMask = kept[BlockMask, reach]
        return found

    masks = for_layers(reaches(decoder.config), mask)
    return DecoderInput(flat.input_ids_1T, flat.position_ids_1T, masks, flat.predicting_N)


def takes_blocks(decoder: PreTrainedModel, device: torch.device) -> bool:
    """Whether a decoder's passes on this device are given block masks.

    Single precision is not: it is for small models and for comparisons, whose dense masks are small, and whose kernel for them
    computes in full precision.
    """
    if device.type != "cuda" or decoder.dtype not in (torch.bfloat16, torch.float16):
        return False
    reason = "" if takes_positions(decoder) else "it counts positions itself"
    reason = reason or unfit(decoder)
    if reason:
        _fall_back(type(decoder).__name__, reason)
    return not reason


@functools.cache
def _fall_back(name: str, reason: str) -> None:
    """Once for a kind of model: say that it attends by a dense mask, and keep cuDNN, which plans for each shape anew, off it."""
    _log.warning("%s attends by a dense mask, quadratic in the length of a row, and not by blocks: %s", name, reason)
    torch.backends.cuda.enable_cudnn_sdp(False)
