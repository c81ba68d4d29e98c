"""How fast and how lean is the training pass? Padded against packed rows, and chunked against full log-probabilities.

    python -m unified_rl.bench.training

Each comparison runs both sides on the same weights and data, in turn, and keeps the best of several rounds: other work on the
machine can only slow a round down.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from unified_rl.base import rng
from unified_rl.models.forward import response_logps
from unified_rl.models.policy_model import build_llama
from unified_rl.ops.logprobs import Head, token_outputs
from unified_rl.packing.packed_rows import PackedRows, TokenSequence, pack, padding_fraction

VOCABULARY = 64


def matmul_peak(size: int = 1024, rounds: int = 20) -> float:
    """The best rate, in GFLOP/s, of a float32 product of two square matrices with the threads that torch has now."""
    a, b = torch.ones(size, size), torch.ones(size, size)
    return 2 * size**3 / _best_seconds([lambda: a @ b], rounds)[0] / 1e9


def bench_model() -> PreTrainedModel:
    """The 0.87M-parameter Llama of the benchmark: width 128, 4 layers, MLP 384, vocabulary 64, float32."""
    return build_llama(
        vocab_size=VOCABULARY,
        hidden_size=128,
        num_layers=4,
        num_heads=4,
        intermediate_size=384,
        max_position_embeddings=1024,
        eos_token_id=1,
        tie_word_embeddings=False,
        seed=0,
    )


def bench_sequences(
    groups: int = 8, group_size: int = 8, prompt_tokens: int = 35, mean_tokens: int = 43, max_tokens: int = 43, seed: int = 0
) -> list[TokenSequence]:
    """Random prompts and responses. Lengths are all `mean_tokens`, or, if `max_tokens` is more, geometric and cut off there."""
    random = rng.generator(seed, "bench_sequences")
    sequences = []
    for group in range(groups):
        prompt_ids = random.integers(2, VOCABULARY, prompt_tokens)
        for _ in range(group_size):
            drawn = mean_tokens if max_tokens <= mean_tokens else min(int(random.geometric(1 / mean_tokens)), max_tokens)
            sequences.append(TokenSequence(prompt_ids, random.integers(2, VOCABULARY, drawn), f"prompt {group}"))
    return sequences


def bench_packing(sequences: Sequence[TokenSequence] | None = None, rounds: int = 5) -> dict[str, dict[str, float]]:
    """Seconds of a training pass (reference forward, then forward and backward) by layout, on the same weights.

    Returns:
        layout -> {"seconds", "response_tokens_per_second", "padding_fraction", "speedup" (over "padded"), "peak_fraction"}.
        `peak_fraction` counts 8 FLOPs per parameter and token of prompts and responses laid end to end, over the measured peak
        of matrix multiplication: a shared prompt counts once per response, so that all layouts are credited the same work.
    """
    sequences = bench_sequences(max_tokens=200) if sequences is None else sequences
    model, reference = bench_model(), bench_model()
    layouts = {
        "padded": lambda: padded_micro_batches(sequences, rows=16),
        "packed": lambda: pack(sequences, holds="whole sequences"),
        "packed, prompts shared": lambda: pack(sequences),
    }
    passes = [lambda lay_out=lay_out: training_pass(model, reference, lay_out()) for lay_out in layouts.values()]
    seconds = _best_seconds(passes, rounds)
    response_tokens = sum(len(sequence.response_ids) for sequence in sequences)
    work = 8 * sum(p.numel() for p in model.parameters()) * sum(sequence.input_tokens for sequence in sequences)
    peak = matmul_peak() * 1e9
    return {
        name: {
            "seconds": second,
            "response_tokens_per_second": response_tokens / second,
            "padding_fraction": padding_fraction(lay_out()),
            "speedup": seconds[0] / second,
            "peak_fraction": work / second / peak,
        }
        for (name, lay_out), second in zip(layouts.items(), seconds, strict=True)
    }


def padded_micro_batches(sequences: Sequence[TokenSequence], rows: int) -> list[PackedRows]:
    """The usual layout, for comparison: `rows` sequences at a time in the order given, one per row, padded to the longest."""
    micro_batches = []
    for start in range(0, len(sequences), rows):
        some = sequences[start : start + rows]
        # A row has room for one sequence only, when it is as long as the longest and the others are kept from sharing it.
        packed = [pack([sequence], row_tokens=1, holds="whole sequences")[0] for sequence in some]
        length = max(one.input_ids_RL.shape[1] for one in packed)
        micro_batches.append(_stack(packed, length, first=start))
    return micro_batches


def _stack(packed: Sequence[PackedRows], length: int, first: int) -> PackedRows:
    """Micro-batches of one row each as one, padded to `length`."""

    def pad(tensor: Tensor, value: int = 0) -> Tensor:
        return nn.functional.pad(tensor, (0, length - tensor.shape[-1]), value=value)

    sizes = torch.tensor([len(one.targets_N) for one in packed])
    row_N = torch.repeat_interleave(torch.arange(len(packed)), sizes)
    return PackedRows(
        input_ids_RL=torch.cat([pad(one.input_ids_RL) for one in packed]),
        position_ids_RL=torch.cat([pad(one.position_ids_RL) for one in packed]),
        segment_RL=torch.cat([pad(one.segment_RL, -1) for one in packed]),
        continues_RL=torch.cat([pad(one.continues_RL, -2) for one in packed]),
        hidden_index_N=torch.cat([one.hidden_index_N for one in packed]) + length * row_N,
        targets_N=torch.cat([one.targets_N for one in packed]),
        sequence_N=row_N + first,
        row_N=row_N,
        token_N=torch.cat([one.token_N for one in packed]),
        sequences_b=torch.arange(first, first + len(packed)),
        input_tokens=sum(one.input_tokens for one in packed),
        longest=max(one.longest for one in packed),
    )


def training_pass(model: PreTrainedModel, reference: PreTrainedModel, micro_batches: Sequence[PackedRows]) -> None:
    """What an update computes: reference log-probabilities, the policy's, and a gradient."""
    model.zero_grad(set_to_none=True)
    for packed in micro_batches:
        with torch.no_grad():
            ref_logp_N, _ = response_logps(reference, packed)
        logp_N, _ = response_logps(model, packed)
        (logp_N * (logp_N - ref_logp_N).detach()).sum().backward()


def bench_logprob_memory(tokens: int = 2048, width: int = 128, vocab_size: int = 102_400) -> dict[str, float]:
    """Peak memory, in MiB, of a forward and backward pass of the log-probabilities: "chunked", "naive", and their "ratio".

    Each runs in a fresh process (Linux only: /proc is read). Counted is the growth of the peak resident set over what it was
    with the inputs in place, so the gradients count and hidden states, weight and the interpreter do not.
    """
    found = {}
    for way in ("chunked", "naive"):
        command = [sys.executable, "-m", "unified_rl.bench.training", "--measure-logprobs", way]
        command += [str(tokens), str(width), str(vocab_size)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[way] = float(json.loads(output))
    return found | {"ratio": found["chunked"] / found["naive"]}


def _measure_logprobs(way: str, tokens: int, width: int, vocab_size: int) -> float:
    """Growth of the peak resident set, in MiB, over one forward and backward pass in this process."""
    logps = {"chunked": lambda hidden, weight, y: token_outputs(Head(hidden, weight), y)["logp"], "naive": _naive_logps}[way]

    def run(tokens: int, vocab_size: int) -> float:
        hidden_ND = torch.randn(tokens, width, requires_grad=True)
        weight_VD = torch.randn(vocab_size, width).mul_(width**-0.5).requires_grad_()
        targets_N = torch.randint(vocab_size, (tokens,))
        before = _peak_mib()
        logps(hidden_ND, weight_VD, targets_N).sum().backward()
        return _peak_mib() - before

    run(8, 100)  # what torch allocates once, on first use, is not counted
    return run(tokens, vocab_size)


def _naive_logps(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    return torch.log_softmax(hidden_ND @ weight_VD.T, dim=-1).gather(-1, targets_N[:, None])[:, 0]


def _peak_mib() -> float:
    """Peak resident set of this program, in MiB. Not `getrusage`, whose maximum a child inherits from a larger parent."""
    (kibibytes,) = re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(kibibytes) / 1024


def _best_seconds(functions: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """The least time of each function over `rounds` rounds, taken in turn, after one round that is not counted."""
    times = np.empty((rounds + 1, len(functions)))
    for round_times in times:
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            round_times[i] = time.perf_counter() - start
    return times[1:].min(axis=0).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--measure-logprobs", nargs=4, metavar=("WAY", "TOKENS", "WIDTH", "VOCABULARY"), help="for internal use"
    )
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.measure_logprobs:
        way, *sizes = arguments.measure_logprobs
        print(json.dumps(_measure_logprobs(way, *map(int, sizes))))
        return

    print(f"matrix-multiply peak, {arguments.threads} threads: {matmul_peak():.0f} GFLOP/s")
    for title, max_tokens in (("64 responses of 43 tokens", 43), ("64 ragged responses, mean 43, at most 200 tokens", 200)):
        print(f"\nTraining pass (reference, forward, backward): {title}, 8 prompts of 35")
        for name, row in bench_packing(bench_sequences(max_tokens=max_tokens)).items():
            print(
                f"  {name:24s}{row['seconds'] * 1e3:7.0f} ms {row['response_tokens_per_second']:9.0f} response tokens/s "
                f"{row['speedup']:5.2f}x  padding {row['padding_fraction']:4.0%}  {row['peak_fraction']:4.0%} of peak"
            )
    print("\nPeak memory of the log-prob pass, 2,048 tokens, vocabulary 102,400 (forward and backward, MiB)")
    for width in (64, 128, 256):
        found = bench_logprob_memory(width=width)
        print(f"  width {width:4d}: chunked {found['chunked']:6.0f}  naive {found['naive']:6.0f}  ratio {found['ratio']:.3f}")


if __name__ == "__main__":
    main()
