"""Tokens and FLOPs of one step, and an estimate of its time. Pure arithmetic on stated assumptions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from unified_rl.planning.gpus import Gpu
from unified_rl.planning.shapes import ModelShape


@dataclass(frozen=True)
class StepTokens:
    """Tokens of one step, over all GPUs.

    responses: sampled sequences (or demonstrations). prompt, response: tokens of one. sampled: whether the policy writes them.
    rows_share: responses that share one copy of their prompt in a packed row. beside: what is sampled beside the responses and read
    by no pass, as greedy baselines or to judge them, in responses of the same length.
    """

    responses: int
    responses_per_prompt: int
    prompt: int
    response: int
    rows_share: int
    sampled: bool
    beside: float = 0.0

    @property
    def prompt_tokens(self) -> float:
        """Prompt tokens that go through a training or scoring pass: one copy for the responses that share it."""
        groups = self.responses / self.responses_per_prompt
        return groups * math.ceil(self.responses_per_prompt / self.rows_share) * self.prompt

    @property
    def response_tokens(self) -> float:
        return float(self.responses * self.response)

    @property
    def read(self) -> float:
        """Tokens that the model reads in one pass."""
        return self.prompt_tokens + self.response_tokens

    @property
    def context(self) -> float:
        """Tokens that a response token attends to on average: the prompt, and half of the response."""
        return self.prompt + self.response / 2


def sharing(responses_per_prompt: int, prompt: int, response: int, row_tokens: int) -> int:
    """How many responses share a prompt's copy in a packed row (packing/packed_rows.py)."""
    return max(1, min(responses_per_prompt, (row_tokens - prompt) // max(1, response)))


def pass_flops(shape: ModelShape, tokens: StepTokens) -> float:
    """One forward pass over the step's sequences, the head on response tokens only."""
    return shape.forward_flops(tokens.read, tokens.context, tokens.response_tokens)


def update_flops(shape: ModelShape, tokens: StepTokens, adapter: int = 0) -> float:
    """Forward and backward: three forward passes' worth, the "model FLOPs" of MFU; work done twice to save memory is not in.

    adapter: parameters of an adapter that is trained in place of all weights, whose gradients, a pass worth, are then not formed.

    Source: PaLM (2204.02311), appendix B.
    """
    once = pass_flops(shape, tokens)
    return 2 * once + 3 * 2.0 * adapter * tokens.read if adapter else 3 * once


def sampling_flops(shape: ModelShape, tokens: StepTokens) -> float:
    """Each prompt once, each token that is sampled once."""
    if not tokens.sampled:
        return 0.0
    prompts = tokens.responses / tokens.responses_per_prompt * tokens.prompt
    written = tokens.response_tokens + tokens.beside * tokens.response
    return shape.forward_flops(prompts + written, tokens.context, written)


def decode_seconds(
    shape: ModelShape,
    tokens: StepTokens,
    gpu: Gpu,
    *,
    gpus: int,
    at_once: int,
    precision: int,
    bandwidth_share: float,
    utilisation: float,
) -> float:
    """Time to sample a step's responses: every decoding step reads all weights and all running sequences' keys and values once.

    Args:
        at_once: sequences that one GPU generates together; more wait for the next wave.
    """
    if not tokens.sampled:
        return 0.0
    per_gpu = math.ceil((tokens.responses + tokens.beside) / gpus)
    running = min(at_once, per_gpu)
    waves = math.ceil(per_gpu / running)
    read = precision * shape.parameters + running * tokens.context * shape.kv_bytes(precision)
    compute = shape.forward_flops(running, tokens.context, running) / (gpu.bf16 * utilisation)
    return waves * tokens.response * max(read / (gpu.bandwidth * bandwidth_share), compute)
