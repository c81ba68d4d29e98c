"""Tokens per second of our generator, plain and compiled, beside transformers' `generate`: the same weights, prompts and process.

Ragged work, as in reinforcement learning: most responses end early and a few run to the limit. A random model draws its tokens
almost uniformly; a bias on the EOS row of its head makes the length geometric with the mean that is asked for.

    python -m unified_rl.bench.generation
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from unified_rl.base.rng import generator
from unified_rl.base.types import Decoding, Problem, Prompt
from unified_rl.config.schema import Config
from unified_rl.sampling.torch_generator import TorchGenerator
from unified_rl.stages.generators import compiled_step

EOS, PAD = 1, 0


class IdTokenizer:
    """Writes ids as numbers; both contestants decode with it, so that the cost of a real tokenizer's text is left out."""

    eos_token_id = EOS

    def __init__(self, vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self.all_special_ids = [PAD, EOS]

    def __len__(self) -> int:
        return self._vocabulary

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        return [int(word) for word in text.split()]

    def decode(self, token_ids: list[int], skip_special_tokens: bool = True) -> str:
        return " ".join(map(str, token_ids))


def random_model(vocabulary: int, mean_length: float | None, seed: int = 0) -> LlamaForCausalLM:
    """A 0.87M-parameter Llama (width 128, 4 layers of 4 heads, MLP 384) whose responses have about `mean_length` tokens.

    All logits are close to zero and EOS's row of the head is set to zero, so a bias of log((V - 1) / (mean - 1)) on EOS gives
    it a probability of about 1 / mean in any context. `mean_length` None leaves the head as it is.
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=512,
        bos_token_id=2,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    model = LlamaForCausalLM(config).eval()
    if mean_length is not None:
        bias = torch.zeros(vocabulary)
        bias[EOS] = float(np.log((vocabulary - 1) / (mean_length - 1)))
        model.lm_head.bias = torch.nn.Parameter(bias)
        model.lm_head.weight.data[EOS] = 0
    return model


def random_prompts(count: int, vocabulary: int, shortest: int, longest: int) -> list[Prompt]:
    """Prompts of `shortest` to `longest` random tokens, none of them special."""
    numbers = generator(0, "bench_prompts")
    lengths = numbers.integers(shortest, longest + 1, size=count)
    ids = [tuple(numbers.integers(3, vocabulary, size=length).tolist()) for length in lengths]
    return [Prompt(Problem(f"prompt-{i}", "", ""), token_ids) for i, token_ids in enumerate(ids)]


def transformers_generate(model: LlamaForCausalLM, prompts: list[Prompt], decoding: Decoding, eos: int | None) -> int:
    """Number of response tokens, EOS included, of one `generate` call on the left-padded prompts."""
    longest = max(len(prompt.token_ids) for prompt in prompts)
    ids = torch.full((len(prompts), longest), PAD)
    for row, prompt in zip(ids, prompts, strict=True):
        row[longest - len(prompt.token_ids) :] = torch.tensor(prompt.token_ids)
    config = GenerationConfig(
        do_sample=True, top_k=0, max_new_tokens=decoding.max_new_tokens, eos_token_id=eos, pad_token_id=PAD, use_cache=True
    )
    # their annotation of `generate` asks of `self` what no model of theirs has
    output = model.generate(ids, attention_mask=(ids != PAD).long(), generation_config=config)[:, longest:]  # type: ignore[misc]
    ended = (output == EOS).cumsum(dim=1) if eos is not None else torch.zeros_like(output)
    # A response's tokens are those before its first EOS and that EOS itself.
    return int(((ended - (output == EOS).long() if eos is not None else ended) == 0).sum())


def bench_generation(
    batch: int = 512,
    group_size: int = 1,
    max_new_tokens: int = 200,
    mean_length: float | None = 40.0,
    vocabulary: int = 64,
    max_concurrent_sequences: int = 256,
    repeats: int = 3,
) -> dict[str, float]:
    """Measure all on `batch` responses and print them side by side.

    Args:
        batch: responses wanted; transformers gets them as one static batch.
        group_size: responses per prompt (transformers is given each prompt that many times).
        max_new_tokens: limit of a response.
        mean_length: mean response length; None switches EOS off, so that every response has `max_new_tokens` tokens.
        vocabulary: tokens of the model.
        max_concurrent_sequences: rows of our generator.
        repeats: the best time of so many is taken, after one call to warm up, alternating.

    Returns:
        by name ("plain", "compiled", "transformers"): tokens/s; mean response lengths "... mean_length"; "... ratio" over
        transformers; and "threads".
    """
    seeds = np.arange(batch).reshape(-1, group_size)
    contestants = _contestants(seeds, max_new_tokens, mean_length, vocabulary, max_concurrent_sequences)
    best = _best_of(contestants, repeats)
    result = {name: tokens / seconds for name, (seconds, tokens) in best.items()}
    result |= {f"{name} mean_length": tokens / batch for name, (_, tokens) in best.items()}
    result |= {f"{name} ratio": result[name] / result["transformers"] for name in ("plain", "compiled")}
    rates = ", ".join(f"{name} {result[name]:,.0f} tokens/s ({result[f'{name} ratio']:.1f}x)" for name in ("plain", "compiled"))
    print(
        f"generation, {batch} responses of at most {max_new_tokens} tokens (mean {result['plain mean_length']:.1f}): "
        f"ours {rates}, transformers {result['transformers']:,.0f} tokens/s"
    )
    return {**result, "threads": torch.get_num_threads()}


def _contestants(
    seeds: np.ndarray, max_new_tokens: int, mean_length: float | None, vocabulary: int, rows: int
) -> dict[str, Callable[[], int]]:
    """By name what each runs: a call that samples `seeds` [prompts, responses of each] and returns how many tokens it made."""
    model = random_model(vocabulary, mean_length)
    eos = None if mean_length is None else EOS
    decoding = Decoding(max_new_tokens=max_new_tokens)
    prompts = random_prompts(len(seeds), vocabulary, 10, 20)
    repeated = [prompt for prompt in prompts for _ in range(seeds.shape[1])]
    ends = [] if eos is None else [eos]
    build = partial(TorchGenerator, model, IdTokenizer(vocabulary), max_concurrent_sequences=rows, eos_token_ids=ends)
    plain, compiled = build(), build(compiled_step=compiled_step(Config(), model))

    def run_ours(ours: TorchGenerator) -> int:
        return sum(len(response) for group in ours.generate(prompts, seeds.tolist(), decoding, 0) for response in group)

    return {
        "plain": lambda: run_ours(plain),
        "compiled": lambda: run_ours(compiled),
        "transformers": lambda: transformers_generate(model, repeated, decoding, eos),
    }


def _best_of(contestants: Mapping[str, Callable[[], int]], repeats: int) -> dict[str, tuple[float, int]]:
    """(seconds, tokens) of each contestant's fastest run, taken in turns; the first round warms up."""
    torch.manual_seed(0)
    runs: dict[str, list[tuple[float, int]]] = {name: [] for name in contestants}
    for _ in range(repeats + 1):
        for name, contestant in contestants.items():
            runs[name].append(_timed(contestant))
    return {name: max(measured[1:], key=lambda run: run[1] / run[0]) for name, measured in runs.items()}


def _timed(run: Callable[[], int]) -> tuple[float, int]:
    start = time.perf_counter()
    tokens = run()
    return time.perf_counter() - start, tokens


if __name__ == "__main__":
    print(json.dumps(bench_generation(), indent=2))
    print(json.dumps(bench_generation(batch=64, group_size=8, max_new_tokens=43, mean_length=None), indent=2))
