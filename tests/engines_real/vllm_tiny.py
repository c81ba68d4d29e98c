"""Small models for vLLM, written by transformers alone, and what is done with them. vLLM's CPU kernels want heads of 32."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from unified_rl.base.types import Decoding, Problem, Prompt
from unified_rl.config.engines import VllmConfig
from unified_rl.models.roles import policy_role
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.sampling.vllm_generator import EngineOptions, VllmGenerator
from unified_rl.training.optimiser import AdamWOptions

needs_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="needs the extra: make install-engines, then make test-engines"
)
VOCABULARY, EOS, CONTEXT, TEMPERATURE = 70, (1, 3), 96, 0.7
DECODING = Decoding(TEMPERATURE, max_new_tokens=24)
PROMPTS = [Prompt(Problem(f"p{i}", "", ""), (5, 6, 7, *range(8, 10 + 3 * i))) for i in range(5)]
SEEDS = [[100 * i + k for k in range(3)] for i in range(5)]
FAMILIES = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}


@dataclass
class Words:
    """As much of a tokenizer as a generator asks for."""

    eos_token_id: int = EOS[0]

    def decode(self, token_ids, skip_special_tokens=True):
        return " ".join(str(token) for token in token_ids if not (skip_special_tokens and token in EOS))


def tiny_model(folder: Path, family: str = "llama", tied: bool = True, seed: int = 0, **changes: Any):
    """A model that has left `folder` as `save_pretrained` writes it; `changes` to its configuration."""
    config_class, model_class = FAMILIES[family]
    settings = dict(
        vocab_size=VOCABULARY,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=96,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=tied,
        initializer_range=0.3,
        eos_token_id=list(EOS),
        pad_token_id=0,
        bos_token_id=2,
    )
    config = config_class(**(settings | changes))
    config.dtype = torch.float32
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config).float().eval()
    model.save_pretrained(folder)
    return model


def trainer_parts() -> tuple:
    """Role, optimiser and layout of the trainers: log-probs at the sampling temperature, and steps large enough to see."""
    return policy_role(TEMPERATURE), AdamWOptions(learning_rate=0.01, total_updates=10), Layout(200, 400)


def sampler(folder: Path, placement: str = "colocated") -> VllmGenerator:
    return VllmGenerator(folder, Words(), EngineOptions(VllmConfig(placement=placement, cpu_cache_gib=0.05)))


def as_sequences(prompts, responses) -> list[TokenSequence]:
    return [
        TokenSequence(np.array(prompt.token_ids), response.token_ids, prompt.id)
        for prompt, group in zip(prompts, responses, strict=True)
        for response in group
    ]


def largest_difference(trainer, prompts, responses) -> float:
    """Largest |sampler - trainer| log-prob over all response tokens."""
    logp_BT = trainer.outputs(as_sequences(prompts, responses))["logp"].cpu().numpy()
    flat = [response for group in responses for response in group]
    return max(np.abs(row[: len(one)] - one.behaviour_logp).max() for one, row in zip(flat, logp_BT, strict=True))


def some_update(trainer, prompts, responses) -> None:
    """One optimiser step that moves every weight: half of the responses up, the others down."""
    sequences = as_sequences(prompts, responses)
    trainer.update(
        sequences,
        lambda outputs, members: -(outputs["logp"].sum(1) * (1.0 - 2.0 * (members.rows_b % 2))).sum() / len(sequences),
    )
