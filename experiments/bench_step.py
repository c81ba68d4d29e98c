"""Seconds of a whole GRPO step of ours, split into generation, reward and training, and the share of the matrix-multiply peak.

The 0.87M-parameter Llama and the 64 responses (8 prompts x 8) of the reference figure: TRL 1.16's GRPOTrainer, 0.65 s on one core
and 0.54 s on two for responses of about 43 tokens, float32, KL on. That figure was taken in another run, on a machine like ours;
it is printed beside ours, not measured here.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from experiments.bench_generation import EOS, IdTokenizer, random_model, random_prompts, transformers_generate
from experiments.bench_training import matmul_peak, padded_micro_batches, training_pass
from unified_rl.coefficient_config import GrpoCoefficient
from unified_rl.coefficients import Grpo
from unified_rl.config import Config, RolloutConfig, RunConfig, TrainerConfig
from unified_rl.engines.packing import TokenSequence
from unified_rl.engines.policy_model import use_torch_rms_norm
from unified_rl.engines.ranks import divided
from unified_rl.engines.torch_generator import TorchGenerator
from unified_rl.engines.torch_trainer import AdamWOptions, Layout, TorchTrainer, evaluate_role, policy_role
from unified_rl.sources import OnlineSamples, PromptPool
from unified_rl.train import Parts, run_step
from unified_rl.types import ONE_RANK, Decoding, Prompt, Ranks, Response, Score

PROMPTS, GROUP, VOCABULARY = 8, 8, 64
PHASES = {"generation": "generation", "reward": "reward", "reference": "prepare", "update": "update"}
REFERENCE_SECONDS = {1: 0.65, 2: 0.54}
#: Floating-point operations per parameter and token: reference and sampling forwards (2 + 2), forward and backward (2 + 4).
FLOPS_PER_PARAMETER = 10


class Parity:
    """A reward that costs next to nothing and differs between responses: whether the token ids sum to an even number.

    `seconds` is what the last call took, so that generation and reward can be told apart.
    """

    seconds = 0.0

    def score(self, prompts: list[Prompt], responses: list[list[Response]]) -> list[list[Score]]:
        start = time.perf_counter()
        scores = [[self._one(response) for response in group] for group in responses]
        self.seconds = time.perf_counter() - start
        return scores

    def _one(self, response: Response) -> Score:
        even = int(response.token_ids.sum()) % 2 == 0
        return Score(float(even), "correct" if even else "incorrect", None, None)


def bench_step(
    max_new_tokens: int = 43, mean_length: float | None = None, steps: int = 5, ranks: Ranks = ONE_RANK
) -> dict[str, float]:
    """Best of `steps` GRPO steps after one to warm up.

    Args:
        max_new_tokens: longest response. mean_length: mean of ragged lengths; None: EOS off, all responses of the longest length.
        ranks: the processes that share the step's work.

    Returns:
        seconds in all and by phase, response tokens, and the share of the measured float32 matrix-multiply peak.
    """
    reward = Parity()
    parts, config = _parts(max_new_tokens, mean_length, reward, ranks)
    peak = matmul_peak()
    best: dict[str, float] = {}
    for step in range(1, steps + 2):
        timings: dict[str, float] = {}
        ranks.barrier()
        start = time.perf_counter()
        entry, _ = run_step(parts, config, step, timings)
        seconds = time.perf_counter() - start
        if step > 1 and seconds < best.get("seconds", float("inf")):
            timings["reward"] = reward.seconds
            timings["generation"] = timings.pop("source") - reward.seconds
            best = {"seconds": seconds, "tokens": entry["response/tokens"], **timings}
    parameters = sum(parameter.numel() for parameter in parts.policy.model.parameters())
    best["peak_gflops"] = peak
    best["share_of_peak"] = FLOPS_PER_PARAMETER * parameters * best["tokens"] / best["seconds"] / 1e9 / peak
    _report(best, max_new_tokens, mean_length)
    return best


def bench_waiting_step(max_new_tokens: int = 200, mean_length: float = 40.0, rounds: int = 3) -> float:
    """Seconds of the same ragged work done the usual way: `generate` until the longest ends, padded training passes.

    transformers' generation, then reference forward, forward and backward on rows padded to the longest response, on the same
    model and as many responses; no reward, no optimiser, no framework around them.
    """
    model, reference = random_model(VOCABULARY, mean_length), random_model(VOCABULARY, mean_length)
    prompts = [prompt for prompt in random_prompts(PROMPTS, VOCABULARY, 4, 8) for _ in range(GROUP)]
    decoding = Decoding(max_new_tokens=max_new_tokens)
    generator = TorchGenerator(model, IdTokenizer(), eos_token_ids=[EOS])
    best = float("inf")
    for index in range(rounds + 1):
        responses = generator.generate(prompts, [[index * 1000 + i] for i in range(len(prompts))], decoding, 0)
        sequences = [
            TokenSequence(np.array(prompt.token_ids), group[0].token_ids)
            for prompt, group in zip(prompts, responses, strict=True)
        ]
        padded = padded_micro_batches(sequences, len(sequences))
        start = time.perf_counter()
        transformers_generate(model, prompts, decoding, EOS)
        training_pass(model, reference, padded)
        if index:
            best = min(best, time.perf_counter() - start)
    return best


def _parts(max_new_tokens: int, mean_length: float | None, reward: Parity, ranks: Ranks) -> tuple[Parts, Config]:
    model, frozen = (use_torch_rms_norm(random_model(VOCABULARY, mean_length)) for _ in range(2))  # as `load_policy` does
    layout = Layout(TrainerConfig.row_tokens, TrainerConfig.micro_batch_tokens)
    policy = TorchTrainer(model, policy_role(1.0), AdamWOptions(1e-6, 100), layout, ranks)
    sampler = TorchGenerator(model, IdTokenizer(), eos_token_ids=[] if mean_length is None else [EOS])
    generator, scorer = divided(sampler, reward, ranks)
    source = OnlineSamples(
        PromptPool(random_prompts(PROMPTS * 20, VOCABULARY, 4, 8), 0),
        generator,
        scorer,
        Decoding(max_new_tokens=max_new_tokens),
        seed=0,
        prompts_per_step=PROMPTS,
        responses_per_prompt=GROUP,
    )
    reference = lambda sequences: evaluate_role(frozen, policy_role(1.0), sequences, layout, ranks)  # noqa: E731
    parts = Parts(source, Grpo(), policy, reference, None, list, lambda _: None, lambda _: [], ranks)
    config = Config(coefficient=GrpoCoefficient(), rollout=RolloutConfig(PROMPTS, GROUP), logging=RunConfig(samples=0))
    return parts, config


def _report(best: dict[str, float], max_new_tokens: int, mean_length: float | None) -> None:
    threads = torch.get_num_threads()
    kind = "fixed length" if mean_length is None else f"ragged, at most {max_new_tokens} tokens"
    phases = " + ".join(f"{name} {best[key]:.3f}" for name, key in PHASES.items())
    line = (
        f"GRPO step, {PROMPTS * GROUP} responses, {kind} (mean {best['tokens'] / (PROMPTS * GROUP):.1f}), {threads} threads: "
        f"{best['seconds']:.3f} s = {phases}; {best['share_of_peak']:.0%} of the measured matrix-multiply peak of "
        f"{best['peak_gflops']:.0f} GFLOP/s"
    )
    if threads in REFERENCE_SECONDS and mean_length is None:
        quoted = REFERENCE_SECONDS[threads]
        line += f"; TRL 1.16 (quoted, about 43 tokens): {quoted} s, ratio {quoted / best['seconds']:.2f}x"
    if mean_length is not None:
        waiting = bench_waiting_step(max_new_tokens, mean_length)
        line += f"; the same work padded and waiting for the longest: {waiting:.3f} s, ratio {waiting / best['seconds']:.2f}x"
    print(line)
