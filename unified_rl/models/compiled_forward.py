"""A decoder's pass over packed rows, forward and backward, by torch.compile: what lies between its matrix products becomes loops.

On a GPU in half precision that is done layer by layer (`compiled_layers.py`), here for the decoder as a whole. A small model's
training pass spends a third of its time on element-wise operations and on the way to them. Compiling takes some ten seconds to a
minute in a process, less where torch's own cache on disk knows the program.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from unified_rl.base.errors import ConfigError
from unified_rl.models.attention import attention_mask, takes_blocks
from unified_rl.models.compiled_layers import MOST_PROGRAMS, CompiledLayers, allow_programs
from unified_rl.models.cpp_compiler import compiler_failed
from unified_rl.models.decoder_pass import last_hidden
from unified_rl.models.forward import Forward
from unified_rl.models.reach import Reach, reaches
from unified_rl.models.traits import rows_of
from unified_rl.packing.packed_rows import PackedRows

#: Rows and tokens of the batch that is compiled with; they differ, or their being equal would be taken for a rule.
_EXAMPLE = 8, 96


def compiled_forward(decoder: PreTrainedModel) -> Forward:
    """The compiled pass that suits the decoder's device: layer by layer where it attends by blocks, else the whole decoder's.

    Raises:
        ConfigError: the compiler fails, or cannot take the model's pass.
    """
    by_blocks = rows_of(decoder) == "shared prompts" and takes_blocks(decoder, decoder.device)
    return CompiledLayers() if by_blocks else CompiledForward(decoder)


class CompiledForward:
    """Implements `Forward`: one program for any number and length of rows and all weights of a shape, with a gradient and without.

    What is compiled is a function of the model's shape and of the threads, never of a run's first batch, for it is made here, with
    a batch of fixed size: a run that is taken up again computes what it would have computed. From the plain pass it differs by
    rounding.
    """

    def __init__(self, decoder: PreTrainedModel) -> None:
        """Compile for a decoder's shape. Others are compiled when they come.

        Raises:
            ConfigError: the compiler fails, or cannot take the model's pass as one program.
        """
        if rows_of(decoder) != "shared prompts" or not isinstance(reaches(decoder.config), Reach):
            raise ConfigError(
                f"trainer.compiled=true is for models whose layers all take one mask of packed rows; {type(decoder).__name__} is "
                "none, so leave trainer.compiled out"
            )
        # On a CPU one process: a pool of compiling workers would use more cores than the caller has threads.
        on_cpu = decoder.device.type == "cpu"
        options: dict[str, Any] | None = {"compile_threads": 1, "cpp.threads": torch.get_num_threads()} if on_cpu else None
        allow_programs(MOST_PROGRAMS)
        self._run = torch.compile(last_hidden, fullgraph=True, dynamic=True, options=options)
        try:
            self._compile(decoder)
        except (RuntimeError, OSError) as error:
            raise compiler_failed("trainer.compiled", f"the training pass of {type(decoder).__name__}", error) from error

    def __call__(self, decoder: PreTrainedModel, packed: PackedRows) -> Tensor:
        rows, length = packed.input_ids_RL.shape
        mask_R1LL = attention_mask(decoder, packed)
        assert isinstance(mask_R1LL, Tensor)
        inputs = packed.input_ids_RL, packed.position_ids_RL, mask_R1LL
        if min(rows, length) > 1:
            hidden_RLD = self._run(decoder, *inputs)
        else:
            hidden_RLD = self._run(decoder, *_with_two(*inputs))[:rows, :length]
        return hidden_RLD.flatten(0, 1).index_select(0, packed.hidden_index_N)

    def _compile(self, decoder: PreTrainedModel) -> None:
        rows, length = _EXAMPLE
        length = min(length, decoder.config.max_position_embeddings)
        device = decoder.device
        input_ids_RL = torch.zeros(rows, length, dtype=torch.int64, device=device)
        position_ids_RL = torch.arange(length, device=device).repeat(rows, 1)
        inputs = input_ids_RL, position_ids_RL, torch.zeros(rows, 1, length, length, dtype=decoder.dtype, device=device)
        trained = [parameter for parameter in decoder.parameters() if parameter.requires_grad]
        with torch.no_grad():
            self._run(decoder, *inputs)
        if trained:
            with torch.enable_grad():
                torch.autograd.grad(self._run(decoder, *inputs).sum(), trained, allow_unused=True)


def _with_two(input_ids_RL: Tensor, position_ids_RL: Tensor, mask_R1LL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The batch with at least two rows of two tokens: torch.compile takes a size of 1 for a rule and would make another program."""
    rows, length = (max(0, 2 - size) for size in input_ids_RL.shape)
    padded_mask = pad(mask_R1LL, (0, length, 0, length, 0, 0, 0, rows), value=torch.finfo(mask_R1LL.dtype).min)
    return pad(input_ids_RL, (0, length, 0, rows)), pad(position_ids_RL, (0, length, 0, rows)), padded_mask
