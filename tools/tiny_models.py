"""Tiny models of the families that transformers lists: of each its own configuration, made small, with weights that are not.

Weights are drawn several times larger than a fresh model's, so that what a token attends to shows in its log-probs.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as FAMILIES

#: Words of the tokenizer; embeddings have some rows more, as published models do.
VOCABULARY, ROWS = 97, 104
#: Ids of a tokenizer: nothing is padded with a token that means something, and responses end by id 1.
_IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1, "decoder_start_token_id": 2, "forced_eos_token_id": None}
_WIDTHS = dict.fromkeys(
    (
        "hidden_size",
        "d_model",
        "n_embd",
        "dim",
        "hidden_dim",
        "word_embed_proj_dim",
        "embed_dim",
        "embedding_size",
        "lru_width",
    ),
    32,
)
_LAYERS = dict.fromkeys(
    (
        "num_hidden_layers",
        "n_layer",
        "n_layers",
        "num_layers",
        "decoder_layers",
        "encoder_layers",
        "num_decoder_layers",
        "depth",
    ),
    2,
)
_HEADS = dict.fromkeys(
    (
        "num_attention_heads",
        "n_head",
        "n_heads",
        "num_heads",
        "decoder_attention_heads",
        "encoder_attention_heads",
        "attention_heads",
        "linear_num_value_heads",
    ),
    4,
)
_INNER = dict.fromkeys(
    ("intermediate_size", "ffn_dim", "decoder_ffn_dim", "encoder_ffn_dim", "n_inner", "moe_intermediate_size"), 48
) | {"shared_expert_intermediate_size": 24, "shared_intermediate_size": 24}
_EXPERTS = dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4) | {
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
_SMALL = dict.fromkeys(
    (
        "head_dim",
        "qk_nope_head_dim",
        "qk_rope_head_dim",
        "v_head_dim",
        "attention_head_dim",
        "global_head_dim",
        "swa_head_dim",
        "index_head_dim",
        "linear_key_head_dim",
        "linear_value_head_dim",
        "mamba_d_state",
        "mamba_n_heads",
        "mamba_d_head",
        "mamba_num_heads",
        "mamba_head_dim",
        "state_size",
        "ssm_state_size",
        "mamba_chunk_size",
        "chunk_size",
        "attention_window",
        "hidden_size_per_layer_input",
    ),
    8,
)
_OTHERS = {
    "vocab_size": ROWS,
    "vocab_size_per_layer_input": ROWS,
    "num_key_value_heads": 2,
    "linear_num_key_heads": 2,
    "index_n_heads": 2,
    "index_topk": 64,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "sliding_window": 7,
    "window_size": 7,
    "max_position_embeddings": 64,
    "n_positions": 64,
    "max_seq_len": 64,
    "time_step_rank": 4,
    "mamba_d_ssm": 64,
    "mamba_n_groups": 1,
    "n_groups": 1,
    "is_decoder": True,
    "image_size": 28,
    "patch_size": 14,
    "out_hidden_size": 32,
}
SIZES: dict[str, Any] = {**_IDS, **_WIDTHS, **_LAYERS, **_HEADS, **_INNER, **_EXPERTS, **_SMALL, **_OTHERS}

#: Latent attention has as many heads of keys as of queries.
_LATENT = (
    "axk1",
    "axk2",
    "deepseek_v2",
    "deepseek_v3",
    "deepseek_v32",
    "glm4_moe_lite",
    "glm_moe_dsa",
    "kimi_linear",
    "longcat_flash",
    "minicpm3",
    "youtu",
)
#: What a family needs beside or instead; a value of None leaves a setting at the family's own.
_OWN: dict[str, dict[str, Any]] = {
    **{family: {"num_key_value_heads": 4} for family in _LATENT},
    "gptj": {"rotary_dim": 4},
    "codegen": {"rotary_dim": 4},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "mamba2": {"num_heads": 8},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    **{family: {"logits_scaling": 4.0} for family in ("granite", "granitemoe")},
}


def tiny_config(family: str) -> Any:
    """The configuration of a tiny model. Raises whatever the family's own class raises where the sizes do not suit it."""
    return _small(CONFIG_MAPPING[family], _OWN.get(family, {}))


def tiny_model(family: str, seed: int = 0) -> PreTrainedModel:
    """A float32 model with random weights, in evaluation mode: a function of its arguments alone."""
    config = tiny_config(family)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2 and parameter.is_floating_point():
                parameter.mul_(4)
    return model.eval()


def _small(kind: Any, own: dict[str, Any]) -> Any:
    """A configuration of a class with all known sizes made small, those of its parts too."""
    usual = kind()
    settings = usual.to_dict()
    aliases = getattr(kind, "attribute_map", {})
    sizes = {name: value for name, value in SIZES.items() if name in settings or hasattr(usual, name)}
    sizes = {name: value for name, value in sizes.items() if aliases.get(name) not in sizes}
    for name in ("head_dim", "sliding_window", "num_key_value_heads"):
        if settings.get(name) is None:
            sizes.pop(name, None)
    sizes |= _layer_types(settings, sizes) | own
    for name, part in (getattr(kind, "sub_configs", None) or {}).items():
        if isinstance(part, type) and hasattr(part, "model_type") and part.model_type in CONFIG_MAPPING:
            sizes[name] = _small(part, {})
    return kind(**{name: value for name, value in sizes.items() if name in _IDS or value is not None})


def _layer_types(settings: dict[str, Any], sizes: dict[str, Any]) -> dict[str, Any]:
    """One or two layers of each kind that a family has, where it names them."""
    kinds = list(dict.fromkeys(settings.get("layer_types") or ()))
    if not kinds:
        return {}
    chosen = (kinds * 2)[: max(2, len(kinds))]
    return {"layer_types": chosen} | {name: len(chosen) for name in _LAYERS if name in sizes}


__all__ = ["FAMILIES", "ROWS", "VOCABULARY", "tiny_config", "tiny_model"]
