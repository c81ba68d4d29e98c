"""Adapters merged into the weights that they change: W + scale B A, formed in float32 (float64 of float64) and rounded once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from unified_rl.base.errors import CheckpointError
from unified_rl.models.adapter_files import MERGE, PREFIX, Adapter

_A, _B = ".lora_A.weight", ".lora_B.weight"


@torch.no_grad()
def merge(model: PreTrainedModel, adapter: Adapter) -> None:
    """Change a model's weights, in place, to what they are with an adapter.

    Raises:
        CheckpointError: a tensor is missing, or fits no linear layer of the model; nothing is then changed.
    """
    found = [(layer_of(model, adapter, name), name, a_RI, b_OR) for name, a_RI, b_OR in low_rank_pairs(adapter)]
    for layer, name, a_RI, b_OR in found:
        if not fitting(layer, a_RI, b_OR, adapter.rank):
            raise CheckpointError(f"{adapter.weights}: {name!r:.120} has another rank or shape than {adapter.base} has there")
    for layer, _, a_RI, b_OR in found:
        layer.weight.copy_(merged(layer, a_RI, b_OR, adapter.scale))


def merged(layer: nn.Module, a_RI: Tensor, b_OR: Tensor, scale: float, weight: Tensor | None = None) -> Tensor:
    """W + scale B A, in W's dtype and as the layer has W: [out, in], or [in, out] of a Conv1D.

    weight: the layer's, where another module holds it at the moment.
    """
    weight = layer.weight if weight is None else weight  # type: ignore[assignment]
    assert weight is not None
    exact = torch.float64 if weight.dtype == torch.float64 else torch.float32
    change_OI = scale * (b_OR.to(weight.device, exact) @ a_RI.to(weight.device, exact))
    return (weight.to(exact) + (change_OI.T if isinstance(layer, Conv1D) else change_OI)).to(weight.dtype)


def low_rank_pairs(adapter: Adapter) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(name of the layer, A [rank, in], B [out, rank]) of each layer that an adapter changes, in the order of their names.

    Raises:
        CheckpointError: the file is damaged, or holds something else.
    """
    try:
        tensors = load_file(adapter.weights)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{adapter.weights}: cannot read the adapter ({error}); fetch or save it again") from error
    layers = sorted(name.removeprefix(PREFIX).removesuffix(_A) for name in tensors if name.endswith(_A))
    wanted = {f"{PREFIX}{layer}{end}" for layer in layers for end in (_A, _B)}
    if other := sorted(wanted ^ set(tensors)) or ([] if layers else ["no tensors at all"]):
        raise CheckpointError(
            f"{adapter.weights}: {other[0]!r:.120} is no half of a pair of A and B in a linear layer: {MERGE}"
        )
    for layer in layers:
        yield layer, tensors[f"{PREFIX}{layer}{_A}"], tensors[f"{PREFIX}{layer}{_B}"]


def layer_of(model: nn.Module, adapter: Adapter, name: str) -> Any:
    """The linear layer that tensors of an adapter are named after. Raises CheckpointError where there is none, or it is tied."""
    layer = dict(model.named_modules()).get(name)
    layer = getattr(layer, "base_layer", layer)
    if not isinstance(layer, (nn.Linear, Conv1D)):
        raise CheckpointError(
            f"{adapter.weights}: changes {name!r:.120}, which is no linear layer of {adapter.base}; name the base model that the "
            "adapter was trained on with model.path, and the adapter with model.lora.path"
        )
    embeddings: Any = model.get_input_embeddings() if isinstance(model, PreTrainedModel) else None
    if embeddings is not None and embeddings.weight is layer.weight:
        raise CheckpointError(f"{adapter.weights}: changes {name!r:.120}, which is one with the embeddings: {MERGE}")
    return layer


def fitting(layer: Any, a_RI: Tensor, b_OR: Tensor, rank: int) -> bool:
    """Whether A and B have the shapes of a layer, at this rank."""
    shape = layer.weight.shape if isinstance(layer, Conv1D) else layer.weight.shape[::-1]
    return a_RI.shape == (rank, shape[0]) and b_OR.shape == (shape[1], rank)
