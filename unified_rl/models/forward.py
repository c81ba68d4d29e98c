"""Passes of a model over packed rows: log-probabilities and values of the response tokens.

Everything here assumes that dropout is off (`model.eval()`, or all dropout rates 0): ratios and KL terms compare passes through the
same weights, and with dropout they would compare noise. The caller sees to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from unified_rl.base.errors import DataError
from unified_rl.models.attention import decoder_input
from unified_rl.models.decoder_pass import decoder_of
from unified_rl.models.limits import context_limit
from unified_rl.models.policy_model import ScalarModel
from unified_rl.models.traits import transform_of
from unified_rl.ops.logprobs import Head, token_outputs
from unified_rl.packing.packed_rows import PackedRows

#: A decoder's last hidden states [N, D] that predict the response tokens of packed rows; gradients flow through it to the
#: decoder's weights.
Forward = Callable[[PreTrainedModel, PackedRows], Tensor]


def plain_forward(decoder: PreTrainedModel, packed: PackedRows) -> Tensor:
    """The states [N, D] that predict the response tokens, as the module computes them. Implements `Forward`."""
    return decoder_input(decoder, packed).hidden(decoder)


def response_outputs(
    model: PreTrainedModel,
    packed: PackedRows,
    names: Iterable[str] = ("logp", "entropy"),
    *,
    temperature: float = 1.0,
    forward: Forward = plain_forward,
    differentiated: Iterable[str] = ("logp",),
    teacher: PreTrainedModel | None = None,
    share: float = 0.5,
) -> dict[str, Tensor]:
    """What the model's distributions say of the packed response tokens, at the sampling temperature, by name.

    The head is applied only to the positions that predict a response token. Dropout must be off (see the module's docstring).

    Args:
        names: of `ops.logprobs.NAMES`. differentiated: those of them that a loss reads. forward: what runs the decoders.
        teacher: what divergences are from; it reads the same rows, without gradient. share: its own in the mixture of "jsd".

    Returns:
        name -> [N], in the order of `packed.sequence_N`.

    Raises:
        DataError: a sequence longer than the model's positions. ValueError: see `token_outputs`.
    """
    taught = None
    if teacher is not None:
        with torch.no_grad():
            taught = _head(teacher, packed, forward)
    return token_outputs(
        _head(model, packed, forward),
        packed.targets_N,
        names,
        differentiated=differentiated,
        temperature=temperature,
        teacher=taught,
        share=share,
    )


def response_logps(
    model: PreTrainedModel, packed: PackedRows, temperature: float = 1.0, forward: Forward = plain_forward
) -> tuple[Tensor, Tensor]:
    """(logp_N, entropy_N) of the packed response tokens, in nats; the entropy is a metric and carries no gradient."""
    found = response_outputs(model, packed, temperature=temperature, forward=forward)
    return found["logp"], found["entropy"]


def response_values(model: ScalarModel, packed: PackedRows, forward: Forward = plain_forward) -> Tensor:
    """Head's output [N] at the state in which each response token is chosen: the position that predicts it. Order of `packed`."""
    return model.head(_predicting_hidden(model.backbone, packed, forward))[:, 0]


def _head(model: PreTrainedModel, packed: PackedRows, forward: Forward) -> Head:
    """A model's output matrix, with the hidden states that predict the response tokens."""
    matrix, transform = model.get_output_embeddings(), transform_of(model)
    hidden_ND = _predicting_hidden(decoder_of(model), packed, forward)
    return Head(hidden_ND, matrix.weight, getattr(matrix, "bias", None), transform.scale, transform.cap)


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
