"""How far a sampler's log-probs are from the trainer's, dtype by dtype: the same random Llama, rounded to each of them.

    python -m tools.dtype_differences [FOLDER]

One line per sampler and dtype: mean and largest |log pi_trainer - log pi_sampler| over the tokens of all responses, in nats at
temperature 1, and the same of the trainer's own log-probs against those of a trainer in float32 on the unrounded weights. vLLM is
measured where it is installed (`make install-engines`; on a CPU set VLLM_ENABLE_V1_MULTIPROCESSING=0).
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from unified_rl.base.types import Decoding, Problem, Prompt, Response
from unified_rl.bench.generation import IdTokenizer
from unified_rl.config.engines import VllmConfig
from unified_rl.models.forward import response_logps
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.sampling.torch_generator import TorchGenerator
from unified_rl.sampling.vllm_generator import EngineOptions, VllmGenerator

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
VOCABULARY, PROMPTS, RESPONSES, TOKENS = 512, 8, 8, 64


def random_model() -> LlamaForCausalLM:
    """3.4M parameters in eight heads of 32, the least that vLLM serves on a CPU; wide weights, so that rounding shows."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=256,
        initializer_range=0.15,
        bos_token_id=2,
        eos_token_id=1,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


def trainer_logp(model: LlamaForCausalLM, prompts: list[Prompt], responses: list[list[Response]]) -> np.ndarray:
    """Of the responses' tokens as the trainer sees them, packed; response by response, float64."""
    sequences = [
        TokenSequence(np.array(prompt.token_ids), response.token_ids, prompt.id)
        for prompt, group in zip(prompts, responses, strict=True)
        for response in group
    ]
    found: list[np.ndarray] = [np.empty(0)] * len(sequences)
    with torch.no_grad():
        for packed in Layout(1024, 4096).pack(sequences, None, torch.device("cpu")):
            logp_N, _ = response_logps(model, packed)
            for index in packed.sequence_N.unique().tolist():
                found[index] = logp_N[packed.sequence_N == index].double().numpy()
    return np.concatenate(found)


def report(sampler: str, name: str, off: np.ndarray, rounded: np.ndarray) -> None:
    print(
        f"{sampler:6} {name:9} sampler and trainer: mean {off.mean():.1e}, largest {off.max():.1e}; "
        f"trainer and float32: mean {rounded.mean():.1e}, largest {rounded.max():.1e}",
        flush=True,
    )


def main(folder: Path) -> None:
    exact, tokenizer = random_model(), IdTokenizer(VOCABULARY)
    exact.save_pretrained(folder)
    random = np.random.default_rng(0)
    ids = [tuple(random.integers(3, VOCABULARY, size=20).tolist()) for _ in range(PROMPTS)]
    prompts = [Prompt(Problem(f"p{index}", "", ""), tokens) for index, tokens in enumerate(ids)]
    seeds = np.arange(PROMPTS * RESPONSES).reshape(PROMPTS, RESPONSES).tolist()
    for name, dtype in DTYPES.items():
        model = LlamaForCausalLM.from_pretrained(folder, dtype=dtype).eval()
        samplers: dict[str, TorchGenerator | VllmGenerator] = {"torch": TorchGenerator(model, tokenizer)}
        if importlib.util.find_spec("vllm"):
            samplers["vllm"] = VllmGenerator(folder, tokenizer, EngineOptions(VllmConfig(cpu_cache_gib=0.1), name))
        for which, sampler in samplers.items():
            responses = sampler.generate(prompts, seeds, Decoding(max_new_tokens=TOKENS), 0)
            drawn = np.concatenate([one.behaviour_logp for group in responses for one in group]).astype(float)
            ours = trainer_logp(model, prompts, responses)
            report(which, name, np.abs(ours - drawn), np.abs(ours - trainer_logp(exact, prompts, responses)))
        for sampler in samplers.values():
            if isinstance(sampler, VllmGenerator):
                sampler.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
