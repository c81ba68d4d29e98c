"""Seconds of a whole GRPO step of ours, split into generation, reward and training, and the share of the matrix-multiply peak.

    python -m unified_rl.bench.step [fixed] [ragged]
    python -m torch.distributed.run --standalone --nproc-per-node 2 -m unified_rl.bench.step

Every process is a data-parallel rank of one thread. `bench_step_on` starts them.

The 0.87M-parameter Llama and the 64 responses (8 prompts x 8) of the reference figure: TRL 1.16's GRPOTrainer, 0.65 s on one core
and 0.54 s on two for responses of about 43 tokens, float32, KL on. That figure was taken in another run, on a machine like ours;
it is printed beside ours, not measured here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch

from unified_rl.base.types import ONE_RANK, Decoding, Prompt, Ranks, Response, Score
from unified_rl.bench.generation import EOS, IdTokenizer, random_model, random_prompts, transformers_generate
from unified_rl.bench.training import matmul_peak, padded_micro_batches, training_pass
from unified_rl.config.records import RunConfig
from unified_rl.config.schema import Config
from unified_rl.config.training import RolloutConfig, TrainerConfig
from unified_rl.loop.train import Parts, run_step
from unified_rl.methods.policy_gradient import Grpo
from unified_rl.models.compiled_forward import CompiledForward
from unified_rl.models.decoder_pass import decoder_of
from unified_rl.models.forward import plain_forward
from unified_rl.models.norms import use_torch_rms_norm
from unified_rl.models.roles import policy_role
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.sampling.torch_generator import TorchGenerator
from unified_rl.sources import OnlineSamples, PromptPool
from unified_rl.stages.generators import compiled_step
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.passes import evaluate_role
from unified_rl.training.ranks import divided, join_ranks
from unified_rl.training.torch_trainer import TorchTrainer

PROMPTS, GROUP, VOCABULARY = 8, 8, 64
#: (longest response, mean of ragged lengths) of each kind of work.
WORK: dict[str, tuple[int, float | None]] = {"fixed": (43, None), "ragged": (200, 40.0)}
PHASES = {"generation": "generation", "reward": "reward", "reference": "prepare", "update": "update"}
REFERENCE_SECONDS = {1: 0.65, 2: 0.54}
#: Floating-point operations per parameter and token: reference and sampling forwards (2 + 2), forward and backward (2 + 4).
FLOPS_PER_PARAMETER = 10


#: What a line of a bench's process begins with that is for the process which started it.
_FIGURES = "figures "


class Parity:
    """A reward that costs next to nothing and differs between responses: whether the token ids sum to an even number.

    `seconds` is what the last call took, so that generation and reward can be told apart.
    """

    seconds = 0.0

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        start = time.perf_counter()
        scores = [[self._one(response) for response in group] for group in responses]
        self.seconds = time.perf_counter() - start
        return scores

    def _one(self, response: Response) -> Score:
        even = int(response.token_ids.sum()) % 2 == 0
        return Score(float(even), "correct" if even else "incorrect", None, None)


def bench_step_on(ranks: int) -> dict[str, float]:
    """Run and print all kinds of `WORK` on so many ranks of one thread each; their figures by name. Raises CalledProcessError."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    command = [sys.executable, *launcher, "-m", "unified_rl.bench.step"]
    figures: dict[str, float] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith(_FIGURES):
                figures |= json.loads(line.removeprefix(_FIGURES))
            else:
                print(line, end="", flush=True)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return figures


def bench_step(
    max_new_tokens: int = 43,
    mean_length: float | None = None,
    steps: int = 5,
    ranks: Ranks = ONE_RANK,
    compiled: bool = False,
) -> dict[str, float]:
    """The mean of `steps` GRPO steps after one to warm up. The steps are the same, however they are decoded and divided.

    Args:
        max_new_tokens: longest response. mean_length: mean of ragged lengths; None: EOS off, all responses of the longest length.
        compiled: decode and train by compiled programs (generator.compiled=true trainer.compiled=true).
        ranks: the processes that share the step's work.

    Returns:
        seconds in all and by phase, response tokens, and the share of the float32 matrix-multiply peak, which is measured on
        all ranks at the same time.
    """
    reward = Parity()
    parts, config = _parts(max_new_tokens, mean_length, reward, ranks, compiled)
    ranks.barrier()
    peak = sum(ranks.gather(matmul_peak()))
    typical = _mean([_measured(parts, config, step, reward) for step in range(1, steps + 2)][1:])
    parameters = sum(parameter.numel() for parameter in parts.policy.model.parameters())
    typical["peak_gflops"] = peak
    typical["share_of_peak"] = FLOPS_PER_PARAMETER * parameters * typical["tokens"] / typical["seconds"] / 1e9 / peak
    if ranks.first:
        _report(typical, max_new_tokens, mean_length, ranks, compiled)
        work = (
            f"step, {'fixed' if mean_length is None else 'ragged'}, {'compiled' if compiled else 'plain'}, {ranks.size} ranks"
        )
        shown = {f"{work}, seconds": typical["seconds"], f"{work}, share of peak ratio": typical["share_of_peak"]}
        print(_FIGURES + json.dumps(shown), flush=True)
    ranks.barrier()
    return typical


def _measured(parts: Parts, config: Config, step: int, reward: Parity) -> dict[str, float]:
    """Seconds of one step, in all and by phase, and its response tokens."""
    timings: dict[str, float] = {}
    parts.ranks.barrier()
    start = time.perf_counter()
    entry, _ = run_step(parts, config, step, timings)
    seconds = time.perf_counter() - start
    timings["reward"] = reward.seconds
    timings["generation"] = timings.pop("source") - reward.seconds
    return {"seconds": seconds, "tokens": entry["response/tokens"], **timings}


def bench_waiting_step(max_new_tokens: int = 200, mean_length: float = 40.0, steps: int = 3) -> dict[str, float]:
    """The same ragged work done the usual way: `generate` until the longest ends, training passes padded to the longest.

    transformers' generation, then reference forward, forward and backward on rows padded to the longest response, on the same
    model and as many responses; no reward, no optimiser, no framework around them.

    Returns:
        "seconds" and response "tokens" of the mean of `steps` steps after one to warm up.
    """
    model, reference = random_model(VOCABULARY, mean_length), random_model(VOCABULARY, mean_length)
    prompts = [prompt for prompt in random_prompts(PROMPTS, VOCABULARY, 4, 8) for _ in range(GROUP)]
    decoding = Decoding(max_new_tokens=max_new_tokens)
    generator = TorchGenerator(model, IdTokenizer(VOCABULARY), eos_token_ids=[EOS])
    measured = []
    for index in range(steps + 1):
        responses = generator.generate(prompts, [[index * 1000 + i] for i in range(len(prompts))], decoding, 0)
        sequences = [
            TokenSequence(np.array(prompt.token_ids), group[0].token_ids)
            for prompt, group in zip(prompts, responses, strict=True)
        ]
        padded = padded_micro_batches(sequences, len(sequences))
        start = time.perf_counter()
        tokens = transformers_generate(model, prompts, decoding, EOS)
        training_pass(model, reference, padded)
        measured.append({"seconds": time.perf_counter() - start, "tokens": float(tokens)})
    return _mean(measured[1:])


def _mean(measured: list[dict[str, float]]) -> dict[str, float]:
    """All steps count, by their sums: ragged steps differ in work, so that a median of them would be of other work each time."""
    return {name: sum(step[name] for step in measured) / len(measured) for name in measured[0]}


def _parts(
    max_new_tokens: int, mean_length: float | None, reward: Parity, ranks: Ranks, compiled: bool
) -> tuple[Parts, Config]:
    model, frozen = (use_torch_rms_norm(random_model(VOCABULARY, mean_length)) for _ in range(2))  # as `load_policy` does
    layout = Layout(TrainerConfig.row_tokens, TrainerConfig.micro_batch_tokens)
    forward = CompiledForward(decoder_of(model)) if compiled else plain_forward
    role = policy_role(1.0, forward)
    policy = TorchTrainer(model, role, AdamWOptions(1e-6, 100), layout, ranks)
    step = compiled_step(Config(), model) if compiled else None
    ends = [] if mean_length is None else [EOS]
    sampler = TorchGenerator(model, IdTokenizer(VOCABULARY), eos_token_ids=ends, compiled_step=step)
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
    reference = lambda sequences: evaluate_role(frozen, role, sequences, layout, ranks)  # noqa: E731
    parts = Parts(source, Grpo(), policy, {"reference": reference}, {}, list, lambda _: None, lambda _: [], ranks)
    config = Config(coefficient=Grpo(), rollout=RolloutConfig(PROMPTS, GROUP), logging=RunConfig(samples=0))
    return parts, config


def _report(step: dict[str, float], max_new_tokens: int, mean_length: float | None, ranks: Ranks, compiled: bool) -> None:
    cores = ranks.size * torch.get_num_threads()
    on = f"{ranks.size} rank{'s' * (ranks.size > 1)} of {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"
    kind = "fixed length" if mean_length is None else f"ragged, at most {max_new_tokens} tokens"
    phases = " + ".join(f"{name} {step[key]:.3f}" for name, key in PHASES.items())
    line = (
        f"GRPO step, {PROMPTS * GROUP} responses, {kind} (mean {step['tokens'] / (PROMPTS * GROUP):.1f}), "
        f"{'compiled' if compiled else 'plain'}, {on}: "
        f"{step['seconds']:.3f} s = {phases}; {step['share_of_peak']:.0%} of the measured matrix-multiply peak of "
        f"{step['peak_gflops']:.0f} GFLOP/s"
    )
    if cores in REFERENCE_SECONDS and mean_length is None:
        quoted = REFERENCE_SECONDS[cores]
        line += f"; TRL 1.16 (quoted, about 43 tokens): {quoted} s, ratio {quoted / step['seconds']:.2f}x"
    if mean_length is not None:
        rate, waiting = step["tokens"] / step["seconds"], _waiting_rate(cores, max_new_tokens, mean_length)
        line += f"; {rate:,.0f} tokens/s, padded and waiting for the longest {waiting:,.0f}, ratio {rate / waiting:.2f}x"
    print(line, flush=True)


@cache
def _waiting_rate(cores: int, max_new_tokens: int, mean_length: float) -> float:
    """Response tokens per second of `bench_waiting_step`, in this process on as many cores as all ranks have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(cores)
    waiting = bench_waiting_step(max_new_tokens, mean_length)
    torch.set_num_threads(threads)
    return waiting["tokens"] / waiting["seconds"]


def main(kinds: list[str]) -> int:
    torch.set_num_threads(1)
    ranks = join_ranks()
    for kind in kinds or WORK:
        for compiled in (False, True):
            bench_step(*WORK[kind], ranks=ranks, compiled=compiled)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
