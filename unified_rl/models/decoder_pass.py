"""A decoder, and its pass without its head: the last hidden states of a batch."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from unified_rl.base.errors import ConfigError


def decoder_of(model: PreTrainedModel) -> PreTrainedModel:
    """The model without its head; of one that reads images and sound too, the part that reads text.

    Raises:
        ConfigError: a model whose decoder is not a module of its own.
    """
    for found in (model.get_decoder(), model.base_model, getattr(model, "model", None)):
        if isinstance(found, PreTrainedModel) and found is not model and found.get_output_embeddings() is None:
            return found
    raise ConfigError(f"{type(model).__name__} has no decoder apart from its head; choose another model")


def last_hidden(decoder: PreTrainedModel, input_ids_RL: Tensor, position_ids_RL: Tensor | None, mask: Any) -> Tensor:
    """The decoder's last hidden states [R, L, D], under a mask as it takes it; None where it counts positions itself."""
    positions = {} if position_ids_RL is None else {"position_ids": position_ids_RL}
    hidden_RLD: Tensor = decoder(input_ids=input_ids_RL, attention_mask=mask, use_cache=False, **positions).last_hidden_state
    return hidden_RLD


def takes_positions(decoder: PreTrainedModel) -> bool:
    """Whether a decoder is told positions, or counts them itself."""
    return "position_ids" in _arguments(type(decoder).forward)


@functools.cache
def _arguments(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)
