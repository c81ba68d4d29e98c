"""A decoder's pass by torch.compile on a GPU, a few layers at a time: one program for all such groups, made in the time of one.

A small model's layers take less time on the GPU than the way to their program takes on the host; several layers share that way.

Only passes with a block mask run the program. Everything else that calls the layers (sampling with a cache, transformers' own
evaluation) finds them as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from unified_rl.base.errors import ConfigError
from unified_rl.models.attention import block_input
from unified_rl.packing.packed_rows import PackedRows

#: Programs that one process may need: by length of row, with a gradient and without, by shapes and dtypes of models.
MOST_PROGRAMS = 64
#: Most layers of a program: compiling takes time in proportion, and most of the way to a program is saved with few.
_MOST_LAYERS = 8


class CompiledLayers:
    """Implements `Forward`: the decoder's layers as one program for each length of a row, of which there are few.

    The plain pass but for rounding. Layers that are run again in the backward pass run the program again, a group at a time.
    """

    def __init__(self, backend: str = "inductor", most_layers: int = _MOST_LAYERS) -> None:
        allow_programs(MOST_PROGRAMS)
        self._most_layers = most_layers
        self.program = torch.compile(_run_layers, backend=backend, dynamic=False, fullgraph=True)

    def __call__(self, decoder: PreTrainedModel, packed: PackedRows) -> Tensor:
        """The states [N, D] that predict the response tokens. The first pass over a decoder lets its layers run the program.

        Raises:
            ConfigError: a decoder whose layers are not transformers' decoder layers.
        """
        layers = [part for part in decoder.modules() if isinstance(part, GradientCheckpointingLayer)]
        if not layers:
            raise ConfigError(f"{type(decoder).__name__} has no layers that can be compiled; leave trainer.compiled out")
        if not isinstance(layers[0]._compiled_call_impl, _FirstLayer):
            self._take_over(layers, decoder.config)
        return block_input(decoder, packed).hidden(decoder)

    def _take_over(self, layers: Sequence[nn.Module], config: Any) -> None:
        size = _group_size(layers, config, self._most_layers)
        for place, layer in enumerate(layers):
            group = tuple(layers[place : place + size])
            layer._compiled_call_impl = _LaterLayer(layer) if place % size else _FirstLayer(layer, group, self)


class _FirstLayer:
    """What the first layer of a group does when it is called: all of the group. Copies of a module drop it and run plainly."""

    def __init__(self, layer: nn.Module, group: tuple[nn.Module, ...], forward: CompiledLayers) -> None:
        self._layer, self._group, self._forward = layer, group, forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if isinstance(kwargs.get("attention_mask"), BlockMask):
            return self._forward.program(self._group, *args, **kwargs)
        return self._layer._call_impl(*args, **kwargs)


class _LaterLayer:
    """What the others of a group do: they hand on what the first of them computed."""

    def __init__(self, layer: nn.Module) -> None:
        self._layer = layer

    def __call__(self, hidden_RLD: Tensor, *args: Any, **kwargs: Any) -> Any:
        if isinstance(kwargs.get("attention_mask"), BlockMask):
            return hidden_RLD
        return self._layer._call_impl(hidden_RLD, *args, **kwargs)


def _run_layers(layers: tuple[nn.Module, ...], hidden_RLD: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    for layer in layers:
        hidden_RLD = layer.forward(hidden_RLD, *args, **kwargs)
    return hidden_RLD


def _group_size(layers: Sequence[nn.Module], config: Any, most: int) -> int:
    """Layers that one program runs: so many that all groups are alike. Layers that see different masks are run one by one."""
    if len(set(getattr(config, "layer_types", None) or [])) > 1:
        return 1
    return max(size for size in range(1, most + 1) if len(layers) % size == 0)


def allow_programs(number: int) -> None:
    """Let torch keep so many programs of one function in this process before it takes the next for a fault."""
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, number)
