"""Tiny base models in Hugging Face's format, with random weights."""

from __future__ import annotations

from pathlib import Path

from unified_rl.models.policy_model import build_llama, save_policy
from unified_rl.tasks.tokenizers import train_tokenizer
from unified_rl.tasks.worked_examples import EXAMPLES


def tiny_model(folder: Path, seed: int = 0, width: int = 32, positions: int = 4096) -> Path:
    """A Llama of one layer with a tokenizer trained on the built-in worked examples; returns its folder."""
    texts = [f"Problem: {item.question}\nSolution: {item.solution}" for items in EXAMPLES.values() for item in items]
    tokenizer = train_tokenizer(texts, vocab_size=600)
    model = build_llama(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_layers=1,
        num_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=positions,
        eos_token_id=int(tokenizer.eos_token_id),
        init_std=0.3,
        seed=seed,
    )
    save_policy(model, tokenizer, folder)
    return folder
