"""Bytes that each part of a run keeps on one GPU, phase by phase. Pure arithmetic; every formula says where it is from.

A step has three phases: "rollout" (sampling), "score" (reference, old log-probs and reward model, no gradient) and "update".
A part is counted in the phases in which it is on the GPU, and the run needs the largest sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unified_rl.planning.shapes import ModelShape

PHASES = ("rollout", "score", "update")
#: `ops.logprobs.CHUNK_ELEMENTS`: logits held at once (that file needs torch, so the number stands here again; a test compares).
CHUNK_ELEMENTS = 2**24


@dataclass(frozen=True)
class Part:
    """One line of the memory table. formula: what was multiplied, in words."""

    name: str
    bytes: float
    phases: tuple[str, ...]
    formula: str


@dataclass(frozen=True)
class Sharding:
    """How a trained model lies on the GPUs.

    gpus: data-parallel ranks. zero_stage: 0-3. offload: as deepspeed.offload. precision: bytes per weight. gradient: bytes per
    weight in which gradients are added up over micro-batches.
    optimizer: bytes per weight of the optimiser's state (AdamW's two moments, and master weights where there are some).
    bucket_elements: as deepspeed.bucket_elements. gradient_copy: bytes per weight of the flat copy of the gradient that a step in
    mixed precision reads.
    """

    gpus: int = 1
    zero_stage: int = 0
    offload: str = "none"
    precision: int = 2
    gradient: int = 2
    optimizer: int = 12
    bucket_elements: int = 0
    gradient_copy: int = 4

    @property
    def mixed(self) -> bool:
        """Low-precision weights and gradients with float32 master weights."""
        return self.precision < 4 and self.optimizer == 12

    def divided(self, stage: int) -> int:
        """Over how many GPUs a part lies that ZeRO divides from `stage` on."""
        return self.gpus if self.zero_stage >= stage else 1


def weight_bytes(parameters: int, sharding: Sharding) -> float:
    """precision x P, divided from ZeRO-3 on; in the host's memory under offload=optimizer_and_parameters, which needs ZeRO-3."""
    if sharding.offload == "optimizer_and_parameters":
        return 0.0
    return sharding.precision * parameters / sharding.divided(3)


def gradient_bytes(parameters: int, sharding: Sharding) -> float:
    """gradient x P, divided from ZeRO-2 on; under offload a GPU keeps none of its share: it goes to the host as it is made.

    Source: ZeRO (1910.02054), section 3.
    """
    if sharding.offload != "none" and sharding.zero_stage >= 2:
        return 0.0
    return sharding.gradient * parameters / sharding.divided(2)


def optimizer_bytes(parameters: int, sharding: Sharding) -> float:
    """The optimiser's state, divided from ZeRO-1 on: 12 P where float32 master weights stand beside AdamW's two float32 moments.

    Source: ZeRO (1910.02054), section 3.1 (K = 12 for mixed-precision Adam).
    """
    if sharding.offload != "none":
        return 0.0
    return sharding.optimizer * parameters / sharding.divided(1)


def gradient_copy_bytes(parameters: int, sharding: Sharding) -> float:
    """DeepSpeed's step in mixed precision reads its share of the gradient in float32 and laid out flat: a copy, 4 P."""
    if not sharding.mixed or sharding.offload != "none":
        return 0.0
    return sharding.gradient_copy * parameters / sharding.divided(1)


def gathered_bytes(shape: ModelShape, sharding: Sharding) -> float:
    """What ZeRO-3 gathers at a time: the largest layer's weights whole, and its gradients (the embedding is a layer of its own)."""
    if sharding.zero_stage < 3:
        return 0.0
    return 2 * sharding.precision * max(shape.layer_parameters, shape.head_parameters)


def bucket_bytes(sharding: Sharding) -> float:
    """Two buckets on the way between GPUs (one is filled while the other travels); none on a single GPU."""
    return 2 * sharding.precision * sharding.bucket_elements if sharding.gpus > 1 else 0.0


def layer_activation_bytes(shape: ModelShape, precision: int) -> int:
    """Bytes per token that one layer keeps for its backward pass: what autograd saves in transformers' Llama under sdpa.

    Of width H, attention width A = heads x head size, MLP width I:
        two norms: the input in float32, what is scaled, and the result            2 (4 H + 2 x precision x H)
        attention: queries, keys and values (repeated for every head), its result  precision x 4 A
        MLP: gate, activated gate, up, their product                               precision x 4 I
        in float32: the attention's log-sum-exps (1 per head), the norms' scales   4 (heads + 2)
    Attention matrices are not kept: the kernel forms them again. A test counts the tensors that autograd really saves.
    """
    width, attention = shape.hidden_size, shape.num_heads * shape.head_size
    norms = 2 * (4 * width + 2 * precision * width)
    return norms + precision * 4 * (attention + shape.intermediate_size) + 4 * (shape.num_heads + 2)


def activation_bytes(shape: ModelShape, tokens: int, precision: int, checkpointing: str) -> float:
    """What the layers keep of a micro-batch of `tokens`.

    checkpointing "none": every layer's activations. "layers": every layer's input, and all of the layer that is run again.
    """
    one_layer = layer_activation_bytes(shape, precision)
    if checkpointing == "layers":
        return tokens * (shape.num_layers * precision * shape.hidden_size + one_layer)
    return tokens * shape.num_layers * one_layer


def mask_bytes(tokens: int, row_tokens: int, precision: int) -> float:
    """The additive and the boolean attention mask of packed rows: tokens x row length numbers each."""
    return tokens * row_tokens * (precision + 1.0)


def logp_bytes(shape: ModelShape, tokens: int, precision: int, chunks: int = 2) -> float:
    """Chunked log-probs (ops/logprobs.py): `chunks` chunks of logits (three where the entropy has a gradient), the head's gradient
    in float32, and, where the precision is lower, the head itself in float32; the hidden states of the predicted tokens."""
    chunk = min(CHUNK_ELEMENTS, tokens * shape.vocabulary)
    head = 4.0 * shape.head_parameters * (1 if precision == 4 else 2)
    return chunks * 4.0 * chunk + head + tokens * shape.hidden_size * precision


def kv_cache_bytes(shape: ModelShape, sequences: int, tokens: int, precision: int) -> float:
    """Keys and values of `sequences` responses of `tokens` tokens, prompt included, generated at once on one GPU."""
    return float(sequences * tokens * shape.kv_bytes(precision))


def trained_model(name: str, parameters: int, shape: ModelShape, sharding: Sharding) -> list[Part]:
    """The parts of one trained model, `name` being its role."""
    ways = f"/ {sharding.gpus} GPUs" if sharding.gpus > 1 else ""
    stage = sharding.zero_stage

    def over(first: int) -> str:
        return f" {ways} (ZeRO-{stage})" if ways and stage >= first else ""

    offloaded = "in the host's memory" if sharding.offload != "none" else ""
    parts = [
        Part(
            f"{name}: weights",
            weight_bytes(parameters, sharding),
            PHASES,
            "in the host's memory"
            if sharding.offload == "optimizer_and_parameters"
            else f"{sharding.precision} B x P{over(3)}",
        ),
        Part(
            f"{name}: gradients",
            gradient_bytes(parameters, sharding),
            ("update",),
            offloaded if offloaded and stage >= 2 else f"{sharding.gradient} B x P{over(2)}",
        ),
        Part(
            f"{name}: optimiser",
            optimizer_bytes(parameters, sharding),
            PHASES,
            offloaded or f"{sharding.optimizer} B x P{over(1)}",
        ),
    ]
    extra = [
        Part(
            f"{name}: gradients in float32",
            gradient_copy_bytes(parameters, sharding),
            ("update",),
            f"4 B x P{over(1)}, for the optimiser's step",
        ),
        Part(f"{name}: gathered layer", gathered_bytes(shape, sharding), PHASES, "the largest layer and its gradients, whole"),
    ]
    return parts + [part for part in extra if part.bytes]


def host_bytes(parameters: int, sharding: Sharding) -> float:
    """What offload keeps in the host's memory, per GPU: optimiser state and float32 gradients, and under
    optimizer_and_parameters the weights."""
    if sharding.offload == "none":
        return 0.0
    state = (sharding.optimizer + 4) * parameters / sharding.divided(1)
    weights = sharding.precision * parameters / sharding.divided(3) if sharding.offload == "optimizer_and_parameters" else 0.0
    return state + weights


def peak(parts: Sequence[Part]) -> dict[str, float]:
    """Phase -> bytes of all parts that are on the GPU in it."""
    return {phase: sum(part.bytes for part in parts if phase in part.phases) for phase in PHASES}
