"""Models of the stacks' shapes with random weights, and rows of random tokens for them."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel, Qwen2Config

from unified_rl.base import rng
from unified_rl.models.norms import use_torch_rms_norm
from unified_rl.packing.packed_rows import PackedRows, TokenSequence, pack
from unified_rl.planning.shapes import ModelShape, shape_of
from unified_rl.presets import loading

STACKS = {"7b": "deepseekmath_7b", "1.3b": "deepseekmath_1_3b", "0.5b": "qwen2_5_0_5b"}
TINY = ModelShape(64, 2, 4, 2, 16, 128, 512, 512)
#: Tokens of a row and of a micro-batch.
LAYOUTS = {"tiny": (128, 256)}
LARGE_LAYOUT = (4096, 4096)


def shape_named(name: str) -> ModelShape:
    """A stack's shape, or the tiny one."""
    return TINY if name == "tiny" else shape_of(loading.load_config([f"stack={STACKS[name]}", "method=grpo"]))[0]


def layout_of(name: str) -> tuple[int, int]:
    """Tokens of a row and of a micro-batch that a shape is measured with."""
    return LAYOUTS.get(name, LARGE_LAYOUT)


def dtype_on(device: torch.device) -> torch.dtype:
    """What weights are kept in: bfloat16 on a GPU, float32 on a CPU."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def random_model(shape: ModelShape, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """A model of this shape with random weights, made on the device."""
    family = Qwen2Config if shape.qkv_bias else LlamaConfig
    config = family(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.max_positions,
        tie_word_embeddings=shape.tied_embeddings,
        attention_dropout=0.0,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return use_torch_rms_norm(model)


def filled_rows(shape: ModelShape, row_tokens: int, micro_batch_tokens: int) -> tuple[list[TokenSequence], PackedRows]:
    """Random prompts and responses that fill one micro-batch: rows of several documents, as in SFT."""
    random = rng.generator(0, "bench_gpu")
    sequences: list[TokenSequence] = []
    for _ in range(micro_batch_tokens // row_tokens):
        left = row_tokens
        while left > row_tokens // 16:
            tokens = min(left, int(random.integers(row_tokens // 8, row_tokens // 2)))
            ids = random.integers(0, shape.vocabulary, tokens + 1)
            sequences.append(TokenSequence(ids[: tokens // 8 + 1], ids[tokens // 8 + 1 :]))
            left -= tokens
    return sequences, pack(sequences, row_tokens=row_tokens, micro_batch_tokens=2 * micro_batch_tokens)[0]
