"""Adapters: their gradients, the reference by switching off, and files that PEFT wrote or reads."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from ragged import VOCABULARY, small_llama
from safetensors.torch import load_file, save_file
from torch.func import functional_call
from transformers import AutoModelForCausalLM

from tools.model_checks import tokenizer
from tools.tiny_models import tiny_model
from unified_rl.base.errors import CheckpointError, ConfigError
from unified_rl.config.lora import LoraConfig
from unified_rl.models.adapter_files import CONFIG, WEIGHTS, Adapter, root_of
from unified_rl.models.adapters import adapted_layers, adapter_off, add_adapter, load_adapter, low_rank, save_adapter
from unified_rl.models.forward import response_logps
from unified_rl.models.merging import merge
from unified_rl.models.policy_model import build_llama, build_value_model, load_policy, save_policy
from unified_rl.packing.packed_rows import TokenSequence, pack
from unified_rl.training.weight_sync import served_weights

peft = pytest.importorskip("peft", reason="the extra lora is not installed")
LORA = LoraConfig(rank=3, alpha=5.0)


def packed_rows(vocabulary: int = VOCABULARY):
    generator = torch.Generator().manual_seed(3)
    lengths = ((4, 6), (4, 3), (2, 9))
    sequences = [
        TokenSequence(*(torch.randint(vocabulary, (n,), generator=generator).numpy() for n in pair), f"p{i}")
        for i, pair in enumerate(lengths)
    ]
    (packed,) = pack(sequences, row_tokens=64, micro_batch_tokens=256)
    return packed


def moved(model, seed: int = 1):
    """The model with an adapter that is no longer nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in adapted_layers(model).values():
            for part in low_rank(layer)[:2]:
                part.copy_(0.2 * torch.randn(part.shape, generator=generator, dtype=part.dtype))
    return model


def adapted(model, lora: LoraConfig = LORA, base: Path = Path("base"), seed: int = 0):
    add_adapter(model, lora, base, seed)
    return model


def gpt2():
    return tiny_model("gpt2").double().eval()


@pytest.mark.parametrize("make", [lambda: small_llama(0), gpt2], ids=["llama", "gpt2: Conv1D"])
def test_gradients_are_those_of_the_merged_weights(make):
    """d L / d A and d L / d B, against full autograd through W + (alpha / r) B A in a model without any adapter."""
    plain, model = make(), moved(adapted(make()))
    packed = packed_rows(plain.config.vocab_size)
    weight_N = torch.linspace(-1, 2, len(packed.targets_N), dtype=torch.float64)
    (response_logps(model, packed)[0] * weight_N).sum().backward()

    leaves, merged = {}, {}
    for name, layer in adapted_layers(model).items():
        a, b = (part.detach().clone().requires_grad_(True) for part in low_rank(layer)[:2])
        change = 5.0 / 3 * b @ a
        weight = plain.get_submodule(name).weight
        merged[f"{name}.weight"] = weight.detach() + (change if weight.shape == change.shape and "c_" not in name else change.T)
        leaves[name] = a, b
    merged = {f"model.{name}": value for name, value in merged.items()}
    logp_N = functional_call(Whole(plain), merged, (packed,))
    (logp_N * weight_N).sum().backward()
    for name, layer in adapted_layers(model).items():
        for ours, theirs in zip(low_rank(layer)[:2], leaves[name], strict=True):
            assert theirs.grad.norm() > 0
            assert (ours.grad - theirs.grad).norm() <= 1e-9 * theirs.grad.norm()
    assert all(weight.grad is None for name, weight in model.named_parameters() if ".lora_" not in name)


class Whole(torch.nn.Module):
    """Our own log-probs, as a forward pass whose weights can be given."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, packed):
        return response_logps(self.model, packed)[0]


def test_switched_off_it_is_a_separate_copy():
    plain, model, packed = small_llama(0), moved(adapted(small_llama(0))), packed_rows()
    with torch.no_grad():
        before = response_logps(model, packed)[0]
        assert (before - response_logps(plain, packed)[0]).abs().max() > 0.1
        with adapter_off(model):
            off = response_logps(model, packed)[0]
        torch.testing.assert_close(off, response_logps(plain, packed)[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(response_logps(model, packed)[0], before, rtol=0, atol=0)
    with adapter_off(model):
        assert not response_logps(model, packed)[0].requires_grad
    assert response_logps(model, packed)[0].requires_grad


def test_it_begins_as_nothing_and_is_a_function_of_its_seed():
    plain, packed = small_llama(0), packed_rows()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    model, again, other = adapted(small_llama(0)), adapted(small_llama(0)), adapted(small_llama(0), seed=1)
    assert torch.equal(torch.rand(3), expected), "the process's own generator is left alone"
    with torch.no_grad():
        torch.testing.assert_close(response_logps(model, packed)[0], response_logps(plain, packed)[0], rtol=0, atol=1e-12)
    drawn = [low_rank(layer)[0] for layer in adapted_layers(model).values()]
    for one, same, another in zip(drawn, *(map(low_rank, adapted_layers(m).values()) for m in (again, other)), strict=True):
        assert torch.equal(one, same[0]) and not torch.equal(one, another[0])
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert trained and all(".lora_" in name for name in trained)


def test_targets_are_the_layers_that_are_named():
    model = adapted(small_llama(0), LoraConfig(rank=2, targets=["q_proj", "layers.1.mlp.up_proj"]))
    assert sorted(adapted_layers(model)) == [
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.mlp.up_proj",
        "model.layers.1.self_attn.q_proj",
    ]
    for wrong in ("lm_head", "no_proj", "roj"):
        with pytest.raises(ConfigError, match=f"model.lora.targets names '{wrong}'.*q_proj"):
            adapted(small_llama(0), LoraConfig(rank=2, targets=[wrong]))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    tiny_model("llama").save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def saved(base, tmp_path):
    """An adapter of ours on disk, and the model that it is a part of."""
    model, its_tokenizer = load_policy(base)
    moved(adapted(model, base=base))
    save_policy(model, its_tokenizer, tmp_path / "adapter")
    return tmp_path / "adapter", model


def logits(model):
    with torch.no_grad():
        return model.eval()(torch.arange(3, 15)[None]).logits


def test_plain_peft_reads_what_we_save(saved, base):
    folder, model = saved
    theirs = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    torch.testing.assert_close(logits(theirs), logits(model), rtol=0, atol=1e-5)
    by_name = peft.AutoPeftModelForCausalLM.from_pretrained(folder)
    torch.testing.assert_close(logits(by_name), logits(model), rtol=0, atol=1e-5)


def test_merged_where_it_is_loaded_and_pushed(saved, base):
    folder, model = saved
    merged = load_policy(folder)[0]
    theirs = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).merge_and_unload()
    pushed = dict(served_weights(model))
    assert pushed.keys() == dict(theirs.named_parameters()).keys()
    for name, weight in theirs.named_parameters():
        torch.testing.assert_close(merged.get_parameter(name), weight, rtol=0, atol=1e-6)
        torch.testing.assert_close(pushed[name], weight.detach(), rtol=0, atol=1e-6)
    assert not adapted_layers(merged)


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"target_modules": ["q_proj", "down_proj"]}], ids=str)
def test_an_adapter_that_peft_made(options, base, tmp_path):
    model = peft.get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), peft.LoraConfig(**{"r": 4, "target_modules": "all-linear", **options})
    )
    moved(model)
    model.save_pretrained(tmp_path / "theirs")
    torch.testing.assert_close(logits(load_policy(tmp_path / "theirs")[0]), logits(model), rtol=0, atol=1e-5)


def test_the_same_bytes_when_it_was_read_back(saved, base, tmp_path):
    folder, _ = saved
    again = adapted(load_policy(base)[0], base=base, seed=9)
    load_adapter(again, folder)
    save_adapter(again, tmp_path / "again")
    for name in (CONFIG, WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    with pytest.raises(CheckpointError, match="adapters in other layers"):
        load_adapter(adapted(load_policy(base)[0], LoraConfig(rank=3, targets=["q_proj"])), folder)
    with pytest.raises(CheckpointError, match="another rank"):
        load_adapter(adapted(load_policy(base)[0], LoraConfig(rank=2)), folder)


def test_an_adapter_on_an_adapter(saved, tmp_path):
    """What SFT left is a start like any other: the next adapter's base is it, merged."""
    folder, first = saved
    start, its_tokenizer = load_policy(folder)
    torch.testing.assert_close(logits(start), logits(first), rtol=0, atol=1e-5)
    second = moved(adapted(start, base=folder), seed=2)
    save_policy(second, its_tokenizer, tmp_path / "second")
    torch.testing.assert_close(logits(load_policy(tmp_path / "second")[0]), logits(second), rtol=0, atol=1e-5)
    assert root_of(tmp_path / "second") == root_of(folder)
    with adapter_off(second):
        torch.testing.assert_close(logits(second), logits(first), rtol=0, atol=1e-5)


def test_a_value_model_shares_what_neither_trains(base, tmp_path):
    policy = load_policy(base)[0]
    value = build_value_model(policy, shared=True)
    value.add_adapter(LORA, base, 0)
    adapted(policy, base=base)
    shared = {id(weight) for weight in policy.parameters()} & {id(weight) for weight in value.parameters()}
    still = {id(weight) for weight in value.parameters() if not weight.requires_grad}
    assert still and shared == still, "weights under the adapters are one, the adapters are two"
    moved(value.backbone)
    torch.nn.init.normal_(value.head.weight)
    value.save(tmp_path / "value")
    again = build_value_model(load_policy(base)[0], shared=True)
    again.add_adapter(LORA, base, 1)
    again.resume(tmp_path / "value")
    ids = torch.arange(3, 9)[None]
    for other in (again, type(value).load(tmp_path / "value")):
        found = [model.head(model.backbone(ids).last_hidden_state) for model in (value, other)]
        torch.testing.assert_close(*found, rtol=0, atol=1e-5)


def test_copies_are_adapters_of_their_own():
    model = moved(adapted(small_llama(0)))
    other = copy.deepcopy(model)
    moved(other, seed=7)
    with torch.no_grad():
        first, second = (response_logps(one, packed_rows())[0] for one in (model, other))
    assert (first - second).abs().max() > 1e-3


def settings(**changes):
    def spoil(folder):
        file = folder / CONFIG
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return spoil


def tensors(change):
    def spoil(folder):
        found = load_file(folder / WEIGHTS)
        change(found)
        save_file(found, folder / WEIGHTS)

    return spoil


def first_a(found):
    return min(name for name in found if "lora_A" in name)


def pair(layer, rank, inputs, outputs):
    return {
        f"base_model.model.{layer}.lora_A.weight": torch.ones(rank, inputs),
        f"base_model.model.{layer}.lora_B.weight": torch.ones(outputs, rank),
    }


def beside_a_whole_model(folder):
    shutil.copy(json.loads((folder / CONFIG).read_text())["base_model_name_or_path"] + "/config.json", folder)


def stands_on_itself(folder):
    settings(base_model_name_or_path=str(folder))(folder)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (settings(peft_type="IA3"), "peft_type='IA3'.*merge it"),
        (settings(use_dora=True), "use_dora=True.*merge it"),
        (settings(modules_to_save=["lm_head"]), "modules_to_save.*merge it"),
        (settings(rank_pattern={"q_proj": 8}), "rank_pattern.*merge it"),
        (settings(megatron_config={"a": 1}), "megatron_config.*merge it"),
        (settings(some_new_kind=True), "some_new_kind.*merge it"),
        (settings(init_lora_weights="pissa"), "init_lora_weights='pissa'.*merge it"),
        (settings(bias="all"), "bias='all'.*merge it"),
        (settings(r=0), "not the settings of a LoRA adapter"),
        (settings(r="many"), "not the settings of a LoRA adapter"),
        (settings(base_model_name_or_path="owner/name"), "hf download owner/name.*model.lora.path"),
        (settings(base_model_name_or_path="/nowhere/at/all"), "is no folder here.*model.path=BASE_DIR"),
        (settings(base_model_name_or_path=None), "is no folder here"),
        (stands_on_itself, "in a circle"),
        (lambda folder: (folder / CONFIG).write_text("[1]"), "not the settings of a LoRA adapter"),
        (lambda folder: (folder / CONFIG).unlink(), "adapter_config.json is missing"),
        (lambda folder: (folder / WEIGHTS).unlink(), "without adapter_model.safetensors"),
        (lambda folder: (folder / WEIGHTS).rename(folder / "adapter_model.bin"), "save it as safetensors"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"no"), "cannot read the adapter"),
        (tensors(lambda found: found.pop(first_a(found))), "no half of a pair"),
        (tensors(dict.clear), "no tensors at all"),
        (tensors(lambda found: found.update(other=torch.zeros(2))), "no half of a pair"),
        (tensors(lambda found: found.update({first_a(found): torch.zeros(5, 7)})), "another rank or shape"),
        (tensors(lambda found: found.update(pair("no", 3, 32, 32))), "no linear layer"),
        (beside_a_whole_model, "whole model and an adapter beside it"),
    ],
)
def test_refused_in_a_line(spoil, says, saved):
    folder, _ = saved
    spoil(folder)
    with pytest.raises(CheckpointError, match=says) as caught:
        load_policy(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_a_head_that_is_tied_is_not_changed_alone(tmp_path):
    model = build_llama(
        vocab_size=20,
        hidden_size=32,
        num_layers=1,
        num_heads=2,
        intermediate_size=48,
        max_position_embeddings=32,
        eos_token_id=1,
    )
    before = model.lm_head.weight.clone()
    save_file(pair("lm_head", 3, 32, 20), tmp_path / WEIGHTS)
    with pytest.raises(CheckpointError, match="one with the embeddings: merge it"):
        merge(model, Adapter(tmp_path, tmp_path, 3, 1.0))
    assert torch.equal(model.lm_head.weight, before)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rank": -1}, "model.lora.rank=-1"),
        ({"rank": 4, "alpha": -1.0}, "model.lora.alpha=-1"),
        ({"rank": 4, "dropout": 0.1}, "model.lora.dropout=0.1 would make ratios.*set model.lora.dropout=0"),
        ({"alpha": 8.0}, "model.lora.rank=0 trains all weights"),
        ({"targets": ["q_proj"]}, "model.lora.rank=0 trains all weights"),
    ],
)
def test_settings_are_checked(options, says):
    with pytest.raises(ConfigError, match=says):
        LoraConfig(**options)
