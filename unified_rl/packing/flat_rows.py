"""Packed rows one after the other as a single row, of one of few lengths, and what each of its tokens sees as two spans.

On an accelerator whose attention skips what a token does not see, one row holds a micro-batch as well as many do, without their
padding; and lengths are rounded up to a bounded set of sizes, so that no kernel is planned or compiled for that of a micro-batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unified_rl.packing.packed_rows import PackedRows

#: Tokens that a length is at least a multiple of: a block of the attention kernel.
BLOCK = 128
#: Sizes between a power of two and the next.
_SIZES_PER_OCTAVE = 4


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
    """The n tokens of a micro-batch, row by row and without the rows' padding, as one row of T >= n tokens.

    Attributes:
        input_ids_1T, position_ids_1T: int64 [1, T]; the tokens added at the end are padding, which sees padding.
        spans: what each token sees, itself included.
        predicting_N: int64 [N], where in T the state is that predicts each response token.
    """

    input_ids_1T: Tensor
    position_ids_1T: Tensor
    spans: Spans
    predicting_N: Tensor


def flat_size(tokens: int) -> int:
    """The least size that holds so many tokens: a multiple of `BLOCK`, at most a quarter (or a block) above them."""
    octave = 1 << max(tokens - 1, 0).bit_length()
    step = max(BLOCK, octave // (2 * _SIZES_PER_OCTAVE))
    return max(1, -(-tokens // step)) * step


def flattened(packed: PackedRows) -> FlatRows:
    """The rows as one, made on their device without waiting for it."""
    size = flat_size(packed.input_tokens)
    token_RL = (packed.segment_RL >= 0).flatten()
    place_RL = token_RL.cumsum(0) - 1
    slot_RL = torch.where(token_RL, place_RL, size)

    def flat(values_RL: Tensor) -> Tensor:
        return values_RL.new_zeros(size + 1).scatter_(0, slot_RL, values_RL.flatten())[:size]

    own_RL, prior_RL, prior_end_RL = _spans(packed)
    has_prior_RL = (packed.continues_RL >= 0).flatten()
    own_T = flat(place_RL[own_RL])
    own_T[packed.input_tokens :] = packed.input_tokens
    prior_T = flat(torch.where(has_prior_RL, place_RL[prior_RL], 0))
    prior_end_T = flat(torch.where(has_prior_RL, place_RL[prior_end_RL - 1] + 1, 0))
    return FlatRows(
        input_ids_1T=flat(packed.input_ids_RL)[None],
        position_ids_1T=flat(packed.position_ids_RL)[None],
        spans=Spans(own_T.int(), prior_T.int(), prior_end_T.int()),
        predicting_N=place_RL[packed.hidden_index_N],
    )


def within(flat: FlatRows, window: int, chunk: int) -> Spans:
    """Of what each token sees, what is in its window and its chunk (see `Reach`; 0 = any).

    Positions count in the sequence, so that a response's window reaches as far into its prompt as if the prompt stood before it.
    """
    if not (window or chunk):
        return flat.spans
    spans, position_T = flat.spans, flat.position_ids_1T[0].int()
    first_T = torch.zeros_like(position_T)  # the first position seen; a prompt begins with position 0
    if window:
        first_T = first_T.maximum(position_T - (window - 1))
    if chunk:
        first_T = first_T.maximum(position_T // chunk * chunk)
    index_T = torch.arange(len(position_T), dtype=torch.int32, device=position_T.device)
    own_T = spans.own_T.maximum(index_T - (position_T - first_T))
    return Spans(own_T, spans.prior_end_T.minimum(spans.prior_T + first_T), spans.prior_end_T)


def _spans(packed: PackedRows) -> tuple[Tensor, Tensor, Tensor]:
    """Int64 [R L] each, in R L: a token's own segment's first, that of the segment continued, and the one after its last."""
    segment_RL, continued_RL = packed.segment_RL.long(), packed.continues_RL.long().clamp(min=0)
    rows, length = segment_RL.shape
    column_L = torch.arange(length, device=segment_RL.device)
    changes_RL = segment_RL[:, 1:] != segment_RL[:, :-1]
    edge_R1 = changes_RL.new_ones(rows, 1)
    begins_RL, ends_RL = torch.cat([edge_R1, changes_RL], 1), torch.cat([changes_RL, edge_R1], 1)
    own_RL = torch.where(begins_RL, column_L, 0).cummax(1).values
    first_RL = _by_segment(segment_RL, begins_RL, column_L).gather(1, continued_RL)
    end_RL = _by_segment(segment_RL, ends_RL, column_L + 1).gather(1, continued_RL)
    before_R1 = length * torch.arange(rows, device=segment_RL.device)[:, None]
    return (own_RL + before_R1).flatten(), (first_RL + before_R1).flatten(), (end_RL + before_R1).flatten()


def _by_segment(segment_RL: Tensor, at_RL: Tensor, values_L: Tensor) -> Tensor:
    """[R, L + 1] by number of segment: the value at the one token of the segment that is in `at_RL`. The last column is refuse."""
    rows, length = segment_RL.shape
    slot_RL = torch.where(at_RL & (segment_RL >= 0), segment_RL, length)
    return segment_RL.new_zeros(rows, length + 1).scatter_(1, slot_RL, values_L.expand(rows, length))
