"""The GPUs that can be planned for, with their vendors' figures."""

from __future__ import annotations

from dataclasses import dataclass

from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean


@dataclass(frozen=True)
class Gpu:
    """memory: bytes. bf16, tf32: peak FLOP/s of dense matrix products. bandwidth: bytes/s of its memory."""

    memory: float
    bf16: float
    tf32: float
    bandwidth: float


GIB = 2.0**30

#: NVIDIA's data sheets: dense tensor-core rates (half of those printed "with sparsity") of the SXM boards.
GPUS = {
    "A100-40GB": Gpu(40 * GIB, 312e12, 156e12, 1.555e12),
    "A100-80GB": Gpu(80 * GIB, 312e12, 156e12, 2.039e12),
    "H100-80GB": Gpu(80 * GIB, 989e12, 494e12, 3.35e12),
    "H200-141GB": Gpu(140 * GIB, 989e12, 494e12, 4.8e12),
    "L4-24GB": Gpu(22.5 * GIB, 121e12, 60e12, 0.3e12),
    "L40S-48GB": Gpu(45 * GIB, 362e12, 183e12, 0.864e12),
    "RTX3090-24GB": Gpu(24 * GIB, 71e12, 35.5e12, 0.936e12),
    "RTX4090-24GB": Gpu(24 * GIB, 165e12, 82.6e12, 1.008e12),
}


def find_gpu(name: str) -> Gpu:
    """The GPU called `name`. Raises ConfigError with the nearest known name."""
    if name not in GPUS:
        raise ConfigError(f"plan.gpu={name!r} is not known{did_you_mean(name, list(GPUS))}; known: {', '.join(GPUS)}")
    return GPUS[name]
