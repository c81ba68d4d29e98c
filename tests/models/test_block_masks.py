"""Rows as one with a block mask: the mask equals the dense one token by token, and passes equal those over the rows as they are."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_policy_model import batches, llama, model_named, qwen2, weighted_sum
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from transformers import Gemma2Config, Gemma2Model

from unified_rl.models.attention import (
    DecoderInput,
    additive_mask,
    attention_mask,
    block_input,
    decoder_input,
    takes_blocks,
    visible,
)
from unified_rl.models.block_masks import block_mask, dense_mask
from unified_rl.models.decoder_pass import decoder_of
from unified_rl.models.forward import plain_forward, response_logps
from unified_rl.models.reach import WHOLE, Reach
from unified_rl.models.segment_attention import SEGMENTS, unfit
from unified_rl.packing.flat_rows import BLOCK, flat_size, flattened, within
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import TokenSequence, pack


@st.composite
def layouts(draw):
    """Packed rows of documents and shared prompts, from a token to several blocks long, on rows shorter and longer than blocks."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    longest = draw(st.sampled_from([3, 40, 300]))
    sequences = []
    for _ in range(draw(st.integers(1, 4))):
        prompt = random.integers(2, 19, random.integers(1, longest + 1))
        sequences += [
            TokenSequence(prompt, random.integers(2, 19, random.integers(1, longest + 1))) for _ in range(random.integers(1, 4))
        ]
    holds, row_tokens = draw(st.sampled_from(["shared prompts", "whole sequences"])), draw(st.sampled_from([1, 60, 500, 1500]))
    return pack(sequences, row_tokens=row_tokens, micro_batch_tokens=2 * row_tokens, holds=holds)


def flat_visible(packed, reach=WHOLE):
    """The dense mask [T, T] of all tokens as one row, from that of the rows: nothing is seen from row to row, nor of padding."""
    tokens = (packed.segment_RL >= 0).flatten()
    rows = torch.block_diag(*visible(packed, reach))[tokens][:, tokens]
    added = flat_size(len(rows)) - len(rows)
    return torch.block_diag(rows, torch.ones(added, added, dtype=torch.bool).tril()).bool()


def test_responses_of_one_token_are_no_segments_whatever_their_number():
    prompts = [[9, 8, 7, 6], *[[7, 5, 6]] * 9, [4]]  # rows of four tokens: the first prompt's, and all others'
    (packed,) = pack([TokenSequence(np.array(ids), np.array([3])) for ids in prompts], row_tokens=4, micro_batch_tokens=8)
    assert packed.segment_RL.max() < packed.segment_RL.shape[1]
    mask = dense_mask(block_mask(flattened(packed).spans))
    assert torch.equal(mask[0, 0], flat_visible(packed))


@settings(max_examples=60, deadline=None)
@given(layouts())
def test_the_block_mask_is_the_dense_mask(packs):
    for packed in packs:
        flat = flattened(packed)
        mask = block_mask(flat.spans)
        assert mask.shape == (1, 1, *flat_visible(packed).shape)
        assert torch.equal(dense_mask(mask)[0, 0], flat_visible(packed))


@settings(max_examples=60, deadline=None)
@given(layouts(), st.sampled_from([0, 1, 2, 17, 128, 200]), st.sampled_from([0, 1, 3, 40, 128]))
def test_windows_and_chunks_count_in_the_sequence_not_in_the_row(packs, window, chunk):
    for packed in packs:
        seen = dense_mask(block_mask(within(flattened(packed), window, chunk)))[0, 0]
        assert torch.equal(seen[: packed.input_tokens], flat_visible(packed, Reach(window, chunk))[: packed.input_tokens])
        assert seen.diagonal().all()  # no softmax over nothing, in padding neither


@settings(max_examples=20, deadline=None)
@given(layouts())
def test_blocks_are_those_that_torch_finds_by_evaluating_every_pair(packs):
    for packed in packs:
        flat = flattened(packed)
        mask = block_mask(flat.spans)
        size = flat.input_ids_1T.shape[1]
        torchs = create_block_mask(mask.mask_mod, 1, 1, size, size, device="cpu")
        for name in ("kv_num_blocks", "full_kv_num_blocks", "q_num_blocks", "full_q_num_blocks"):
            assert torch.equal(getattr(mask, name), getattr(torchs, name)), name
        assert torch.equal(mask.to_dense(), torchs.to_dense())


@settings(max_examples=4, deadline=None)
@given(layouts())
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_itself_attends_by_it_as_by_the_dense_mask(packs):
    packed = packs[0]
    mask = block_mask(flattened(packed).spans)
    size = mask.shape[-1]
    query, key, value = torch.randn(3, 1, 2, size, 16, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=flat_visible(packed))
    torch.testing.assert_close(flex_attention(query, key, value, block_mask=mask), expected, rtol=1e-4, atol=1e-5)


def by_blocks(decoder, packed):
    return block_input(decoder, packed).hidden(decoder)


def by_rows(decoder, packed):
    mask = attention_mask(decoder, packed)
    return DecoderInput(packed.input_ids_RL, packed.position_ids_RL, mask, packed.hidden_index_N).hidden(decoder)


def gradient(model, sequences, layout, forward):
    """Log-probs, entropies and the gradient of a sum that tells all tokens apart, summed over the micro-batches."""
    weights, parameters = weighted_sum(sequences), list(model.parameters())
    total, found = [torch.zeros_like(parameter) for parameter in parameters], []
    for packed in pack(sequences, **layout):
        logp_N, entropy_N = response_logps(model, packed, 0.8, forward)
        weight_N = torch.cat([weights[b] for b in packed.sequences_b.tolist()])
        found += [logp_N.detach(), entropy_N]
        for sum_, part in zip(total, torch.autograd.grad((weight_N * logp_N).sum(), parameters), strict=True):
            sum_ += part
    return found + total


@pytest.mark.parametrize("name", ["llama tied", "qwen2"])
@settings(max_examples=8, deadline=None)
@given(sequences=batches(), row_tokens=st.integers(1, 40), micro_batch_tokens=st.integers(1, 80))
def test_log_probs_and_gradients_are_those_over_the_rows(name, sequences, row_tokens, micro_batch_tokens):
    model = copy.deepcopy(model_named(name))
    layout = {"row_tokens": row_tokens, "micro_batch_tokens": micro_batch_tokens}
    expected = gradient(model, sequences, layout, by_rows)
    torch.testing.assert_close(gradient(model, sequences, layout, by_blocks), expected, rtol=1e-8, atol=1e-8)


def test_a_soft_cap_of_the_scores_is_kept():
    """Gemma 2 bounds its attention's scores; against transformers' own eager kernel."""
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 16}
    config = Gemma2Config(vocab_size=19, num_key_value_heads=1, attn_logit_softcapping=0.5, sliding_window=64, **shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoder = Gemma2Model._from_config(config, attn_implementation="eager").eval().double()
    for parameter in decoder.parameters():
        parameter.data *= 5
    (packed,) = pack([TokenSequence(np.arange(2, 9), np.arange(2, 2 + n)) for n in (3, 9)], row_tokens=40)
    found = by_blocks(decoder, packed)
    decoder.set_attn_implementation("eager")
    torch.testing.assert_close(found, by_rows(decoder, packed), rtol=1e-6, atol=1e-6)
    decoder.set_attn_implementation(SEGMENTS)
    decoder.config.attn_logit_softcapping = None  # what the cap did, for the test to see that there is one
    for layer in decoder.layers:
        layer.self_attn.attn_logit_softcapping = None
    assert (by_blocks(decoder, packed) - found).abs().max() > 1e-3


def test_a_model_set_to_the_kernel_still_runs_without_a_block_mask():
    """Generation, evaluation and probes of a trained model: no mask, a padding mask, an additive one."""
    plain, model = model_named("qwen2"), copy.deepcopy(model_named("qwen2"))
    model.set_attn_implementation(SEGMENTS)
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 1]])
    for given_ in ({}, {"attention_mask": torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]])}):
        torch.testing.assert_close(model(input_ids=ids, **given_).logits[:, -1], plain(input_ids=ids, **given_).logits[:, -1])
    (packed,) = pack([TokenSequence(np.array([3, 4]), np.array([5, 6, 1]))])
    torch.testing.assert_close(response_logps(model, packed), response_logps(plain, packed))
    generated = model.generate(ids, max_new_tokens=4, do_sample=False)
    assert torch.equal(generated, plain.generate(ids, max_new_tokens=4, do_sample=False))


def test_on_a_cpu_rows_are_read_as_they_are():
    model = llama()
    (packed,) = pack([TokenSequence(np.array([3, 4]), np.array([5, 6, 1]))])
    read = decoder_input(decoder_of(model), packed)
    assert read.input_ids_RL is packed.input_ids_RL
    assert torch.equal(read.mask, additive_mask(packed, torch.float32))
    assert torch.equal(plain_forward(decoder_of(model), packed), by_rows(decoder_of(model), packed))


def test_who_takes_blocks():
    """On a GPU in half precision: models that transformers offers the kernel for, with heads that are wide enough, no dropout."""
    gpu = torch.device("cuda")
    wide = decoder_of(llama(hidden_size=32)).to(torch.bfloat16)
    assert takes_blocks(wide, gpu)
    assert not takes_blocks(wide, torch.device("cpu"))
    assert not takes_blocks(decoder_of(llama(hidden_size=32)), gpu)
    assert "heads are 4 wide" in unfit(decoder_of(qwen2()))
    assert "does not offer" in unfit(decoder_of(model_named("gpt2")))
    wide.config.attention_dropout = 0.1
    assert "dropout" in unfit(wide)


def test_a_model_that_cannot_take_blocks_is_named_once(caplog, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", lambda on: None)
    narrow = decoder_of(qwen2()).to(torch.bfloat16)
    assert not any(takes_blocks(narrow, torch.device("cuda")) for _ in range(3))
    assert caplog.text.count("Qwen2Model attends by a dense mask") == 1
    assert "heads are 4 wide" in caplog.text


@settings(max_examples=30, deadline=None)
@given(layouts())
def test_tokens_keep_their_ids_positions_and_targets(packs):
    for packed in packs:
        flat, tokens = flattened(packed), (packed.segment_RL >= 0)
        for found, rows in ((flat.input_ids_1T, packed.input_ids_RL), (flat.position_ids_1T, packed.position_ids_RL)):
            assert torch.equal(found[0, : packed.input_tokens], rows[tokens])
            assert not found[0, packed.input_tokens :].any()
        assert torch.equal(flat.input_ids_1T[0, flat.predicting_N], packed.input_ids_RL.flatten()[packed.hidden_index_N])


@given(st.integers(1, 300_000))
def test_sizes_are_few_and_close(tokens):
    size = flat_size(tokens)
    assert size >= tokens and size % BLOCK == 0
    assert size - tokens < max(BLOCK, tokens / 4)
    assert flat_size(size) == size  # a size is its own


def test_a_run_of_ragged_rollouts_meets_few_sizes():
    """What is planned or compiled is counted in sizes: hundreds of micro-batches, no two of one length, have a dozen at most."""
    layout, lengths, sizes = Layout(512, 2048), [], set()
    for step in range(60):
        random, sequences = np.random.default_rng(step), []
        for _ in range(random.integers(1, 9)):
            prompt = random.integers(2, 19, random.integers(5, 120))
            drawn = np.minimum(random.geometric(1 / 60, random.integers(1, 9)), 400)
            sequences += [TokenSequence(prompt, random.integers(2, 19, count)) for count in drawn]
        packs = layout.pack(sequences, None, torch.device("cpu"))
        lengths += [packed.input_tokens for packed in packs]
        sizes |= {flattened(packed).input_ids_1T.shape[1] for packed in packs}
    bound = {flat_size(tokens) for tokens in range(1, 2049)}
    assert sizes <= bound and len(bound) == 12
    assert len(set(lengths)) > 5 * len(bound)


def test_the_number_of_sizes_of_a_run_is_bounded():
    """Up to a micro-batch of 8,192 tokens: four sizes between powers of two, and below 512 the multiples of a block."""
    assert len({flat_size(tokens) for tokens in range(1, 8193)}) == 4 + 4 * 4
