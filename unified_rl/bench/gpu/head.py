"""The log-probs of a micro-batch's tokens alone, forward and backward: in chunks, and from full logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from unified_rl.bench.gpu.device import best_seconds, memory_in_use, peak_flops, peak_memory
from unified_rl.bench.gpu.models import dtype_on, layout_of, shape_named
from unified_rl.ops.logprobs import Head, token_outputs
from unified_rl.planning.gpus import GIB

#: Of a full row of 4,096 tokens, those that a response's prompt does not take.
SHARE_OF_ROW = 0.88


def measure(name: str, device: torch.device, rounds: int) -> Iterator[dict[str, Any]]:
    """Milliseconds and peak memory of both ways, beside the time of the three matrix products at the device's peak."""
    shape, dtype = shape_named(name), dtype_on(device)
    tokens = int(layout_of(name)[1] * SHARE_OF_ROW) // 8 * 8
    hidden_ND = torch.randn(tokens, shape.hidden_size, device=device, dtype=dtype, requires_grad=True)
    weight_VD = (torch.randn(shape.vocabulary, shape.hidden_size, device=device, dtype=dtype) * 0.02).requires_grad_()
    targets_N = torch.randint(shape.vocabulary, (tokens,), device=device)
    found: dict[str, Any] = {"what": "log-probs", "shape": name, "tokens": tokens, "vocabulary": shape.vocabulary}
    found["floor_ms"] = 1e3 * 3 * 2 * tokens * shape.head_parameters / peak_flops(device)

    def chunked() -> None:
        token_outputs(Head(hidden_ND, weight_VD), targets_N)["logp"].sum().backward()

    def full() -> None:
        logits_NV = nn.functional.linear(hidden_ND, weight_VD).float()
        torch.log_softmax(logits_NV, -1).gather(-1, targets_N[:, None]).sum().backward()

    for way, run in (("chunked", chunked), ("full", full)):
        hidden_ND.grad = weight_VD.grad = None
        before = memory_in_use(device)
        found[f"{way}_ms"] = 1e3 * best_seconds(run, rounds, device)
        found[f"{way}_gib"] = (peak_memory(device) - before) / GIB
    if found["full_gib"]:  # on a CPU only a new peak of the process counts
        found["chunked_over_full_gib"] = found["chunked_gib"] / found["full_gib"]
    yield found
