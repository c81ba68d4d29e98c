"""From the product with the output matrix to a model's logits: a scale and a soft cap, or neither, and nothing else.

The log-prob op multiplies by the matrix itself, for the positions that need it, so it has to know what follows. Both are read from
the configuration, and tried at logits far larger than a fresh model's, where a cap shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from unified_rl.base.errors import ConfigError
from unified_rl.models.probing import probe_ids, quiet

#: Settings that multiply logits, or (True) divide them.
_SCALES = {"logit_scale": False, "logits_scaling": True, "lm_head_multiplier": False, "output_multiplier": False}
_CAPS = ("final_logit_softcapping", "logits_soft_cap")
#: Settings by whose ratio the last hidden state is divided before the matrix: (base, width).
_WIDTHS = ("dim_model_base", "hidden_size")
#: Largest logits that are tried: far beyond any cap in use.
_LARGE = 300.0


@dataclass(frozen=True, slots=True)
class LogitTransform:
    """logits = softcap(scale * (W h + b)), where softcap(x) = cap tanh(x / cap), and nothing for a cap of 0."""

    scale: float = 1.0
    cap: float = 0.0

    def __call__(self, products: Tensor) -> Tensor:
        scaled = products if self.scale == 1.0 else products * self.scale
        return scaled if not self.cap else torch.tanh(scaled / self.cap) * self.cap


@torch.no_grad()
def find_transform(model: PreTrainedModel, decoder: PreTrainedModel) -> LogitTransform:
    """What a model does to the products of its output embeddings.

    Raises:
        ConfigError: no linear head, or something else than a scale and a soft cap.
    """
    name, head = type(model).__name__, model.get_output_embeddings()
    if head is None or not hasattr(head, "weight"):
        raise ConfigError(f"{name} has no linear output head; choose a causal language model")
    with quiet(model):
        tried = [_measured(model, decoder, head, factor) for factor in (1.0, _LARGE)]
    close = 1e-3 if model.dtype in (torch.float32, torch.float64) else 3e-2
    for transform in _candidates(model.config.get_text_config(decoder=True)):
        if all(_agree(transform(products), logits, close) for products, logits in tried):
            return transform
    raise ConfigError(
        f"{name} does more between its last hidden state and its logits than a matrix, a scale and a soft cap, which the "
        "log-prob op does not reproduce; choose another model"
    )


def _measured(model: PreTrainedModel, decoder: PreTrainedModel, head: Any, largest: float) -> tuple[Tensor, Tensor]:
    """W h + b as the log-prob op forms it, and the model's logits, with the head's weights made larger for the while.

    By a hook on the head, so that nothing is copied; a model that multiplies by its weights without calling it is not changed by
    the hook, and then found out.
    """
    ids_1L = probe_ids(model, 8)[None]
    hidden = decoder(input_ids=ids_1L, use_cache=False).last_hidden_state
    products = torch.nn.functional.linear(hidden, head.weight, getattr(head, "bias", None)).float()
    factor = 1.0 if largest == 1.0 else largest / max(float(products.abs().max()), 1e-6)
    hook = head.register_forward_hook(lambda module, given, output: output * factor)
    try:
        logits = model(input_ids=ids_1L, use_cache=False).logits.float()
    finally:
        hook.remove()
    return products * factor, logits


def _candidates(config: Any) -> Iterator[LogitTransform]:
    scales = [1.0]
    for name, divides in _SCALES.items():
        value = getattr(config, name, None)
        if value:
            scales += [1 / value, value] if divides else [value]
    base, width = (getattr(config, name, None) for name in _WIDTHS)
    if base and width:
        scales.append(base / width)
    caps = [float(cap) for name in _CAPS if (cap := getattr(config, name, None))]
    yield from (LogitTransform(float(scale), cap) for cap in (*caps, 0.0) for scale in scales)


def _agree(found: Tensor, logits: Tensor, close: float) -> bool:
    return found.shape == logits.shape and bool((found - logits).abs().max() <= close * logits.abs().max().clamp_min(1.0))
