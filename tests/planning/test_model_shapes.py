"""The shapes that ship with the stacks, against the real model classes: parameters exactly, activations byte for byte."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.models.norms import use_torch_rms_norm
from unified_rl.ops import bfloat16_head, exact_head
from unified_rl.planning import memory
from unified_rl.planning.shapes import ModelShape, shape_from_file, shape_of
from unified_rl.presets import loading

#: What the models' own cards and configurations say.
PUBLISHED = {"deepseekmath_7b": 6_910_365_696, "deepseekmath_1_3b": 1_346_471_936, "qwen2_5_0_5b": 494_032_768}


def on_meta_device(config):
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def config_of(shape: ModelShape):
    """transformers' configuration of a shape."""
    family = Qwen2Config if shape.qkv_bias else LlamaConfig
    return family(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.max_positions,
        tie_word_embeddings=shape.tied_embeddings,
    )


@pytest.mark.parametrize("stack", list(PUBLISHED))
def test_a_stacks_shape_is_the_real_models(stack):
    shape, says = shape_of(loading.load_config([f"stack={stack}", "method=grpo"]))
    model = on_meta_device(config_of(shape))
    assert sum(parameter.numel() for parameter in model.parameters()) == shape.parameters == PUBLISHED[stack]
    layer = sum(parameter.numel() for parameter in model.model.layers[0].parameters())
    assert layer == shape.layer_parameters
    assert "architecture" in says


@pytest.mark.parametrize(
    ("family", "options"),
    [
        (LlamaConfig, {}),
        (LlamaConfig, {"tie_word_embeddings": True, "head_dim": 16, "num_key_value_heads": 1}),
        (Qwen2Config, {"tie_word_embeddings": True}),
        (Qwen3Config, {"head_dim": 16}),
    ],
)
def test_a_users_own_model_is_read_from_its_files(family, options, tmp_path):
    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = family(**sizes, **{"num_key_value_heads": 2} | options)
    config.save_pretrained(tmp_path)
    model = on_meta_device(AutoConfig.from_pretrained(tmp_path))
    shape = shape_from_file(tmp_path / "config.json")
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())
    stack = loading.load_config(["stack=deepseekmath_1_3b", "method=grpo", f"model.path={tmp_path}"])
    assert shape_of(stack)[0] == shape


def test_models_that_cannot_be_planned_are_named(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"model_type": "mamba"}')
    with pytest.raises(ConfigError, match="mamba"):
        shape_from_file(file)
    file.write_text('{"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2}')
    with pytest.raises(DataError, match="num_hidden_layers"):
        shape_from_file(file)


def saved_bytes(config: LlamaConfig, dtype: torch.dtype, tokens: int) -> int:
    """Bytes of the distinct storages, weights apart, that autograd saves in a forward pass of the decoder."""
    model = use_torch_rms_norm(AutoModelForCausalLM.from_config(config).to(dtype))
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = tensor  # held, so that no address is used twice
        return tensor

    ids = torch.arange(tokens)[None] % config.vocab_size
    mask = torch.zeros(1, 1, tokens, tokens, dtype=dtype)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.model(input_ids=ids, position_ids=ids, attention_mask=mask, use_cache=False)
        return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kv_heads", "intermediate"), [(4, 176), (2, 96)])
def test_a_layers_activations_are_what_autograd_saves(dtype, kv_heads, intermediate):
    sizes = dict(vocab_size=64, hidden_size=64, num_attention_heads=4, num_key_value_heads=kv_heads)
    tokens, configs = 48, [LlamaConfig(**sizes, intermediate_size=intermediate, num_hidden_layers=n) for n in (2, 3)]
    measured = saved_bytes(configs[1], dtype, tokens) - saved_bytes(configs[0], dtype, tokens)
    shape = ModelShape(64, 3, 4, kv_heads, 16, intermediate, 64, 2048)
    assert measured == tokens * memory.layer_activation_bytes(shape, dtype.itemsize)


def test_the_planners_chunks_are_the_heads():
    assert memory.CHUNK_ELEMENTS == exact_head.CHUNK_ELEMENTS
    assert (memory.GPU_CHUNK_ELEMENTS, memory.KEPT_BYTES) == (bfloat16_head.GPU_CHUNK_ELEMENTS, bfloat16_head.KEPT_BYTES)


def test_no_other_model_is_planned_than_the_one_named(tmp_path, monkeypatch):
    """A name of the Hub is looked up in the cache (and on the network, which is off here); without it there is no plan."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    words = ["method=grpo", "model.path=some-one/their-model"]
    for more in ([], ["stack=deepseekmath_7b"]):
        with pytest.raises(
            ConfigError, match=r"some-one/their-model has no config\.json here, and the Hugging Face Hub gives none"
        ):
            shape_of(loading.load_config([*words, *more]))
    snapshot = tmp_path / "models--some-one--their-model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 16}
    (snapshot / "config.json").write_text(
        json.dumps({"model_type": "llama", "vocab_size": 10, "max_position_embeddings": 32, **sizes})
    )
    shape, origin = shape_of(loading.load_config(words))
    assert (shape.hidden_size, shape.vocabulary) == (8, 10)
    assert "some-one/their-model on the Hugging Face Hub" in origin
    with pytest.raises(ConfigError, match=r"nowhere has no config\.json here; set model.path to the folder"):
        shape_of(loading.load_config(["method=grpo", "model.path=nowhere"]))
