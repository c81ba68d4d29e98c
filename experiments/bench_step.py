"""Seconds of a whole GRPO step of ours, split into generation, reward and training, and the share of the matrix-multiply peak.

The 0.87M-parameter Llama and the 64 responses (8 prompts x 8) of the reference figure: TRL 1.16's GRPOTrainer, 0.65 s on one core
and 0.54 s on two for responses of about 43 tokens, float32, KL on. That figure was taken in another run, on a machine like ours;
it is printed beside ours, not measured here.
"""

from __future__ import annotations

import time

import torch

from experiments.bench_generation import EOS, IdTokenizer, random_model, random_prompts
from experiments.bench_training import matmul_peak
from unified_rl.coefficients import Grpo
from unified_rl.config import Config, GrpoCoefficient, RolloutConfig, RunConfig, TrainerConfig
from unified_rl.engines.torch_generator import TorchGenerator
from unified_rl.engines.torch_trainer import AdamWOptions, Layout, TorchTrainer, evaluate_role, policy_role
from unified_rl.sources import OnlineSamples, PromptPool
from unified_rl.train import Parts, run_step
from unified_rl.types import Decoding, Prompt, Response, Score

PROMPTS, GROUP, VOCABULARY = 8, 8, 64
REFERENCE_SECONDS = {1: 0.65, 2: 0.54}
#: Floating-point operations per parameter and token: reference and sampling forwards (2 + 2), forward and backward (2 + 4).
FLOPS_PER_PARAMETER = 10


class Parity:
    """A reward that costs next to nothing and differs between responses: whether the token ids sum to an even number."""

    def score(self, prompts: list[Prompt], responses: list[list[Response]]) -> list[list[Score]]:
        return [[self._one(response) for response in group] for group in responses]

    def _one(self, response: Response) -> Score:
        even = int(response.token_ids.sum()) % 2 == 0
        return Score(float(even), "correct" if even else "incorrect", None, None)


def bench_step(max_new_tokens: int = 43, mean_length: float | None = None, steps: int = 5) -> dict[str, float]:
    """Best of `steps` GRPO steps after one to warm up.

    Args:
        max_new_tokens: longest response. mean_length: mean of ragged lengths; None: EOS off, all responses of the longest length.

    Returns:
        seconds in all and by phase, response tokens, and the share of the measured float32 matrix-multiply peak.
    """
    parts, config = _parts(max_new_tokens, mean_length)
    peak = matmul_peak()
    best: dict[str, float] = {}
    for step in range(1, steps + 2):
        timings: dict[str, float] = {}
        start = time.perf_counter()
        entry, _ = run_step(parts, config, step, timings)
        seconds = time.perf_counter() - start
        if step > 1 and seconds < best.get("seconds", float("inf")):
            best = {"seconds": seconds, "tokens": entry["response/tokens"], **timings}
    parameters = sum(parameter.numel() for parameter in parts.policy.model.parameters())
    best["peak_gflops"] = peak
    best["share_of_peak"] = FLOPS_PER_PARAMETER * parameters * best["tokens"] / best["seconds"] / 1e9 / peak
    _report(best, max_new_tokens, mean_length)
    return best


def _parts(max_new_tokens: int, mean_length: float | None) -> tuple[Parts, Config]:
    model, frozen = random_model(VOCABULARY, mean_length), random_model(VOCABULARY, mean_length)
    layout = Layout(TrainerConfig.row_tokens, TrainerConfig.micro_batch_tokens)
    policy = TorchTrainer(model, policy_role(1.0), AdamWOptions(1e-6, 100), layout)
    generator = TorchGenerator(model, IdTokenizer(), eos_token_ids=[] if mean_length is None else [EOS])
    source = OnlineSamples(
        PromptPool(random_prompts(PROMPTS * 20, VOCABULARY, 4, 8), 0),
        generator,
        Parity(),
        Decoding(max_new_tokens=max_new_tokens),
        seed=0,
        prompts_per_step=PROMPTS,
        responses_per_prompt=GROUP,
    )
    reference = lambda sequences: evaluate_role(frozen, policy_role(1.0), sequences, layout)  # noqa: E731
    parts = Parts(source, Grpo(), policy, reference, None, list, lambda _: None, lambda _: [])
    config = Config(coefficient=GrpoCoefficient(), rollout=RolloutConfig(PROMPTS, GROUP), logging=RunConfig(samples=0))
    return parts, config


def _report(best: dict[str, float], max_new_tokens: int, mean_length: float | None) -> None:
    threads = torch.get_num_threads()
    kind = "fixed length" if mean_length is None else f"ragged, at most {max_new_tokens} tokens"
    line = (
        f"GRPO step, {PROMPTS * GROUP} responses, {kind} (mean {best['tokens'] / (PROMPTS * GROUP):.1f}), {threads} threads: "
        f"{best['seconds']:.3f} s = generation and reward {best['source']:.3f} + reference {best['prepare']:.3f} "
        f"+ update {best['update']:.3f}; {best['share_of_peak']:.0%} of the measured peak of {best['peak_gflops']:.0f} GFLOP/s"
    )
    if threads in REFERENCE_SECONDS:
        quoted = REFERENCE_SECONDS[threads]
        line += f"; TRL 1.16 (quoted, mean 43 tokens): {quoted} s, ratio {quoted / best['seconds']:.2f}x"
    print(line)
