"""Packed log-probabilities and values against the same Hugging Face model run on one sequence at a time; loading and saving."""

import copy
import functools
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from unified_rl.base.errors import CheckpointError, ConfigError, DataError
from unified_rl.models.forward import response_logps, response_values
from unified_rl.models.norms import use_torch_rms_norm
from unified_rl.models.policy_model import (
    ValueModel,
    build_llama,
    build_value_model,
    check_vocabulary,
    eos_token_ids,
    load_policy,
    save_policy,
)
from unified_rl.packing.packed_rows import TokenSequence, pack
from unified_rl.packing.rows import Holds

VOCABULARY, EOS = 19, 1


def llama(tie=True, seed=0, **changes):
    arguments = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "num_layers": 2,
        "num_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 64,
        "eos_token_id": EOS,
        "pad_token_id": 0,
        "bos_token_id": 2,
    } | changes
    return build_llama(**arguments, tie_word_embeddings=tie, seed=seed)


def qwen2():
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Qwen2Config(vocab_size=VOCABULARY, num_key_value_heads=2, max_position_embeddings=64, eos_token_id=EOS, **shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return use_torch_rms_norm(Qwen2ForCausalLM(config).eval())


def gpt2():
    """Learned positions, a tied head, biases everywhere, and dropout in its configuration (off in eval mode)."""
    config = GPT2Config(vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=64, bos_token_id=2, eos_token_id=EOS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GPT2LMHeadModel(config).eval()


def gemma2():
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 8}
    config = Gemma2Config(vocab_size=VOCABULARY, num_key_value_heads=2, final_logit_softcapping=0.01, **shape)
    return Gemma2ForCausalLM(config).eval()


@functools.cache
def model_named(name):
    """A model in float64 whose weights are large enough for predictions to depend on the context."""
    model = {"llama tied": llama, "llama untied": lambda: llama(tie=False), "qwen2": qwen2, "gpt2": gpt2}[name]().double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter *= 10
    return model


MODELS = ["llama tied", "llama untied", "qwen2", "gpt2"]


@st.composite
def batches(draw):
    """Ragged responses, some ending in EOS, in groups that share a prompt; shuffled, so that groups are not adjacent."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sequences = []
    for _ in range(draw(st.integers(1, 3))):
        prompt = random.integers(2, VOCABULARY, random.integers(1, 8))
        for _ in range(draw(st.integers(1, 4))):
            response = random.integers(2, VOCABULARY, random.integers(1, 9))
            response[-1] = random.choice([EOS, response[-1]])
            sequences.append(TokenSequence(prompt, response))
    return [sequences[i] for i in random.permutation(len(sequences))]


def reference_logps(model, sequence, temperature=1.0):
    """Log-probs [T] and entropies [T] of one response by a plain forward of the model, without packing, chunks or a mask."""
    ids = torch.tensor(np.concatenate([sequence.prompt_ids, sequence.response_ids]))
    start = len(sequence.prompt_ids)
    logp = torch.log_softmax(model(input_ids=ids[None]).logits[0, start - 1 : -1] / temperature, dim=-1)
    return logp.gather(-1, ids[start:, None])[:, 0], -(logp.exp() * logp).sum(dim=-1)


def weighted_sum(sequences):
    """A weight for each response token, so that a gradient tells all tokens apart."""
    return [torch.linspace(0.3, 1.7, len(one.response_ids), dtype=torch.float64) * (b + 1) for b, one in enumerate(sequences)]


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=6, deadline=None)
@given(
    sequences=batches(),
    row_tokens=st.integers(1, 40),
    micro_batch_tokens=st.integers(1, 80),
    holds=st.sampled_from(get_args(Holds)),
)
def test_packed_equals_one_by_one(name, sequences, row_tokens, micro_batch_tokens, holds):
    model, weights = model_named(name), weighted_sum(sequences)
    parameters = list(model.parameters())

    expected = [reference_logps(model, sequence, 0.8) for sequence in sequences]
    objective = sum((weight * logp).sum() for weight, (logp, _) in zip(weights, expected, strict=True))
    expected_gradient = torch.autograd.grad(objective, parameters)

    gradient = [torch.zeros_like(parameter) for parameter in parameters]
    layout = {"row_tokens": row_tokens, "micro_batch_tokens": micro_batch_tokens, "holds": holds}
    for packed in pack(sequences, **layout):
        logp_N, entropy_N = response_logps(model, packed, temperature=0.8)
        for b in packed.sequences_b.tolist():
            mine = packed.sequence_N == b
            torch.testing.assert_close(logp_N[mine], expected[b][0], rtol=0, atol=1e-12)
            torch.testing.assert_close(entropy_N[mine], expected[b][1], rtol=0, atol=1e-12)
        weight_N = torch.cat([weights[b] for b in packed.sequences_b.tolist()])
        parts = torch.autograd.grad((weight_N * logp_N).sum(), parameters)
        gradient = [total + part for total, part in zip(gradient, parts, strict=True)]
    torch.testing.assert_close(gradient, list(expected_gradient), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("holds", ["shared prompts", "whole sequences"])
def test_documents_in_a_row_do_not_see_each_other(holds):
    model = model_named("llama tied")
    first, second = TokenSequence(np.array([3, 4]), np.array([5, 6, 1])), TokenSequence(np.array([7]), np.array([8, 9, 1]))
    other = TokenSequence(np.array([10]), np.array([11, 12, 1]))
    logps = []
    for neighbour in (second, other):
        (packed,) = pack([first, neighbour], row_tokens=16, holds=holds)
        assert packed.input_ids_RL.shape == (1, 7)  # both in one row
        logps.append(response_logps(model, packed)[0])
    assert torch.equal(logps[0][:3], logps[1][:3])
    assert not torch.allclose(logps[0][3:], logps[1][3:])


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_mask_serves_both_attention_implementations(implementation):
    model = copy.deepcopy(model_named("qwen2"))
    model.set_attn_implementation(implementation)
    sequence = TokenSequence(np.array([3, 4]), np.array([5, 6, 1]))
    (packed,) = pack([sequence, TokenSequence(np.array([3, 4]), np.array([9, 1]))])
    expected, _ = reference_logps(model_named("qwen2"), sequence)
    torch.testing.assert_close(response_logps(model, packed)[0][:3], expected, rtol=0, atol=1e-7)


def test_too_long_sequences_are_refused():
    packed = pack([TokenSequence(np.array([3]), np.full(65, 4))])[0]
    with pytest.raises(DataError, match="65 input tokens exceeds the model's max_position_embeddings of 64"):
        response_logps(llama(), packed)


def test_build_llama_depends_on_its_seed_only_and_leaves_the_global_rng_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = llama(seed=1)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(8)
    second, third = llama(seed=1), llama(seed=2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.lm_head.weight, third.lm_head.weight)
    assert first.dtype == torch.float32 and not first.training
    assert first.lm_head.weight is first.model.embed_tokens.weight
    assert llama(tie=False).lm_head.weight is not llama(tie=False).model.embed_tokens.weight


@pytest.mark.parametrize(
    ("changes", "message"), [({"num_heads": 3}, "not divisible"), ({"eos_token_id": 19}, "eos_token_id is 19")]
)
def test_build_llama_refuses(changes, message):
    with pytest.raises(ConfigError, match=message):
        llama(**changes)


def test_torch_rms_norm_is_bit_equal_in_float32_and_survives_a_deep_copy():
    swapped = llama()
    with torch.no_grad():
        swapped.model.norm.weight.copy_(torch.linspace(0.1, 2, 16))
    plain = type(swapped)(swapped.config).eval()
    plain.load_state_dict(swapped.state_dict())
    ids = torch.arange(12)[None]
    assert type(swapped.model.norm) is not type(plain.model.norm)
    assert torch.equal(swapped(ids).logits, plain(ids).logits)
    assert torch.equal(swapped.bfloat16()(ids).logits, plain.bfloat16()(ids).logits)
    twin = copy.deepcopy(swapped)
    before = twin(ids).logits
    with torch.no_grad():
        swapped.model.norm.weight.mul_(3)
    assert torch.equal(twin(ids).logits, before)


def tokenizer_of(size, eos="eos"):
    vocabulary = {"pad": 0, "eos": 1, "bos": 2} | {f"t{i}": i for i in range(3, size)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="t3"))
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=eos, pad_token="pad", bos_token="bos")


@pytest.mark.parametrize("tie", [True, False])
def test_saved_policy_loads_as_it_was(tmp_path, tie):
    model, tokenizer = llama(tie), tokenizer_of(VOCABULARY)
    save_policy(model, tokenizer, tmp_path / "a" / "policy")
    loaded, loaded_tokenizer = load_policy(tmp_path / "a" / "policy")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))
    assert not loaded.training
    assert loaded_tokenizer.get_vocab() == tokenizer.get_vocab()
    assert eos_token_ids(loaded, loaded_tokenizer) == (EOS,)
    assert load_policy(tmp_path / "a" / "policy", torch.float64)[0].dtype == torch.float64


def damage_nothing_there(path):
    for file in path.iterdir():
        file.unlink()
    path.rmdir()


def damage_truncated_weights(path):
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def damage_lost_weight(path):
    from safetensors.torch import load_file, save_file

    state = load_file(path / "model.safetensors")
    del state["model.layers.1.mlp.up_proj.weight"]
    save_file(state, path / "model.safetensors", metadata={"format": "pt"})


def damage_other_shape(path):
    from safetensors.torch import load_file, save_file

    state = load_file(path / "model.safetensors")
    state["model.norm.weight"] = torch.ones(17)
    save_file(state, path / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_nothing_there, "no such directory"),
        (lambda path: (path / "config.json").unlink(), "config.json is missing"),
        (lambda path: (path / "config.json").write_text("{"), "cannot load the model"),
        (lambda path: (path / "model.safetensors").unlink(), "model.safetensors .* is missing"),
        (damage_truncated_weights, "cannot load the model"),
        (lambda path: (path / "model.safetensors").write_bytes(b""), "cannot load the model"),
        (damage_lost_weight, "1 weights are missing .* model.layers.1.mlp.up_proj.weight"),
        (damage_other_shape, "cannot load the model|of another shape"),
        (lambda path: (path / "tokenizer.json").unlink(), "cannot load the tokenizer"),
        (lambda path: (path / "tokenizer.json").write_text("{}"), "cannot load the tokenizer"),
    ],
)
def test_missing_or_corrupt_checkpoints_are_named(tmp_path, damage, message):
    path = tmp_path / "policy"
    save_policy(llama(), tokenizer_of(VOCABULARY), path)
    damage(path)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_policy(path)
    assert str(path) in str(caught.value) and "Give the directory" in str(caught.value)


def test_unwritable_directory_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"file/policy: cannot write"):
        save_policy(llama(), tokenizer_of(VOCABULARY), tmp_path / "file" / "policy")


def test_vocabulary_mismatch_is_refused(tmp_path):
    check_vocabulary(llama(), tokenizer_of(VOCABULARY - 3))  # spare rows are fine
    with pytest.raises(ConfigError, match="tokenizer has 20 tokens but the model only 19"):
        check_vocabulary(llama(), tokenizer_of(VOCABULARY + 1))
    model = llama()
    model.generation_config.eos_token_id = [EOS, 99]
    with pytest.raises(ConfigError, match=r"generation_config.eos_token_id is 99"):
        check_vocabulary(model, tokenizer_of(VOCABULARY))
    save_policy(llama(), tokenizer_of(VOCABULARY + 1), tmp_path)
    with pytest.raises(ConfigError, match="tokenizer has 20"):
        load_policy(tmp_path)


def test_eos_ids_are_a_union():
    model = llama()
    model.generation_config.eos_token_id = [5, 3]
    assert eos_token_ids(model, tokenizer_of(VOCABULARY)) == (1, 3, 5)
    assert eos_token_ids(model) == (3, 5)
    model.generation_config.eos_token_id = None
    assert eos_token_ids(model, tokenizer_of(VOCABULARY, eos="t4")) == (1, 4)
    model.config.eos_token_id = None
    with pytest.raises(ConfigError, match="eos_token_id"):
        eos_token_ids(model)


def test_values_are_read_where_each_response_token_is_predicted():
    policy = model_named("llama untied")
    model = build_value_model(policy)
    assert model.backbone is not policy.model
    sequences = [TokenSequence(np.array([3, 4]), np.array([5, 6, 1])), TokenSequence(np.array([3, 4]), np.array([9, 1]))]
    (packed,) = pack(sequences)
    assert torch.equal(response_values(model, packed), torch.zeros(5, dtype=torch.float64))

    with torch.no_grad():
        model.head.weight.copy_(torch.linspace(-1, 1, 16)[None])
    expected = []
    for sequence in sequences:
        ids = torch.tensor(np.concatenate([sequence.prompt_ids, sequence.response_ids]))[None]
        hidden = policy.model(input_ids=ids).last_hidden_state[0]
        expected.append(model.head(hidden[len(sequence.prompt_ids) - 1 : -1])[:, 0])
    torch.testing.assert_close(response_values(model, packed), torch.cat(expected), rtol=0, atol=1e-12)


def test_value_model_trains_apart_from_the_policy_and_survives_saving(tmp_path):
    policy = llama()
    model = build_value_model(policy)
    with torch.no_grad():
        model.head.weight.fill_(0.1)
    (packed,) = pack([TokenSequence(np.array([3, 4]), np.array([5, 6, 1]))])
    response_values(model, packed).sum().backward()
    assert all(parameter.grad is None for parameter in policy.parameters())
    assert model.backbone.embed_tokens.weight.grad.abs().sum() > 0

    model.save(tmp_path / "value")
    loaded = ValueModel.load(tmp_path / "value")
    assert torch.equal(response_values(loaded, packed), response_values(model, packed))
    (tmp_path / "value" / "value_head.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot load the value head"):
        ValueModel.load(tmp_path / "value")
