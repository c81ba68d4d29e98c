"""What rows of packed sequences a model computes rightly, found by trying: documents and responses in company against each alone.

Whatever a model's code makes of segments, positions and windows, its own pass over one plain sequence is the truth. A model that
carries a state from token to token, or that attends by place in the row, gets rows that it does compute rightly; one that none are
right for is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from unified_rl.base.errors import ConfigError
from unified_rl.models.attention import MASKS, attention_mask
from unified_rl.models.decoder_pass import last_hidden, takes_positions
from unified_rl.models.probing import probe_ids, quiet
from unified_rl.models.reach import short_windows, stateful_layers, unknown_windows
from unified_rl.packing.packed_rows import TokenSequence, pack
from unified_rl.packing.rows import Holds

#: Largest difference of a hidden state, relative to its size, that rounding may make.
TOLERANCE = {torch.bfloat16: 0.06, torch.float16: 0.02}
_EXACT = 1e-4
#: In lower precision a router may send a few tokens elsewhere.
_TOKENS_OFF = 0.2
#: (prompt, response) lengths: two responses that share a prompt, and others beside them.
_LENGTHS = ((5, 7), (5, 4), (3, 12), (9, 2))


def find_rows(decoder: PreTrainedModel) -> Holds:
    """The fullest rows that a decoder computes rightly.

    Raises:
        ConfigError: it looks at later tokens, or computes no rows rightly.
    """
    sequences = _sequences(decoder)
    with quiet(decoder), short_windows(decoder.config):
        alone = [_alone(decoder, sequence) for sequence in sequences]
        _check_causal(decoder, sequences[2], alone[2])
        for holds in get_args(Holds)[get_args(Holds).index(_most(decoder)) :]:
            if _is_right(decoder, sequences, alone, holds):
                return holds
    raise ConfigError(
        f"{type(decoder).__name__} computes other hidden states for a sequence in a batch than for the same sequence alone, so its "
        "log-probs cannot be relied on; choose another model"
    )


def _most(decoder: PreTrainedModel) -> Holds:
    """The fullest rows that a decoder's structure allows."""
    stateful = getattr(decoder, "_is_stateful", False) or stateful_layers(decoder.config) or unknown_windows(decoder.config)
    if stateful or (decoder.config._attn_implementation or "eager") not in MASKS:
        return "one sequence"
    return "shared prompts" if takes_positions(decoder) else "whole sequences"


def _sequences(decoder: PreTrainedModel) -> list[TokenSequence]:
    drawn = probe_ids(decoder, sum(map(sum, _LENGTHS))).cpu().numpy()
    found: list[TokenSequence] = []
    for place, (prompt, response) in enumerate(_LENGTHS):
        ids, drawn = drawn[: prompt + response], drawn[prompt + response :]
        prompt_ids = found[0].prompt_ids if place == 1 else ids[:prompt]
        found.append(TokenSequence(prompt_ids, ids[prompt:], f"probe {place}"))
    return found


def _alone(decoder: PreTrainedModel, sequence: TokenSequence) -> Tensor:
    """Hidden states [T, D] that predict the response, from a plain pass over the one sequence."""
    ids = np.concatenate([sequence.prompt_ids, sequence.response_ids[:-1]])
    hidden_1LD = decoder(input_ids=torch.from_numpy(ids).to(decoder.device)[None], use_cache=False).last_hidden_state
    return hidden_1LD[0, len(sequence.prompt_ids) - 1 :]


def _check_causal(decoder: PreTrainedModel, sequence: TokenSequence, whole_TD: Tensor) -> None:
    """A shorter response's states are the first of the longer one's."""
    shorter = TokenSequence(sequence.prompt_ids, sequence.response_ids[: len(sequence.response_ids) // 2])
    part_TD = _alone(decoder, shorter)
    if not _same(part_TD, whole_TD[: len(part_TD)]):
        raise ConfigError(
            f"{type(decoder).__name__} looks at later tokens: it is no causal language model as it is configured; choose another "
            "model"
        )


def _is_right(decoder: PreTrainedModel, sequences: Sequence[TokenSequence], alone: Sequence[Tensor], holds: Holds) -> bool:
    try:
        packed = pack(sequences, row_tokens=64, micro_batch_tokens=1024, holds=holds)[0].to(decoder.device)
        positions_RL = packed.position_ids_RL if takes_positions(decoder) else None
        hidden_RLD = last_hidden(decoder, packed.input_ids_RL, positions_RL, attention_mask(decoder, packed))
    except (RuntimeError, TypeError, ValueError, AttributeError, KeyError, IndexError, NotImplementedError):
        return False  # a model that takes no such mask or positions says so in its own way
    return _same(hidden_RLD.flatten(0, 1)[packed.hidden_index_N], torch.cat(list(alone)))


def _same(found_ND: Tensor, true_ND: Tensor) -> bool:
    if found_ND.shape != true_ND.shape or not found_ND.isfinite().all():
        return False
    low, tolerance = found_ND.dtype in TOLERANCE, TOLERANCE.get(found_ND.dtype, _EXACT)
    found_ND, true_ND = found_ND.double(), true_ND.double()
    error_N = (found_ND - true_ND).norm(dim=1) / true_ND.norm(dim=1).clamp_min(1e-12)
    return bool((error_N > tolerance).double().mean() <= (_TOKENS_OFF if low else 0))
