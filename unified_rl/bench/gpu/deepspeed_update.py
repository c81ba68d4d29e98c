"""An update by DeepSpeed beside the bare pass: the same micro-batches, forward and backward, with nothing around them.

A process of its own, since DeepSpeed sets up process groups: `python -m unified_rl.bench.gpu.deepspeed_update SHAPE DEVICE ROUNDS`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from unified_rl.base import rng
from unified_rl.base.types import ONE_RANK
from unified_rl.bench.gpu.device import best_seconds, memory_in_use, peak_memory
from unified_rl.bench.gpu.jobs import printed_by
from unified_rl.bench.gpu.models import dtype_on, layout_of, random_model, shape_named
from unified_rl.config.engines import DeepSpeedConfig
from unified_rl.models.roles import Outputs, policy_role
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import Members, TokenSequence
from unified_rl.planning.gpus import GIB
from unified_rl.training.batch import Batch
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.trainers import build_trainer

MICRO_BATCHES = 8
STAGE = 2


def measure(name: str, device: torch.device, rounds: int, seconds_left: float) -> Iterator[dict[str, Any]]:
    """The ratio of the two, in a process of its own."""
    if importlib.util.find_spec("deepspeed") is None:
        yield {"what": "DeepSpeed", "shape": name, "not_measured": "deepspeed is not installed"}
        return
    words = [sys.executable, "-m", "unified_rl.bench.gpu.deepspeed_update", name, device.type, str(min(rounds, 3))]
    printed = printed_by(words, seconds_left)
    found = [json.loads(line) for line in printed.text.splitlines() if line.startswith('{"what"')]
    yield found[0] if found else {"what": "DeepSpeed", "shape": name, "not_measured": printed.why}


def update_and_bare_pass(name: str, device: torch.device, rounds: int) -> dict[str, Any]:
    """Seconds of an update of `MICRO_BATCHES` micro-batches by ZeRO-2, and of their passes alone."""
    row_tokens, micro_batch_tokens = layout_of(name)
    shape, layout, role = shape_named(name), Layout(row_tokens, micro_batch_tokens), policy_role(1.0)
    random = rng.generator(0, "bench_gpu_deepspeed")
    size = micro_batch_tokens // 8
    ids = random.integers(0, shape.vocabulary, (8 * MICRO_BATCHES, size + 1))
    batch = Batch([TokenSequence(row[: size // 8], row[size // 8 :]) for row in ids])
    model = random_model(shape, dtype_on(device), device).eval()
    micro_batches = [packed.to(device) for packed in layout.pack(list(batch), None, device)]

    def loss(outputs: Outputs, members: Members) -> Tensor:
        return -members.tokens(outputs["logp"]).sum() / len(batch)

    def bare() -> None:
        model.zero_grad(set_to_none=True)
        for packed in micro_batches:
            (-role(model, packed)["logp"].sum() / len(batch)).backward()

    seconds = {"bare_pass_seconds": best_seconds(bare, rounds, device)}
    model.zero_grad(set_to_none=True)
    base = memory_in_use(device)
    settings = DeepSpeedConfig(zero_stage=STAGE, activation_checkpointing="none")
    trainer = build_trainer("deepspeed", settings, model, role, AdamWOptions(1e-6, 100), layout, ONE_RANK)
    seconds["update_seconds"] = best_seconds(lambda: trainer.update(batch, loss), rounds, device)
    tokens = sum(sequence.input_tokens for sequence in batch)
    return {
        "what": "DeepSpeed",
        "shape": name,
        "zero_stage": STAGE,
        "micro_batches": len(micro_batches),
        **seconds,
        "update_over_bare_pass": seconds["update_seconds"] / seconds["bare_pass_seconds"],
        "tokens_per_second": tokens / seconds["update_seconds"],
        "more_gib": (peak_memory(device) - base) / GIB,
    }


if __name__ == "__main__":
    print(json.dumps(update_and_bare_pass(sys.argv[1], torch.device(sys.argv[2]), int(sys.argv[3]))), flush=True)
