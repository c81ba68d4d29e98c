"""The training pass of large models on one GPU, with random weights, beside what the planner predicts.

    unified-rl bench-gpu                        7B, 1.3B and 0.5B on cuda; exits with 2 where there is no CUDA device
    unified-rl bench-gpu shape=7b out=gpu.json
    unified-rl bench-gpu device=cpu shape=tiny          the same code without a GPU

Per shape, with each layer's activations kept and with layers run again: tokens/s and model-FLOPs utilisation of log-probs (chunked,
at the shape's vocabulary), backward pass and a stateless SGD step (AdamW's state of a 7B model does not fit on one GPU), in packed
rows of bfloat16 (float32 on a CPU), and peak memory. Then the log-probs alone against full logits. The head's float32 products run
as TF32, which is exact for the forward products of bfloat16 numbers. Best of several rounds.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel, Qwen2Config

from unified_rl.base import rng
from unified_rl.bench.training import matmul_peak
from unified_rl.models.forward import response_logps
from unified_rl.models.norms import use_torch_rms_norm
from unified_rl.ops.logprobs import token_logps
from unified_rl.packing.packed_rows import PackedRows, TokenSequence, pack
from unified_rl.planning import memory
from unified_rl.planning.gpus import GIB, GPUS
from unified_rl.planning.shapes import ModelShape, shape_of
from unified_rl.presets import loading

NO_CUDA = 2
STACKS = {"7b": "deepseekmath_7b", "1.3b": "deepseekmath_1_3b", "0.5b": "qwen2_5_0_5b"}
TINY = ModelShape(64, 2, 4, 2, 16, 128, 512, 512)
#: Tokens of a row and of a micro-batch.
LAYOUTS = {"tiny": (128, 256)}
LARGE_LAYOUT = (4096, 4096)
CHECKPOINTING = ("none", "layers")


def run(kind: str, shapes: Sequence[str], rounds: int, out: Path | None) -> int:
    """Measure, print a line per result; returns the exit status.

    Args:
        kind: cuda or cpu. shapes: names of `STACKS`, or tiny; () = all but tiny. out: JSON file for the results.
    """
    if kind == "cuda" and not torch.cuda.is_available():
        print("bench-gpu: no CUDA device here; run it on a machine with one (or device=cpu shape=tiny)", file=sys.stderr)
        return NO_CUDA
    torch.set_float32_matmul_precision("high")
    device, results = torch.device(kind), []
    for name in shapes or STACKS:
        shape = shape_named(name)
        for checkpointing in CHECKPOINTING:
            results.append(_guarded(training_pass, name, shape, checkpointing, device, rounds))
            print(_line(results[-1]), flush=True)
        results.append(_guarded(logp_pass, name, shape, "none", device, rounds))
        print(_line(results[-1]), flush=True)
    if out:
        out.write_text(json.dumps({"device": device_name(device), "results": results}, indent=1) + "\n")
    return 0


def shape_named(name: str) -> ModelShape:
    """A stack's shape, or the tiny one."""
    return TINY if name == "tiny" else shape_of(loading.load_config([f"stack={STACKS[name]}", "method=grpo"]))[0]


def random_model(shape: ModelShape, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """A model of this shape with random weights, made on the device."""
    family = Qwen2Config if shape.qkv_bias else LlamaConfig
    config = family(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.max_positions,
        tie_word_embeddings=shape.tied_embeddings,
        attention_dropout=0.0,
    )
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return use_torch_rms_norm(model)


def filled_rows(shape: ModelShape, row_tokens: int, micro_batch_tokens: int) -> tuple[list[TokenSequence], PackedRows]:
    """Random prompts and responses that fill one micro-batch: rows of several documents, as in SFT."""
    random = rng.generator(0, "bench_gpu")
    sequences: list[TokenSequence] = []
    for _ in range(micro_batch_tokens // row_tokens):
        left = row_tokens
        while left > row_tokens // 16:
            tokens = min(left, int(random.integers(row_tokens // 8, row_tokens // 2)))
            ids = random.integers(0, shape.vocabulary, tokens + 1)
            sequences.append(TokenSequence(ids[: tokens // 8 + 1], ids[tokens // 8 + 1 :]))
            left -= tokens
    return sequences, pack(sequences, row_tokens=row_tokens, micro_batch_tokens=2 * micro_batch_tokens)[0]


def training_pass(name: str, shape: ModelShape, checkpointing: str, device: torch.device, rounds: int) -> dict[str, Any]:
    """Tokens/s, utilisation and peak memory of log-probs, backward pass and SGD step, and the planner's figures."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    row_tokens, micro_batch_tokens = LAYOUTS.get(name, LARGE_LAYOUT)
    sequences, packed = filled_rows(shape, row_tokens, micro_batch_tokens)
    base = memory_in_use(device)
    model, packed = random_model(shape, dtype, device), packed.to(device)
    if checkpointing == "layers":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()  # transformers checkpoints only then; there is no dropout
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        logp_N, _ = response_logps(model, packed)
        (logp_N.sum() / len(logp_N)).neg().backward()
        optimizer.step()

    seconds = best_seconds(step, rounds, device)
    lengths = np.array([sequence.input_tokens for sequence in sequences], dtype=float)
    context = float((lengths**2).sum() / (2 * lengths.sum()))
    flops = 3 * shape.forward_flops(float(lengths.sum()), context, float(len(packed.targets_N)))
    tokens = packed.input_ids_RL.numel()
    return {
        "shape": name,
        "what": "training pass",
        "checkpointing": checkpointing,
        "parameters": shape.parameters,
        "micro_batch_tokens": tokens,
        "tokens_per_second": float(lengths.sum()) / seconds,
        "model_flops_utilisation": flops / seconds / peak_flops(device),
        "peak_gib": (peak_memory(device) - base) / GIB,
        "planned_peak_gib": planned_bytes(shape, tokens, packed.input_ids_RL.shape[1], dtype.itemsize, checkpointing) / GIB,
    }


def logp_pass(name: str, shape: ModelShape, checkpointing: str, device: torch.device, rounds: int) -> dict[str, Any]:
    """Milliseconds and peak memory of chunked log-probs, forward and backward, against full logits."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    tokens = LAYOUTS.get(name, LARGE_LAYOUT)[1]
    hidden_ND = torch.randn(tokens, shape.hidden_size, device=device, dtype=dtype, requires_grad=True)
    weight_VD = (torch.randn(shape.vocabulary, shape.hidden_size, device=device, dtype=dtype) * 0.02).requires_grad_()
    targets_N = torch.randint(shape.vocabulary, (tokens,), device=device)
    found: dict[str, Any] = {"shape": name, "what": "log-probs", "tokens": tokens, "vocabulary": shape.vocabulary}

    def chunked() -> None:
        token_logps(hidden_ND, weight_VD, None, targets_N)[0].sum().backward()

    def full() -> None:
        logits_NV = nn.functional.linear(hidden_ND, weight_VD).float()
        torch.log_softmax(logits_NV, -1).gather(-1, targets_N[:, None]).sum().backward()

    for way, run in (("chunked", chunked), ("full", full)):
        before = memory_in_use(device)
        found[f"{way}_ms"] = 1e3 * best_seconds(run, rounds, device)
        found[f"{way}_gib"] = (peak_memory(device) - before) / GIB
        hidden_ND.grad = weight_VD.grad = None
    return found


def planned_bytes(shape: ModelShape, tokens: int, row_tokens: int, precision: int, checkpointing: str) -> float:
    """The planner's sum for a model without optimiser state."""
    return (
        2 * precision * shape.parameters
        + memory.activation_bytes(shape, tokens, precision, checkpointing)
        + memory.mask_bytes(tokens, row_tokens, precision)
        + memory.logp_bytes(shape, tokens, precision)
    )


def best_seconds(run: Callable[[], object], rounds: int, device: torch.device) -> float:
    """The shortest of `rounds` runs after a first one, which compiles kernels and fills the allocator."""
    run()
    found = []
    for _ in range(rounds):
        wait(device)
        start = time.perf_counter()
        run()
        wait(device)
        found.append(time.perf_counter() - start)
    return min(found)


def wait(device: torch.device) -> None:
    """Until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def memory_in_use(device: torch.device) -> int:
    """Bytes in use now; what `peak_memory` counts begins anew (on a CPU only where it exceeds the peak so far)."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    return peak_memory(device)


def peak_memory(device: torch.device) -> int:
    """Most bytes in use: of torch's allocator on a GPU, of the process's resident set on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_flops(device: torch.device) -> float:
    """The device's peak: of the GPU's data sheet, or, where that is not known here and on a CPU, of a large matrix product."""
    if device.type == "cpu":
        return matmul_peak(512, rounds=5) * 1e9
    models = {name.split("-")[0].removeprefix("RTX"): gpu for name, gpu in GPUS.items()}
    known = [model for model in models if model in device_name(device)]
    if known:
        return models[max(known, key=len)].bf16  # "L4" stands in "L40S" too
    a = torch.ones(8192, 8192, dtype=torch.bfloat16, device=device)
    out = torch.empty_like(a)
    return 2 * 8192**3 / best_seconds(lambda: torch.mm(a, a, out=out), 20, device)


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _guarded(
    measure: Callable[..., dict[str, Any]], name: str, shape: ModelShape, checkpointing: str, *rest: Any
) -> dict[str, Any]:
    """A measurement, or the fact that the device had too little memory for it."""
    try:
        return measure(name, shape, checkpointing, *rest)
    except torch.OutOfMemoryError:
        return {"shape": name, "checkpointing": checkpointing, "what": "out of memory"}
    finally:
        gc.collect()


def _line(result: dict[str, Any]) -> str:
    """A result as one line."""
    rest = {key: value for key, value in result.items() if key not in ("shape", "what")}
    cells = [f"{key} {value:,.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in rest.items()]
    return f"{result['shape']:>5} {result['what']}: " + ", ".join(cells)
