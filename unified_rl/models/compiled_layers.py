"""A decoder's pass by torch.compile on a GPU, layer by layer: one program for all layers, made in the time of one.

Only passes with a block mask run the program. Everything else that calls the layers (sampling with a cache, transformers' own
evaluation) finds them as they were.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from unified_rl.base.errors import ConfigError
from unified_rl.models.attention import block_input
from unified_rl.models.forward import predicting_hidden
from unified_rl.packing.packed_rows import PackedRows

#: Programs that one process may need: by length of row, with a gradient and without, by shapes and dtypes of models.
_MOST_PROGRAMS = 64


class CompiledLayers:
    """Implements `Forward`: the decoder's layers as one program for each length of a row, of which there are few.

    The plain pass but for rounding. Layers that are run again in the backward pass run the program again.
    """

    def __init__(self, backend: str = "inductor") -> None:
        self._program = torch.compile(_layer_pass, backend=backend, dynamic=False, fullgraph=True)

    def __call__(self, decoder: PreTrainedModel, packed: PackedRows) -> Tensor:
        """The states [N, D] that predict the response tokens. The first pass over a decoder lets its layers run the program.

        Raises:
            ConfigError: a decoder whose layers are not transformers' decoder layers.
        """
        layers = [part for part in decoder.modules() if isinstance(part, GradientCheckpointingLayer)]
        if not layers:
            raise ConfigError(f"{type(decoder).__name__} has no layers that can be compiled; leave trainer.compiled out")
        for layer in layers:
            if not isinstance(layer._compiled_call_impl, _LayerCall):
                layer._compiled_call_impl = _LayerCall(layer, self)
        return predicting_hidden(decoder, block_input(decoder, packed))

    def run(self, layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """A layer's output by the program."""
        with torch._dynamo.config.patch(recompile_limit=_MOST_PROGRAMS):
            return self._program(layer, *args, **kwargs)


class _LayerCall:
    """What a layer does when it is called. Copies of a module drop it, and run plainly until a compiled pass comes by."""

    def __init__(self, layer: nn.Module, forward: CompiledLayers) -> None:
        self._layer, self._forward = layer, forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if isinstance(kwargs.get("attention_mask"), BlockMask):
            return self._forward.run(self._layer, *args, **kwargs)
        return self._layer._call_impl(*args, **kwargs)


def _layer_pass(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
    return layer.forward(*args, **kwargs)
