"""Passes of a model over packed rows: log-probabilities and values of the response tokens.

Everything here assumes that dropout is off (`model.eval()`, or all dropout rates 0): ratios and KL terms compare passes through the
same weights, and with dropout they would compare noise. The caller sees to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask
from transformers import PreTrainedModel

from unified_rl.base.errors import DataError
from unified_rl.models.attention import DecoderInput, decoder_input
from unified_rl.models.limits import context_limit
from unified_rl.models.policy_model import ScalarModel, decoder_of
from unified_rl.ops.logprobs import token_logps
from unified_rl.packing.packed_rows import PackedRows

#: A decoder's last hidden states [N, D] that predict the response tokens of packed rows; gradients flow through it to the
#: decoder's weights.
Forward = Callable[[PreTrainedModel, PackedRows], Tensor]


def plain_forward(decoder: PreTrainedModel, packed: PackedRows) -> Tensor:
    """The states [N, D] that predict the response tokens, as the module computes them. Implements `Forward`."""
    return predicting_hidden(decoder, decoder_input(decoder, packed))


def predicting_hidden(decoder: PreTrainedModel, read: DecoderInput) -> Tensor:
    """The states [N, D] that predict the response tokens."""
    hidden_RLD = last_hidden(decoder, read.input_ids_RL, read.position_ids_RL, read.mask)
    return hidden_RLD.flatten(0, 1).index_select(0, read.predicting_N)


def last_hidden(decoder: PreTrainedModel, input_ids_RL: Tensor, position_ids_RL: Tensor, mask: Tensor | BlockMask) -> Tensor:
    """The decoder's last hidden states [R, L, D] under an additive mask [R, 1, L, L], or a block mask."""
    hidden_RLD: Tensor = decoder(
        input_ids=input_ids_RL, position_ids=position_ids_RL, attention_mask=mask, use_cache=False
    ).last_hidden_state
    return hidden_RLD


def response_logps(
    model: PreTrainedModel,
    packed: PackedRows,
    temperature: float = 1.0,
    forward: Forward = plain_forward,
    *,
    differentiable_entropy: bool = False,
) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy, in nats, of the packed response tokens at the sampling temperature.

    The head is applied only to the positions that predict a response token. Dropout must be off (see the module's docstring).

    Args:
        forward: what runs the decoder. differentiable_entropy: whether the entropy carries a gradient.

    Returns:
        (logp_N, entropy_N) in the order of `packed.sequence_N`.

    Raises:
        DataError: a sequence longer than the model's positions or its sliding window.
    """
    head = model.get_output_embeddings()
    hidden_ND = _hidden(decoder_of(model), packed, forward)
    return token_logps(
        hidden_ND,
        head.weight,
        getattr(head, "bias", None),
        packed.targets_N,
        temperature=temperature,
        differentiable_entropy=differentiable_entropy,
    )


def response_values(model: ScalarModel, packed: PackedRows, forward: Forward = plain_forward) -> Tensor:
    """Head's output [N] at the state in which each response token is chosen: the position that predicts it. Order of `packed`."""
    return model.head(_hidden(model.backbone, packed, forward))[:, 0]


def _hidden(decoder: PreTrainedModel, packed: PackedRows, forward: Forward) -> Tensor:
    _check_length(decoder.config, packed.longest)
    return forward(decoder, packed)


def _check_length(config: Any, longest: int) -> None:
    # The rows' mask replaces the model's own, sliding window included: refuse where the window would have mattered.
    limit, name = context_limit(config)
    if limit is not None and longest > limit:
        raise DataError(
            f"a sequence of {longest} input tokens exceeds the model's {name} of {limit}; "
            "shorten the prompts, lower max_new_tokens, or choose a model with a longer context"
        )
