"""What DeepSpeed is told, from our options. Nothing here imports it before it is asked for."""

from __future__ import annotations

import importlib.util
import logging
import os
from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist

from unified_rl.base.errors import ConfigError
from unified_rl.config.engines import DeepSpeedConfig
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.ranks import open_group


def require_deepspeed() -> None:
    """Raise ConfigError with the remedy where DeepSpeed is not installed."""
    if importlib.util.find_spec("deepspeed") is None:
        raise ConfigError(
            "trainer.name=deepspeed needs the package deepspeed: pip install 'unified-rl[deepspeed]', or set engine=torch"
        )


def import_deepspeed(device: torch.device) -> ModuleType:
    """DeepSpeed, for this kind of device, quiet, and with a process group to work in even where there is one process only."""
    require_deepspeed()
    os.environ.setdefault("DS_ACCELERATOR", device.type)  # else it takes a GPU that it finds, whatever the model is on
    os.environ.setdefault("DEEPSPEED_LOG_LEVEL", "warning")
    import deepspeed

    # On a CPU it would compile a replacement of gloo's all-reduce at the first start: minutes, and for ever where another
    # process was killed while it compiled.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    os.environ.setdefault("LOCAL_RANK", "0")  # launchers set it; DeepSpeed insists on it without one too
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        open_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    return deepspeed


def engine_settings(
    options: AdamWOptions, settings: DeepSpeedConfig, dtype: torch.dtype, device: torch.device, ranks: int
) -> dict[str, Any]:
    """DeepSpeed's configuration of one trained role.

    Gradients are added up and exchanged in float32 whatever the weights' dtype. Stage 0 leaves clipping to the caller.
    """
    # Stage 2 exchanges each micro-batch's gradient before it adds it up; one rank gets back what it gave, which nothing rounds.
    alone = ranks == 1 and settings.zero_stage == 2 and dtype == torch.bfloat16
    return {
        "train_micro_batch_size_per_gpu": 1,  # it only counts samples with this
        # The trainer marks the last micro-batch itself and has the loss left unscaled. Any number above 1 will do here; with 1
        # the offloaded optimiser would keep the last micro-batch's gradient only.
        "gradient_accumulation_steps": 2,
        "gradient_clipping": options.max_grad_norm if settings.zero_stage else 0.0,
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": options.learning_rate,
                "betas": list(options.betas),
                "eps": options.eps,
                "weight_decay": options.weight_decay,
                **_fused(settings, device),
                # DeepSpeed's own kernel for an optimiser in host memory is compiled on first use; worth it beside a GPU only.
                "torch_adam": settings.offload == "none" or device.type == "cpu",
            },
        },
        # An update whose gradient is not finite is not made; in float32 that is DeepSpeed's rule anyway.
        "bf16": {"enabled": dtype == torch.bfloat16, "check_grad_overflow": True},
        "data_types": {"grad_accum_dtype": "fp32"},
        "communication_data_type": "bf16" if alone else "fp32",
        "zero_optimization": _zero(settings),
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
        "wall_clock_breakdown": False,
    }


def _fused(settings: DeepSpeedConfig, device: torch.device) -> dict[str, bool]:
    """One kernel for AdamW's step on a GPU, where torch's default makes copies of the gradient and of the state on the way."""
    return {"fused": True} if device.type == "cuda" and settings.offload == "none" else {}


def _zero(settings: DeepSpeedConfig) -> dict[str, Any]:
    zero: dict[str, Any] = {
        "stage": settings.zero_stage,
        "contiguous_gradients": True,
        "reduce_bucket_size": settings.bucket_elements,
        "allgather_bucket_size": settings.bucket_elements,
        "stage3_prefetch_bucket_size": settings.bucket_elements,
        "stage3_param_persistence_threshold": settings.whole_below,
    }
    if settings.offload != "none":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    if settings.offload == "optimizer_and_parameters":
        zero["offload_param"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    return zero
