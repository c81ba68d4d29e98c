"""Options of the engines for large models. No torch.

The trainer itself is chosen by `trainer.name` (`engine=deepspeed` is short for it), the generator by `generator.name`
(`generator=vllm`); what both trainers or both generators share stays in sections `trainer` and `generator`.
"""

from __future__ import annotations

from dataclasses import dataclass

from unified_rl.config.ranges import at_least, between, not_negative, one_of, positive

TRAINERS = ("torch", "deepspeed")
GENERATORS = ("torch", "vllm")
OFFLOADS = ("none", "optimizer", "optimizer_and_parameters")


@dataclass
class DeepSpeedConfig:
    """How DeepSpeed spreads each trained model over the ranks. Memory and speed depend on it, results do not.

    zero_stage: what is divided among the ranks: 0 nothing | 1 the optimiser's state | 2 and the gradients | 3 and the weights.
    offload: what waits in the host's memory: none | optimizer (its state and step) | optimizer_and_parameters.
    activation_checkpointing: none | layers (keep each layer's input only, and run the layer again in the backward pass).
    bucket_elements: gradients and weights that travel between ranks at a time.
    whole_below: weights of fewer elements (norms, biases) stay whole on every rank at stage 3.
    """

    zero_stage: int = 2
    offload: str = "none"
    activation_checkpointing: str = "none"
    bucket_elements: int = 50_000_000
    whole_below: int = 100_000

    def __post_init__(self) -> None:
        one_of("deepspeed.zero_stage", str(self.zero_stage), ("0", "1", "2", "3"))
        one_of("deepspeed.offload", self.offload, OFFLOADS)
        one_of("deepspeed.activation_checkpointing", self.activation_checkpointing, ("none", "layers"))
        at_least("deepspeed.bucket_elements", self.bucket_elements, 1)
        at_least("deepspeed.whole_below", self.whole_below, 0)


@dataclass
class VllmConfig:
    """How vLLM samples. One engine per rank, each with the whole model.

    placement: colocated (in the training process) | separate (in a process of its own beside it, on the same device).
    between_rollouts: awake (it keeps its memory) | asleep (weights wait in the host's memory, the KV cache is let go; CUDA only).
    execution: eager | graphs (compiled, with CUDA graphs: slower to start, faster to sample).
    gpu_memory_share: of the device's memory that the engine may take, weights included. cpu_cache_gib: KV cache on a CPU.
    max_logp_difference: mean |log-prob difference| between sampler and trainer, on a probe after each push of weights, beyond which
        the run stops; 0 = 1e-4 in float32, 0.01 in float16, 0.05 in bfloat16.
    """

    placement: str = "colocated"
    between_rollouts: str = "awake"
    execution: str = "eager"
    gpu_memory_share: float = 0.4
    cpu_cache_gib: float = 1.0
    max_logp_difference: float = 0.0

    def __post_init__(self) -> None:
        one_of("vllm.placement", self.placement, ("colocated", "separate"))
        one_of("vllm.between_rollouts", self.between_rollouts, ("awake", "asleep"))
        one_of("vllm.execution", self.execution, ("eager", "graphs"))
        between("vllm.gpu_memory_share", self.gpu_memory_share, 0.01, 1.0)
        positive("vllm.cpu_cache_gib", self.cpu_cache_gib)
        not_negative("vllm.max_logp_difference", self.max_logp_difference)
