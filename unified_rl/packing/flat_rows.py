"""Packed rows one after the other as a single row, of one of few lengths, and what each of its tokens sees as two spans.

On an accelerator whose attention skips what a token does not see, one row holds a micro-batch as well as many do; and lengths are
rounded up to a bounded set of sizes, so that no kernel is planned or compiled for the length of a micro-batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from unified_rl.packing.packed_rows import PackedRows

#: Tokens that a length is at least a multiple of: a block of the attention kernel.
BLOCK = 128
#: Sizes between a power of two and the next.
_SIZES_PER_OCTAVE = 8


@dataclass(frozen=True, slots=True)
class Spans:
    """What token i of T sees: the tokens of its own segment up to itself, and those of the segment that this one continues.

    Attributes:
        own_T: int32, the first token seen of the token's own segment; the last is the token itself.
        prior_T, prior_end_T: int32, the first token seen of the segment continued, and the one after its last; equal where there
            is none.
    """

    own_T: Tensor
    prior_T: Tensor
    prior_end_T: Tensor


@dataclass(frozen=True, slots=True)
class FlatRows:
    """The R rows of L tokens of a micro-batch as one row of T >= R L: token i of row r is number r L + i.

    Attributes:
        input_ids_1T, position_ids_1T: int64 [1, T]; the tokens added at the end are padding, which sees padding.
        spans: what each token sees, itself included.
    """

    input_ids_1T: Tensor
    position_ids_1T: Tensor
    spans: Spans


def flat_size(tokens: int) -> int:
    """The least size that holds so many tokens: a multiple of `BLOCK`, at most an eighth (or a block) above them."""
    octave = 1 << max(tokens - 1, 0).bit_length()
    step = max(BLOCK, octave // (2 * _SIZES_PER_OCTAVE))
    return max(1, -(-tokens // step)) * step


def flattened(packed: PackedRows) -> FlatRows:
    """The rows as one, made on their device without waiting for it."""
    rows, length = packed.input_ids_RL.shape
    added = flat_size(rows * length) - rows * length
    return FlatRows(
        input_ids_1T=pad(packed.input_ids_RL.reshape(1, -1), (0, added)),
        position_ids_1T=pad(packed.position_ids_RL.reshape(1, -1), (0, added)),
        spans=_spans(packed, added),
    )


def within_window(spans: Spans, position_ids_1T: Tensor, window: int) -> Spans:
    """Of what each token sees, the `window` tokens of its sequence that are nearest to it, itself included.

    Positions count in the sequence, so that a response's window reaches as far into its prompt as if the prompt stood before it.
    """
    index_T = torch.arange(len(spans.own_T), dtype=torch.int32, device=spans.own_T.device)
    first_position_T = position_ids_1T[0].to(torch.int32) - (window - 1)  # a prompt's first token has position 0
    return Spans(
        own_T=torch.maximum(spans.own_T, index_T - (window - 1)),
        prior_T=torch.minimum(spans.prior_T + first_position_T.clamp(min=0), spans.prior_end_T),
        prior_end_T=spans.prior_end_T,
    )


def _spans(packed: PackedRows, added: int) -> Spans:
    """Spans of the rows one after the other, and of so many tokens of padding behind them, by their numbers there."""
    segment_RL, continues_RL = packed.segment_RL.long(), packed.continues_RL.long()
    rows, length = segment_RL.shape
    device = segment_RL.device
    column_L = torch.arange(length, device=device)
    changes_RL = segment_RL[:, 1:] != segment_RL[:, :-1]
    edge_R1 = changes_RL.new_ones(rows, 1)
    begins_RL, ends_RL = torch.cat([edge_R1, changes_RL], 1), torch.cat([changes_RL, edge_R1], 1)
    own_RL = torch.where(begins_RL, column_L, 0).cummax(1).values
    continued_RL = continues_RL.clamp(min=0)
    first_RL = _by_segment(segment_RL, begins_RL, column_L).gather(1, continued_RL)
    end_RL = _by_segment(segment_RL, ends_RL, column_L + 1).gather(1, continued_RL)
    has_prior_RL = continues_RL >= 0
    before_R1 = length * torch.arange(rows, device=device)[:, None]
    first_RL, end_RL = (torch.where(has_prior_RL, places_RL + before_R1, 0) for places_RL in (first_RL, end_RL))
    own_T = pad((own_RL + before_R1).flatten(), (0, added), value=rows * length)
    return Spans(own_T.int(), pad(first_RL.flatten(), (0, added)).int(), pad(end_RL.flatten(), (0, added)).int())


def _by_segment(segment_RL: Tensor, at_RL: Tensor, values_L: Tensor) -> Tensor:
    """[R, L + 1] by number of segment: the value at the one token of the segment that is in `at_RL`. The last column is refuse."""
    rows, length = segment_RL.shape
    slot_RL = torch.where(at_RL & (segment_RL >= 0), segment_RL, length)
    return segment_RL.new_zeros(rows, length + 1).scatter_(1, slot_RL, values_L.expand(rows, length))
