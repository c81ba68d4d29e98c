"""Tokens per second, utilisation and peak memory of a training pass, beside what the planner predicts.

Log-probs, backward pass and a stateless SGD step (AdamW's state of a 7B model does not fit on one GPU) on one packed micro-batch of
bfloat16 (float32 on a CPU), with each layer's activations kept and with layers run again. On a GPU the pass is compiled, as
`trainer.compiled=true` has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from unified_rl.bench.gpu.device import best_seconds, memory_in_use, peak_flops, peak_memory
from unified_rl.bench.gpu.models import dtype_on, filled_rows, layout_of, random_model, shape_named
from unified_rl.models.compiled_forward import compiled_forward
from unified_rl.models.forward import Forward, plain_forward, response_outputs
from unified_rl.models.policy_model import decoder_of
from unified_rl.packing.packed_rows import PackedRows
from unified_rl.planning import memory
from unified_rl.planning.gpus import GIB
from unified_rl.planning.shapes import ModelShape


def measure(name: str, checkpointing: str, device: torch.device, rounds: int) -> Iterator[dict[str, Any]]:
    """The pass of a shape with activations kept ("none") or layers run again ("layers")."""
    way = "compiled" if device.type == "cuda" else "plain"
    yield training_pass(name, shape_named(name), checkpointing, device, rounds, way)


def training_pass(
    name: str, shape: ModelShape, checkpointing: str, device: torch.device, rounds: int, way: str = "plain"
) -> dict[str, Any]:
    """The pass of a shape, plain or "compiled"."""
    dtype = dtype_on(device)
    row_tokens, micro_batch_tokens = layout_of(name)
    sequences, packed = filled_rows(shape, row_tokens, micro_batch_tokens)
    base = memory_in_use(device)
    model, packed = random_model(shape, dtype, device), packed.to(device)
    forward: Forward = compiled_forward(decoder_of(model)) if way == "compiled" else plain_forward
    if checkpointing == "layers":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()  # transformers checkpoints only then; there is no dropout
    seconds = best_seconds(_update(model, packed, forward), rounds, device)
    lengths = np.array([sequence.input_tokens for sequence in sequences], dtype=float)
    context = float((lengths**2).sum() / (2 * lengths.sum()))
    flops = 3 * shape.forward_flops(float(lengths.sum()), context, float(len(packed.targets_N)))
    tokens = packed.input_ids_RL.numel()
    planned = memory.single_pass_bytes(
        shape, tokens, packed.input_ids_RL.shape[1], dtype.itemsize, checkpointing, predicted=len(packed.targets_N)
    )
    return {
        "what": "training pass",
        "shape": name,
        "layers": "kept" if checkpointing == "none" else "run again",
        "way": way,
        "parameters": shape.parameters,
        "micro_batch_tokens": tokens,
        "tokens_per_second": float(lengths.sum()) / seconds,
        "model_flops_utilisation": flops / seconds / peak_flops(device),
        "peak_gib": (peak_memory(device) - base) / GIB,
        "planned_peak_gib": planned / GIB,
    }


def _update(model: PreTrainedModel, packed: PackedRows, forward: Forward) -> Callable[[], None]:
    """One update on the packed rows, as a call."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)

    def update() -> None:
        optimizer.zero_grad(set_to_none=True)
        logp_N = response_outputs(model, packed, forward=forward)["logp"]
        (logp_N.sum() / len(logp_N)).neg().backward()
        optimizer.step()

    return update
