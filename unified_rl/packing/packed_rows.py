"""Layout of training sequences: from ragged (prompt, response) pairs to micro-batches of packed rows. No model here.

Several sequences share a row, so that a micro-batch holds little padding. Segments say which tokens may see each other
(`attention.py` makes of them what a model's attention wants), and each sequence starts again at position 0. Responses to the
same prompt may also share one copy of that prompt: each response sees the prompt and itself, and continues the prompt's
positions, so its log-probabilities are those of the sequence on its own.

A response token is predicted from the hidden state one place before it: the first from the prompt's last token (which all the
responses that share the prompt then share), the last from the last but one. The last token itself predicts nothing that is
trained, so it is a target and never an input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.packing.rows import Holds, Lengths, RowFiller, Rows

# Measured on a CPU with a 0.9M-parameter Llama of width 128, 64 responses of 43 tokens to 8 prompts of 35 (see
# experiments/bench_training.py). Longer rows let more responses share a prompt, but attention is quadratic in the row: the time
# of a forward and backward pass is flat, within 5 %, from 192 to 384, and 12 % above that at 128. Smaller micro-batches stay in
# the cache: 2048 tokens are 2 to 6 % faster than 4096.
ROW_TOKENS = 192
MICRO_BATCH_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """A prompt and one response as token ids, int64 [P] and [T]; `name` (say, the prompt's id) serves error messages."""

    prompt_ids: np.ndarray
    response_ids: np.ndarray
    name: str = ""

    @property
    def input_tokens(self) -> int:
        """Tokens that the model reads: all but the last one of the response."""
        return len(self.prompt_ids) + len(self.response_ids) - 1


@dataclass(frozen=True, slots=True)
class Members:
    """The sequences of a batch that are in one micro-batch, and where their response tokens are in a right-padded [b, T].

    Attributes:
        rows_b: int64 [b], the sequences' indices in the batch, ascending.
        row_N, token_N: int64 [N], place in `rows_b` and in its response of each response token, by sequence, then by position.
    """

    rows_b: Tensor
    row_N: Tensor
    token_N: Tensor

    def tokens(self, values_bT: Tensor) -> Tensor:
        """Values [N] of the response tokens. Their number is known beforehand, so that no device is waited for."""
        return values_bT[self.row_N, self.token_N]


@dataclass(frozen=True, slots=True)
class PackedRows:
    """One micro-batch: R rows of L input tokens, which predict N response tokens of b sequences.

    The N response tokens are ordered by sequence, then by position in the response.

    Attributes:
        input_ids_RL: int64 [R, L], padded on the right.
        position_ids_RL: int64 [R, L], restarting at 0 with each prompt.
        segment_RL: int32 [R, L], the number in its row of each token's segment: a copy of a prompt, or a response; -1 on padding.
        continues_RL: int32 [R, L], the segment that each token's segment continues, and sees: a response's prompt; -2 for none.
        hidden_index_N: int64 [N], flat index into R * L of the hidden state that predicts each response token.
        targets_N: int64 [N], the response tokens.
        sequence_N: int64 [N], index of each response token's sequence in the list that was packed.
        row_N: int64 [N], index of each response token's sequence in `sequences_b`.
        token_N: int64 [N], index of each response token in its response.
        sequences_b: int64 [b], the sequences in this micro-batch, ascending.
        input_tokens: number of input tokens that are not padding.
        longest: input tokens of the longest sequence, i.e. the largest position + 1.
        holds: what a row may hold.
        masks: what was made of the rows for a model, kept for the next pass (see `attention.py`).
    """

    input_ids_RL: Tensor
    position_ids_RL: Tensor
    segment_RL: Tensor
    continues_RL: Tensor
    hidden_index_N: Tensor
    targets_N: Tensor
    sequence_N: Tensor
    row_N: Tensor
    token_N: Tensor
    sequences_b: Tensor
    input_tokens: int
    longest: int
    holds: Holds = "shared prompts"
    masks: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def scatter(self, values_N: Tensor, num_tokens: int, fill: float = 0.0) -> Tensor:
        """Values of this micro-batch's response tokens as a right-padded [b, num_tokens], row i being `sequences_b[i]`."""
        return scatter(values_N, self.row_N, self.token_N, (len(self.sequences_b), num_tokens), fill)

    def gather(self, values_BT: Tensor) -> Tensor:
        """Values [N] of this micro-batch's response tokens, from a right-padded [B, T] over all sequences that were packed."""
        return values_BT[self.sequence_N, self.token_N]

    def members(self, rows_B: Tensor | None = None) -> Members:
        """The sequences of this micro-batch. `rows_B`: int64 [B], indices of the packed sequences in a larger batch, ascending."""
        rows_b = self.sequences_b if rows_B is None else rows_B[self.sequences_b]
        return Members(rows_b, self.row_N, self.token_N)

    def to(self, device: torch.device | str) -> PackedRows:
        """The same micro-batch on `device`: a GPU takes it over beside what it does, and the host goes on."""
        device = torch.device(device)
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors: dict[str, Any] = {name: on(value, device) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **tensors, masks={})


def pack(
    sequences: Sequence[TokenSequence],
    *,
    row_tokens: int = ROW_TOKENS,
    micro_batch_tokens: int = MICRO_BATCH_TOKENS,
    unit_B: np.ndarray | None = None,
    holds: Holds = "shared prompts",
    pad_id: int = 0,
) -> list[PackedRows]:
    """Lay sequences out in micro-batches of packed rows. Deterministic; each sequence lands in exactly one micro-batch.

    Args:
        sequences: what to lay out. Their order decides which land together; only units with a sequence longer than a row are
            moved to the front, so that long rows stand together.
        row_tokens: length up to which a row is filled; shorter rows are taken where padding and attention then cost less. Rows
            of a micro-batch are longer if one of its sequences is.
        micro_batch_tokens: upper bound on R * L, padding included. A unit that alone exceeds it gets a micro-batch of its own.
        unit_B: int [B], the unit (pair, group) of each sequence; a unit is never split over micro-batches. None: each sequence
            is its own unit.
        holds: what a row may hold.
        pad_id: token id of padding; any id of the vocabulary will do, since nothing attends to it.

    Raises:
        ConfigError: a row or micro-batch size below 1.
        DataError: no sequences, a sequence without prompt or without response, or `unit_B` of the wrong length.
    """
    return list(micro_batches_of(sequences, Sizes(row_tokens, micro_batch_tokens), unit_B, holds, pad_id))


@dataclass(frozen=True, slots=True)
class Sizes:
    """row_tokens, micro_batch_tokens: as `pack` takes them. Raises ConfigError where one is below 1."""

    row_tokens: int = ROW_TOKENS
    micro_batch_tokens: int = MICRO_BATCH_TOKENS

    def __post_init__(self) -> None:
        if self.row_tokens < 1 or self.micro_batch_tokens < 1:
            raise ConfigError(
                f"row_tokens and micro_batch_tokens must be at least 1, got {self.row_tokens} and {self.micro_batch_tokens}"
            )


def micro_batches_of(
    sequences: Sequence[TokenSequence],
    sizes: Sizes,
    unit_B: np.ndarray | None = None,
    holds: Holds = "shared prompts",
    pad_id: int = 0,
) -> Iterator[PackedRows]:
    """What `pack` returns, each micro-batch made when it is asked for. Raises DataError at once, as `pack` does."""
    _check_sequences(sequences)
    units = _units(sequences, unit_B, sizes.row_tokens)
    filler = RowFiller(_lengths(sequences), sizes.row_tokens, sizes.micro_batch_tokens, holds)

    def each() -> Iterator[PackedRows]:
        start = 0
        while start < len(units):
            start, rows = filler.fill_micro_batch(units, start)
            yield _materialise(sequences, rows, pad_id, holds)

    return each()


def on(values: Tensor, device: torch.device) -> Tensor:
    """The values on a device; the host does not wait for a GPU to take them, which it only does from pinned memory."""
    if device.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def padding_fraction(micro_batches: Sequence[PackedRows]) -> float:
    """Share of the rows' tokens that is padding."""
    total = sum(packed.input_ids_RL.numel() for packed in micro_batches)
    return 1.0 - sum(packed.input_tokens for packed in micro_batches) / total


def response_mask(sequences: Sequence[TokenSequence]) -> Tensor:
    """Bool [B, T_max], True on the tokens of each response, right-padded."""
    length_B = torch.tensor([len(sequence.response_ids) for sequence in sequences])
    return torch.arange(int(length_B.max())) < length_B[:, None]


def scatter(values_N: Tensor, row_N: Tensor, token_N: Tensor, shape: tuple[int, int], fill: float = 0.0) -> Tensor:
    """A [B, T] tensor with `values_N` at (row, token) and `fill` elsewhere. Differentiable in the values."""
    return values_N.new_full(shape, fill).index_put((row_N, token_N), values_N)


def _check_sequences(sequences: Sequence[TokenSequence]) -> None:
    if not sequences:
        raise DataError("no sequences to train on: the batch is empty; check the source and any filter on responses")
    for index, sequence in enumerate(sequences):
        name = f"sequence {index}" + (f" (prompt {sequence.name!r})" if sequence.name else "")
        if len(sequence.response_ids) == 0:
            raise DataError(f"{name} has a response with no tokens; drop it, or keep the EOS token as part of the response")
        if len(sequence.prompt_ids) == 0:
            raise DataError(f"{name} has an empty prompt, so nothing predicts its first token; start it with a BOS token")


def _units(sequences: Sequence[TokenSequence], unit_B: np.ndarray | None, row_tokens: int) -> list[list[int]]:
    """Indices of the sequences of each unit, in order of first appearance, units longer than a row first (longest first)."""
    if unit_B is None:
        units = [[index] for index in range(len(sequences))]
    else:
        if len(unit_B) != len(sequences):
            raise DataError(f"unit_B names the units of {len(unit_B)} sequences, but there are {len(sequences)}")
        members: dict[int, list[int]] = {}
        for index, unit in enumerate(np.asarray(unit_B).tolist()):
            members.setdefault(unit, []).append(index)
        units = list(members.values())
    excess = [max(row_tokens, *(sequences[index].input_tokens for index in unit)) for unit in units]
    return [units[i] for i in sorted(range(len(units)), key=lambda i: -excess[i])]  # stable: the others keep their order


def _lengths(sequences: Sequence[TokenSequence]) -> Lengths:
    numbers: dict[bytes, int] = {}
    contents = (np.asarray(sequence.prompt_ids, dtype=np.int64).tobytes() for sequence in sequences)
    return Lengths(
        prompt=[numbers.setdefault(content, len(numbers)) for content in contents],
        prompt_tokens=[len(sequence.prompt_ids) for sequence in sequences],
        read_tokens=[len(sequence.response_ids) - 1 for sequence in sequences],
    )


class _Filling:
    """The rows of a micro-batch while segments are put into them, one after the other."""

    def __init__(self, shape: tuple[int, int], pad_id: int) -> None:
        self.input_ids_RL = np.full(shape, pad_id, dtype=np.int64)
        self.position_ids_RL = np.zeros(shape, dtype=np.int64)
        self.segment_RL = np.full(shape, -1, dtype=np.int32)
        self.continues_RL = np.full(shape, -2, dtype=np.int32)
        self._tokens_R = [0] * shape[0]
        self._segments_R = [0] * shape[0]

    @property
    def tokens(self) -> int:
        return sum(self._tokens_R)

    def add(self, row: int, ids: np.ndarray, position: int = 0, continues: int = -2) -> tuple[int, np.ndarray]:
        """Put a segment that begins at `position` into a row: its number there, and the flat indices [L] of its tokens."""
        segment, start = self._segments_R[row], self._tokens_R[row]
        place = row, slice(start, start + len(ids))
        self.input_ids_RL[place] = ids
        self.position_ids_RL[place] = position + np.arange(len(ids))
        self.segment_RL[place], self.continues_RL[place] = segment, continues
        self._segments_R[row] += len(ids) > 0  # a response of one token reads none: no segment, so that numbers stay below L
        self._tokens_R[row] += len(ids)
        return segment, row * self.input_ids_RL.shape[1] + np.arange(start, start + len(ids))


def _materialise(sequences: Sequence[TokenSequence], filled: Rows, pad_id: int, holds: Holds) -> PackedRows:
    """The tensors of a layout. Every prompt copy and every response that reads a token is a segment, and padding is one too."""
    filling = _Filling((len(filled.rows), filled.length), pad_id)
    hidden_index: dict[int, np.ndarray] = {}
    for r, row in enumerate(filled.rows):
        for bundle in row:
            prompt_ids = sequences[bundle[0]].prompt_ids
            prompt, prompt_places = filling.add(r, prompt_ids)
            for index in bundle:
                _, places = filling.add(r, sequences[index].response_ids[:-1], len(prompt_ids), prompt)
                hidden_index[index] = np.r_[prompt_places[-1], places]
    members = sorted(hidden_index)
    lengths = [len(hidden_index[index]) for index in members]
    return PackedRows(
        input_ids_RL=torch.from_numpy(filling.input_ids_RL),
        position_ids_RL=torch.from_numpy(filling.position_ids_RL),
        segment_RL=torch.from_numpy(filling.segment_RL),
        continues_RL=torch.from_numpy(filling.continues_RL),
        hidden_index_N=torch.from_numpy(np.concatenate([hidden_index[index] for index in members])),
        targets_N=torch.from_numpy(np.concatenate([sequences[index].response_ids for index in members]).astype(np.int64)),
        sequence_N=torch.from_numpy(np.repeat(members, lengths)),
        row_N=torch.from_numpy(np.repeat(np.arange(len(members)), lengths)),
        token_N=torch.from_numpy(np.concatenate([np.arange(length) for length in lengths])),
        sequences_b=torch.tensor(members),
        input_tokens=filling.tokens,
        longest=max(sequences[index].input_tokens for index in members),
        holds=holds,
    )
