"""Options that only planning reads: the shape of the model a stack is made for, and the machine it is planned for. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import at_least, between, positive


@dataclass
class ArchitectureConfig:
    """The pretrained model that a stack is made for, so that it can be planned without the model's files.

    name: its repository on the Hugging Face Hub; "" = the stack's model is built from scratch, with the shape of section `model`.
    hidden_size, num_layers, num_heads, intermediate_size, vocabulary, max_positions: as in transformers' LlamaConfig.
    num_kv_heads: heads of keys and values; 0 = num_heads. head_size: width of a head; 0 = hidden_size / num_heads.
    tied_embeddings: whether the output head is the embedding.
    qkv_bias: whether the query, key and value projections have biases (Qwen2's have, Llama's have not).
    """

    name: str = ""
    hidden_size: int = 0
    num_layers: int = 0
    num_heads: int = 0
    num_kv_heads: int = 0
    head_size: int = 0
    intermediate_size: int = 0
    vocabulary: int = 0
    max_positions: int = 0
    tied_embeddings: bool = False
    qkv_bias: bool = False

    def __post_init__(self) -> None:
        sizes = ("hidden_size", "num_layers", "num_heads", "intermediate_size", "vocabulary", "max_positions")
        for size in (*sizes, "num_kv_heads", "head_size"):
            at_least(f"architecture.{size}", getattr(self, size), 0)
        missing = [size for size in sizes if self.name and not getattr(self, size)]
        if missing:
            raise ConfigError(f"architecture.{missing[0]} is missing: architecture.name={self.name} needs its whole shape")


@dataclass
class PlanConfig:
    """The machine that `unified-rl explain` plans for, and the assumptions behind its estimate of time. No run reads them.

    gpu: a name in unified_rl/planning/gpus.py; "" = no particular device: memory is counted, fit and time are not.
    gpus: per node. nodes: how many such nodes.
    prompt_tokens, response_tokens: mean lengths (response_tokens 0 = generator.max_new_tokens, the most there can be).
    utilisation: model-FLOPs utilisation of training and scoring, a share of the GPU's peak; 0 = as measured with the shape nearest
    in size (unified_rl/planning/utilisation.py).
    bandwidth_share: share of its memory bandwidth that decoding reaches. host_bandwidth: GB/s between a GPU and the host's memory.
    reserve: share of its memory that is left free (CUDA context, fragmentation).
    """

    gpu: str = ""
    gpus: int = 1
    nodes: int = 1
    prompt_tokens: int = 128
    response_tokens: int = 0
    utilisation: float = 0.0
    bandwidth_share: float = 0.6
    host_bandwidth: float = 20.0
    reserve: float = 0.08

    def __post_init__(self) -> None:
        for name, low in (("gpus", 1), ("nodes", 1), ("prompt_tokens", 1), ("response_tokens", 0)):
            at_least(f"plan.{name}", getattr(self, name), low)
        for name in ("bandwidth_share", "host_bandwidth"):
            positive(f"plan.{name}", getattr(self, name))
        between("plan.utilisation", self.utilisation, 0.0, 1.0)
        between("plan.bandwidth_share", self.bandwidth_share, 0.0, 1.0)
        between("plan.reserve", self.reserve, 0.0, 0.9)
