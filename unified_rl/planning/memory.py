"""Bytes that each part of a run keeps on one GPU, phase by phase. Pure arithmetic; every formula says where it is from.

A step has five phases: "rollout" (sampling), "score" (reference, old log-probs and reward model, no gradient), and of an update
"head" (a micro-batch's forward pass and the head's backward pass, when all activations are kept), "layers" (the rest of its
backward pass, at the end of which they are gone and all gradients there) and "step" (the optimiser's). A part is counted in the
phases in which it is on the GPU, and the run needs the largest sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unified_rl.planning.shapes import ModelShape

PHASES = ("rollout", "score", "head", "layers", "step")
UPDATE = ("head", "layers", "step")
#: Of `ops.exact_head` and `ops.bfloat16_head`: logits in float32 held at once, and bytes of residuals kept for the backward pass
#: (those files need torch, so the numbers stand here again; a test compares).
CHUNK_ELEMENTS, GPU_CHUNK_ELEMENTS, KEPT_BYTES = 2**24, 2**26, 2 * 2**30


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

    def ways(self, stage: int) -> str:
        """The same in words, to follow a formula; "" for one GPU."""
        return f" / {self.gpus} GPUs (ZeRO-{self.zero_stage})" if self.divided(stage) > 1 else ""


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


def gathered_bytes(shape: ModelShape, sharding: Sharding, still: bool = False) -> float:
    """What ZeRO-3 gathers at a time: the largest layer's weights whole, and its gradients (the embedding is a layer of its own).

    still: the weights are not trained, and have no gradients.
    """
    if sharding.zero_stage < 3:
        return 0.0
    return (1 if still else 2) * sharding.precision * max(shape.layer_parameters, shape.head_parameters)


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
    """What the layers keep of a micro-batch of `tokens` until its backward pass.

    checkpointing "none": every layer's activations. "layers": every layer's input.
    """
    if checkpointing == "layers":
        return tokens * shape.num_layers * precision * shape.hidden_size
    return tokens * shape.num_layers * layer_activation_bytes(shape, precision)


def recomputed_bytes(shape: ModelShape, tokens: int, precision: int, checkpointing: str) -> float:
    """All activations of the one layer that is being run again in the backward pass."""
    return tokens * layer_activation_bytes(shape, precision) if checkpointing == "layers" else 0.0


def mask_bytes(tokens: int, row_tokens: int, precision: int) -> float:
    """Of packed rows: in half precision, all rows as one, four tables of which blocks of 128 tokens see which; in float32 the
    additive and the boolean mask, tokens x row length numbers each."""
    if precision < 4:
        return 4 * 4.0 * (tokens / 128) ** 2
    return tokens * row_tokens * (precision + 1.0)


def logit_bytes(shape: ModelShape, tokens: int, precision: int, more_chunks: int = 0) -> float:
    """Chunks of logits in float32 that a pass of log-probs holds at once (ops/logprobs.py): one in bfloat16, where a program reads
    them once, two in float32.

    more_chunks: for a gradient of the entropy one, for a divergence from a teacher two.
    """
    most, chunks = (CHUNK_ELEMENTS, 2) if precision == 4 else (GPU_CHUNK_ELEMENTS, 1)
    return (chunks + more_chunks) * 4.0 * min(most, tokens * shape.vocabulary)


def head_bytes(shape: ModelShape, tokens: int, precision: int, more_chunks: int = 0, still: bool = False) -> float:
    """The head's pass, forward and backward: logits, residuals, the head's gradient, and hidden states of the predicted tokens.

    In bfloat16 (ops/bfloat16_head.py) residuals of 2 bytes per logit are kept from the forward pass to the backward pass, which
    then needs no logits. Beyond `KEPT_BYTES`, and where more than log-probs is differentiated, it recomputes them, and sums the
    gradient over slabs in float32. In float32 (ops/exact_head.py) it always recomputes them; those that are small enough to be held
    whole go through plain autograd, which has log-probs, their gradient and the logits' at once. A head that is not trained
    (`still`) has no gradient.
    """
    hidden = tokens * shape.hidden_size * (3.0 * precision + 4)
    gradient = 0.0 if still else float(precision * shape.head_parameters)
    logits, count = logit_bytes(shape, tokens, precision, more_chunks), tokens * shape.vocabulary
    if precision == 4:
        return logits + hidden + gradient + (4.0 * count if count <= CHUNK_ELEMENTS else 0.0)
    if 2 * count <= KEPT_BYTES and not more_chunks:
        return 2.0 * count + max(logits, hidden + gradient)
    slabs = 2 * 4.0 * shape.head_parameters if 2 * count > KEPT_BYTES and not still else 0.0  # the sum, and what is added to it
    return min(2.0 * count, KEPT_BYTES) + logits + hidden + gradient + slabs


def tied_gradient_bytes(shape: ModelShape, precision: int) -> float:
    """The embedding's own gradient, beside the head's that it is added to where both are one matrix."""
    return float(precision * shape.head_parameters) if shape.tied_embeddings else 0.0


def pass_parts(
    shape: ModelShape,
    tokens: int,
    row_tokens: int,
    precision: int,
    checkpointing: str,
    *,
    predicted: int = 0,
    more_chunks: int = 0,
    accumulated: bool = True,
    still: bool = False,
) -> list[Part]:
    """The parts of one micro-batch's pass.

    Args:
        tokens: of the micro-batch, padding included. predicted: of them, those whose log-probs are wanted; 0 = all. more_chunks:
            see `logit_bytes`. accumulated: see `trained_model`; layers' inputs go as gradients come, and meet all of them only
            where these were there before. still: nothing but adapters is trained.
    """
    layers = layer_parts(shape, tokens, row_tokens, precision, checkpointing, accumulated)
    head = head_parts(shape, predicted or tokens, precision, more_chunks, still)
    return [part for part in layers + head if part.bytes]


def layer_parts(
    shape: ModelShape, tokens: int, row_tokens: int, precision: int, checkpointing: str, accumulated: bool
) -> list[Part]:
    """What a pass keeps for the layers; see `pass_parts`."""
    says = "every layer's" if checkpointing == "none" else "layers' inputs"
    return [
        Part(
            "activations",
            activation_bytes(shape, tokens, precision, checkpointing),
            ("head", "layers") if checkpointing == "layers" and accumulated else ("head",),
            f"{says}, {tokens} tokens per micro-batch",
        ),
        Part(
            "layer run again", recomputed_bytes(shape, tokens, precision, checkpointing), ("layers",), "one layer's activations"
        ),
        Part(
            "attention mask",
            mask_bytes(tokens, row_tokens, precision),
            ("score", "head", "layers"),
            f"{tokens} x {row_tokens} tokens",
        ),
    ]


def head_parts(shape: ModelShape, predicted: int, precision: int, more_chunks: int, still: bool = False) -> list[Part]:
    """What a pass keeps for the log-probs of `predicted` tokens, and for what their gradient is."""
    of_head = "" if still else "the head's gradient, and "
    return [
        Part(
            "log-prob buffers",
            logit_bytes(shape, predicted, precision, more_chunks),
            ("score",),
            f"logits in chunks, vocabulary {shape.vocabulary:,}",
        ),
        Part(
            "log-probs and their gradient",
            head_bytes(shape, predicted, precision, more_chunks, still),
            ("head",),
            f"{of_head}2 B per logit" if precision < 4 else f"{of_head}logits in chunks",
        ),
        Part(
            "embedding's gradient",
            0.0 if still else tied_gradient_bytes(shape, precision),
            ("layers",),
            "beside the head's, which is tied to it",
        ),
    ]


def single_pass_bytes(
    shape: ModelShape, tokens: int, row_tokens: int, precision: int, checkpointing: str, *, predicted: int
) -> float:
    """Peak of an update of one micro-batch, without an optimiser's state."""
    sharding = Sharding(precision=precision, gradient=precision, optimizer=0)
    parts = trained_model("policy", shape.parameters, shape, sharding, accumulated=False)
    parts += pass_parts(shape, tokens, row_tokens, precision, checkpointing, predicted=predicted, accumulated=False)
    return max(peak(parts).values())


def kv_cache_bytes(shape: ModelShape, sequences: int, tokens: int, precision: int) -> float:
    """Keys and values of `sequences` responses of `tokens` tokens, prompt included, generated at once on one GPU."""
    return float(sequences * tokens * shape.kv_bytes(precision))


def trained_model(name: str, parameters: int, shape: ModelShape, sharding: Sharding, *, accumulated: bool = True) -> list[Part]:
    """The parts of one trained model, `name` being its role.

    Args:
        accumulated: over several micro-batches, so that gradients are there while the next one's activations are. Of an update of
            one micro-batch they are made as its activations go.
    """
    offloaded = "in the host's memory" if sharding.offload != "none" else ""
    parts = [
        Part(
            f"{name}: weights",
            weight_bytes(parameters, sharding),
            PHASES,
            "in the host's memory"
            if sharding.offload == "optimizer_and_parameters"
            else f"{sharding.precision} B x P{sharding.ways(3)}",
        ),
        Part(
            f"{name}: gradients",
            gradient_bytes(parameters, sharding),
            UPDATE if accumulated else UPDATE[1:],
            offloaded if offloaded and sharding.zero_stage >= 2 else f"{sharding.gradient} B x P{sharding.ways(2)}",
        ),
        Part(
            f"{name}: optimiser",
            optimizer_bytes(parameters, sharding),
            PHASES,
            offloaded or f"{sharding.optimizer} B x P{sharding.ways(1)}",
        ),
    ]
    extra = [
        Part(
            f"{name}: gradients in float32",
            gradient_copy_bytes(parameters, sharding),
            ("step",),
            f"4 B x P{sharding.ways(1)}, for the optimiser's step",
        ),
        Part(f"{name}: gathered layer", gathered_bytes(shape, sharding), PHASES, "the largest layer and its gradients, whole"),
    ]
    return parts + [part for part in extra if part.bytes]


def adapted_model(
    name: str, parameters: int, trained: int, shape: ModelShape, sharding: Sharding, *, accumulated: bool = True
) -> list[Part]:
    """The parts of a model of which an adapter is trained.

    Args:
        parameters: under the adapter; 0 = those of another model. trained: of the adapter. accumulated: see `trained_model`.
    """
    host = sharding.offload == "optimizer_and_parameters"
    under = Part(
        f"{name}: weights under its adapter",
        weight_bytes(parameters, sharding),
        PHASES,
        "in the host's memory"
        if host
        else f"{sharding.precision} B x P{sharding.ways(3)}, not trained"
        if parameters
        else "the policy's",
    )
    gathered = Part(f"{name}: gathered layer", gathered_bytes(shape, sharding, still=True), PHASES, "the largest layer, whole")
    own = trained_model(f"{name}'s adapter", trained, shape, sharding, accumulated=accumulated)
    return [under, *(part for part in own if not part.name.endswith("gathered layer")), *([gathered] if gathered.bytes else [])]


def host_bytes(parameters: int, sharding: Sharding, still: int = 0) -> float:
    """What offload keeps in the host's memory, per GPU: optimiser state and float32 gradients, and under
    optimizer_and_parameters the weights. still: weights that are not trained."""
    if sharding.offload == "none":
        return 0.0
    state = (sharding.optimizer + 4) * parameters / sharding.divided(1)
    weights = (
        sharding.precision * (parameters + still) / sharding.divided(3)
        if sharding.offload == "optimizer_and_parameters"
        else 0.0
    )
    return state + weights


def peak(parts: Sequence[Part]) -> dict[str, float]:
    """Phase -> bytes of all parts that are on the GPU in it."""
    return {phase: sum(part.bytes for part in parts if phase in part.phases) for phase in PHASES}
