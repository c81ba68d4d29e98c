"""Low-rank adapters in training, by PEFT (extra `lora`): put into a model, switched off, saved and read back.

They are put into the model's own linear layers, so that it stays the model that it was to everything else. An adapter begins as
nothing (B = 0) on the weights that training starts from; with it switched off the model is the start again, which is how the
reference comes without a copy.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError, ConfigError
from unified_rl.base.rng import derive_seed
from unified_rl.config.lora import LoraConfig
from unified_rl.models.adapter_files import CONFIG, PREFIX, WEIGHTS, read_adapter
from unified_rl.models.decoder_pass import decoder_of
from unified_rl.models.merging import fitting, low_rank_pairs, merged

#: PEFT's name of the one adapter that a model has here.
_NAME = "default"
_ADDED = "_adapter_added"


@dataclass(frozen=True)
class Added:
    """What a model knows of its adapter. base: folder of the weights under it. settings: of adapter_config.json."""

    base: Path
    settings: Mapping[str, Any]


def require_peft() -> None:
    """Raise ConfigError with the remedy where PEFT is not installed."""
    if importlib.util.find_spec("peft") is None:
        raise ConfigError("model.lora.rank needs the package peft: pip install 'unified-rl[lora]', or leave model.lora out")


def add_adapter(model: PreTrainedModel, lora: LoraConfig, base: Path, seed: int) -> None:
    """Put an adapter of zero effect into a model's linear layers, in place; from then on nothing else of it is trained.

    Args:
        model: a causal language model, or a decoder. base: the folder of its weights, which a saved adapter names.
        seed: of A, which is drawn; B is 0.

    Raises:
        ConfigError: PEFT is missing, or a target is no linear layer of the decoder.
    """
    require_peft()
    import peft

    targets, alpha = _targets(model, lora), lora.scale * lora.rank
    conv = any(isinstance(layer, Conv1D) for layer in _linear_layers(model).values())
    settings: dict[str, Any] = {
        "peft_type": "LORA",
        "base_model_name_or_path": str(base.resolve()),
        "r": lora.rank,
        "lora_alpha": int(alpha) if alpha.is_integer() else alpha,
        "lora_dropout": 0.0,
        "target_modules": targets,
        "bias": "none",
        "fan_in_fan_out": conv,
    }
    options = {name: value for name, value in settings.items() if name != "peft_type"}
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the kind of layer, which is known
        torch.manual_seed(derive_seed(seed, "lora"))
        peft.inject_adapter_in_model(peft.LoraConfig(**options), model, _NAME)
    for layer in adapted_layers(model).values():
        for part in (layer.lora_A, layer.lora_B):
            part[_NAME].to(layer.get_base_layer().weight.dtype)
    model.eval()
    saved = {"task_type": "CAUSAL_LM"} if model.get_output_embeddings() is not None else {}
    setattr(model, _ADDED, Added(base, {**settings, **saved, "inference_mode": True}))


def adapted_layers(model: nn.Module) -> dict[str, Any]:
    """The layers that have an adapter, by name."""
    return {name: layer for name, layer in model.named_modules() if hasattr(layer, "base_layer") and hasattr(layer, "lora_A")}


def is_adapted(model: nn.Module) -> bool:
    """Whether a model, or the decoder of one with a scalar head, has an adapter that is trained."""
    return hasattr(getattr(model, "backbone", model), _ADDED)


def low_rank(layer: Any) -> tuple[nn.Parameter, nn.Parameter, float]:
    """A [rank, in], B [out, rank] and their scale, of an adapted layer."""
    return layer.lora_A[_NAME].weight, layer.lora_B[_NAME].weight, float(layer.scaling[_NAME])


def effective_weight(layer: Any) -> Tensor:
    """What a linear layer multiplies by: W, or W + scale B A where it has an adapter."""
    weight: Tensor = layer.weight
    return merged(layer.get_base_layer(), *low_rank(layer)) if hasattr(layer, "lora_A") else weight


@contextmanager
def adapter_off(model: nn.Module) -> Iterator[None]:
    """The model as it was before training, without gradient."""
    layers = adapted_layers(model).values()
    for layer in layers:
        layer.enable_adapters(False)
    try:
        with torch.no_grad():
            yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def save_adapter(model: nn.Module, folder: Path) -> None:
    """Write a model's adapter as PEFT reads it: the same bytes for the same weights. Not atomic.

    Raises:
        OSError, SafetensorError: it cannot be written.
    """
    added: Added = getattr(model, _ADDED)
    tensors: dict[str, Tensor] = {}
    for name, layer in adapted_layers(model).items():
        for part, weight in zip("AB", low_rank(layer)[:2], strict=True):
            tensors[f"{PREFIX}{name}.lora_{part}.weight"] = weight.detach().cpu().clone().contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    files.write_json(folder / CONFIG, dict(added.settings))


@torch.no_grad()
def load_adapter(model: nn.Module, folder: Path) -> None:
    """Read back what `save_adapter` wrote into the adapter that a model has.

    Raises:
        CheckpointError: it is missing, damaged, or another model's.
    """
    adapter, layers = read_adapter(folder), adapted_layers(model)
    found = {name: (a_RI, b_OR) for name, a_RI, b_OR in low_rank_pairs(adapter)}
    if found.keys() != layers.keys():
        other = min(found.keys() ^ layers.keys())
        raise CheckpointError(
            f"{adapter.weights} and the model have adapters in other layers, e.g. {other!r:.120}; is it another's?"
        )
    for name, (a_RI, b_OR) in found.items():
        into_a, into_b, _ = low_rank(layers[name])
        if not fitting(layers[name].get_base_layer(), a_RI, b_OR, len(into_a)):
            raise CheckpointError(f"{adapter.weights}: {name!r:.120} has another rank or shape; is it another model's?")
        into_a.copy_(a_RI)
        into_b.copy_(b_OR)


def _targets(model: PreTrainedModel, lora: LoraConfig) -> list[str]:
    """The ends of the names of the layers that get an adapter. Raises ConfigError for one that ends no linear layer's name."""
    names = _linear_layers(model)
    known = sorted({name.rpartition(".")[2] for name in names})
    for target in lora.targets:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            raise ConfigError(
                f"model.lora.targets names {target!r:.60}, which is no linear layer of {type(model).__name__}'s decoder; choose "
                f"from: {', '.join(known)}"
            )
    if not known:
        raise ConfigError(f"{type(model).__name__} has no linear layers that an adapter could change; leave model.lora out")
    return sorted(set(lora.targets)) or known


def _linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """The linear layers of the part that reads text, the output head not among them, by their names in the model."""
    has_head = model.get_output_embeddings() is not None
    decoder: PreTrainedModel = decoder_of(model) if has_head else model
    inside = {id(part) for part in decoder.modules()}
    return {
        name: layer for name, layer in model.named_modules() if id(layer) in inside and isinstance(layer, (nn.Linear, Conv1D))
    }
