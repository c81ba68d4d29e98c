"""The device that is measured: its name and peaks, its clock, its memory."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable

import torch

from unified_rl.bench.training import matmul_peak
from unified_rl.planning.gpus import GPUS, Gpu


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def data_sheet(device: torch.device) -> Gpu | None:
    """The vendor's figures of this GPU; None where they are not known here."""
    models = {name.split("-")[0].removeprefix("RTX"): gpu for name, gpu in GPUS.items()}
    known = [model for model in models if model in device_name(device)]
    return models[max(known, key=len)] if known else None  # "L4" stands in "L40S" too


def peak_flops(device: torch.device) -> float:
    """The device's peak in bfloat16: of its data sheet, or, where that is not known and on a CPU, of a large matrix product."""
    if device.type == "cpu":
        return matmul_peak(512, rounds=5) * 1e9
    sheet = data_sheet(device)
    if sheet:
        return sheet.bf16
    a = torch.ones(8192, 8192, dtype=torch.bfloat16, device=device)
    out = torch.empty_like(a)
    return 2 * 8192**3 / best_seconds(lambda: torch.mm(a, a, out=out), 20, device)


def bandwidth(device: torch.device) -> float:
    """Bytes per second of the device's memory: of its data sheet, or of a large copy."""
    sheet = data_sheet(device) if device.type == "cuda" else None
    if sheet:
        return sheet.bandwidth
    a = torch.ones(2**26 if device.type == "cuda" else 2**22, device=device)
    out = torch.empty_like(a)
    return 2 * a.nbytes / best_seconds(lambda: out.copy_(a), 5, device)


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
