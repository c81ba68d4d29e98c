"""Milliseconds of a decoding step of the torch generator, beside the time in which the memory's bandwidth allows one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, cast

import torch
from transformers import PreTrainedTokenizerBase

from unified_rl.base import rng
from unified_rl.base.types import Decoding, Problem, Prompt
from unified_rl.bench.generation import IdTokenizer
from unified_rl.bench.gpu.device import bandwidth, wait
from unified_rl.bench.gpu.models import dtype_on, random_model, shape_named
from unified_rl.planning.shapes import ModelShape
from unified_rl.presets.loading import load_config
from unified_rl.stages.generators import torch_sampler

PROMPTS, GROUP, PROMPT_TOKENS = 32, 8, 100
TINY_NEW_TOKENS, NEW_TOKENS = 8, 128


def measure(name: str, device: torch.device, rounds: int) -> Iterator[dict[str, Any]]:
    """256 rows to a fixed length: EOS is never drawn."""
    shape, dtype = shape_named(name), dtype_on(device)
    new_tokens = TINY_NEW_TOKENS if name == "tiny" else NEW_TOKENS
    model = random_model(shape, dtype, device).eval()
    words = ["method=grpo", f"generator.max_concurrent_sequences={PROMPTS * GROUP}", "generator=torch"]
    sampler = torch_sampler(load_config(words), model, cast(PreTrainedTokenizerBase, IdTokenizer(shape.vocabulary)))
    sampler.eos_token_ids = sampler.eos_token_ids[:0]
    random = rng.generator(0, "bench_gpu_decoding")
    prompts = [
        Prompt(Problem(str(i), "", ""), tuple(random.integers(3, shape.vocabulary, PROMPT_TOKENS).tolist()))
        for i in range(PROMPTS)
    ]
    seeds = [[GROUP * i + j for j in range(GROUP)] for i in range(PROMPTS)]
    seconds = []
    for tokens in (new_tokens, *[new_tokens] * min(rounds, 2)):  # the first captures or compiles what there is
        wait(device)
        start = time.perf_counter()
        groups = sampler.generate(prompts, seeds, Decoding(max_new_tokens=tokens), 0)
        wait(device)
        seconds.append(time.perf_counter() - start)
    made = sum(len(response) for group in groups for response in group)
    best = min(seconds[1:])
    yield {
        "what": "decoding",
        "shape": name,
        "rows": PROMPTS * GROUP,
        "new_tokens": new_tokens,
        "tokens_per_second": made / best,
        "ms_per_step": 1e3 * best / new_tokens,
        "roofline_ms": 1e3
        * step_bytes(shape, PROMPTS * GROUP, PROMPT_TOKENS + new_tokens / 2, dtype.itemsize)
        / bandwidth(device),
        "first_call_seconds": seconds[0],
        "shapes": len(sampler.static.steps) if sampler.static else 0,
    }


def step_bytes(shape: ModelShape, rows: int, context: float, precision: int) -> float:
    """Bytes that a step has to read: all weights once, and every row's keys and values."""
    return precision * shape.parameters + rows * context * shape.kv_bytes(precision)
