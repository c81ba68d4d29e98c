"""Passes of a model over packed rows: log-probabilities and values of the response tokens.

Everything here assumes that dropout is off (`model.eval()`, or all dropout rates 0): ratios and KL terms compare passes through the
same weights, and with dropout they would compare noise. The caller sees to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from unified_rl.base.errors import DataError
from unified_rl.models.attention import decoder_input
from unified_rl.models.decoder_pass import decoder_of
from unified_rl.models.limits import context_limit
from unified_rl.models.policy_model import ScalarModel
from unified_rl.models.traits import transform_of
from unified_rl.ops.logprobs import token_logps
from unified_rl.packing.packed_rows import PackedRows

#: A decoder's last hidden states [N, D] that predict the response tokens of packed rows; gradients flow through it to the
#: decoder's weights.
Forward = Callable[[PreTrainedModel, PackedRows], Tensor]


def plain_forward(decoder: PreTrainedModel, packed: PackedRows) -> Tensor:
    """The states [N, D] that predict the response tokens, as the module computes them. Implements `Forward`."""
    return decoder_input(decoder, packed).hidden(decoder)


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
        DataError: a sequence longer than the model's positions.
    """
    head, transform = model.get_output_embeddings(), transform_of(model)
    hidden_ND = _predicting_hidden(decoder_of(model), packed, forward)
    return token_logps(
        hidden_ND,
        head.weight,
        getattr(head, "bias", None),
        packed.targets_N,
        temperature=temperature,
        scale=transform.scale,
        cap=transform.cap,
        differentiable_entropy=differentiable_entropy,
    )


def response_values(model: ScalarModel, packed: PackedRows, forward: Forward = plain_forward) -> Tensor:
    """Head's output [N] at the state in which each response token is chosen: the position that predicts it. Order of `packed`."""
    return model.head(_predicting_hidden(model.backbone, packed, forward))[:, 0]


def _predicting_hidden(decoder: PreTrainedModel, packed: PackedRows, forward: Forward) -> Tensor:
    """Hidden states [N, D] that predict the response tokens."""
    _check_length(decoder.config, packed.longest)
    return forward(decoder, packed)


def _check_length(config: Any, longest: int) -> None:
    limit, name = context_limit(config)
    if limit is not None and longest > limit:
        raise DataError(
            f"a sequence of {longest} input tokens exceeds the model's {name} of {limit}; "
            "shorten the prompts, lower max_new_tokens, or choose a model with a longer context"
        )
