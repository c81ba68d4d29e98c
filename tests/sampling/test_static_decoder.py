"""Decoding by static shapes, on a CPU without graphs: the plain path's tokens, few shapes, the live parameters."""

from itertools import chain

import numpy as np
import pytest
import torch
from test_torch_generator import IdTokenizer, build, make_prompts

from unified_rl.base.rng import generator
from unified_rl.base.types import Decoding
from unified_rl.sampling.draws import draw_by_blocks, draw_by_inversion
from unified_rl.sampling.static_decoder import StaticDecoder, length_bucket, row_bucket
from unified_rl.sampling.static_step import supports
from unified_rl.sampling.torch_generator import TorchGenerator
from unified_rl.sampling.waiting import Waiting

pytestmark = pytest.mark.usefixtures("one_thread")


def plain_and_static(model, prompts, seeds, decoding, **settings):
    """Responses of both paths, and the static decoder."""
    plain, static = (TorchGenerator(model, IdTokenizer(), **settings) for _ in range(2))
    static.static = StaticDecoder(model)
    responses = [list(chain(*each.generate(prompts, seeds, decoding, 3))) for each in (plain, static)]
    return *responses, static.static


def assert_alike(plain, static):
    """The same tokens; log-probabilities up to rounding. No uniform number of these falls within rounding of an edge."""
    for left, right in zip(plain, static, strict=True):
        np.testing.assert_array_equal(left.token_ids, right.token_ids)
        np.testing.assert_allclose(left.behaviour_logp, right.behaviour_logp, atol=1e-5)
        assert (left.finish, left.text, left.seed) == (right.finish, right.text, right.seed)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("llama", {"tie_word_embeddings": True, "num_key_value_heads": 2, "attention_bias": True}),
        ("llama", {"mlp_bias": True}),
        ("qwen2", {"num_attention_heads": 4}),
    ],
)
@pytest.mark.parametrize("rows", [7, 40, 256])
def test_ragged_groups_draw_what_the_plain_path_draws(kind, changes, rows):
    model, prompts = build(kind, **changes), make_prompts([1, 40, 5, 17, 23, 16])
    seeds = [range(count) for count in (12, 9, 0, 14, 1, 30)]
    plain, static, _ = plain_and_static(model, prompts, seeds, Decoding(max_new_tokens=43), max_concurrent_sequences=rows)
    assert_alike(plain, static)
    assert len({len(response) for response in static}) > 10


@pytest.mark.parametrize("settings", [{"temperature": 0.6}, {"temperature": 0}, {"top_k": 4}, {"top_p": 0.7}])
@pytest.mark.parametrize("limit", [1, 8, 21])
def test_every_decoding_setting(settings, limit):
    model, prompts = build("qwen2"), make_prompts([3, 18])
    assert_alike(*plain_and_static(model, prompts, [range(9)] * 2, Decoding(max_new_tokens=limit, **settings))[:2])


def test_a_prompt_goes_through_the_model_once_and_keeps_its_rows_when_they_move(monkeypatch):
    prefilled, moved = [], []
    prefill, move = Waiting._keys_and_values, StaticDecoder.move
    monkeypatch.setattr(
        Waiting, "_keys_and_values", lambda self, prompts, n: prefilled.extend(prompts) or prefill(self, prompts, n)
    )
    monkeypatch.setattr(StaticDecoder, "move", lambda self, *rows: moved.append(rows) or move(self, *rows))
    model, prompts = build("llama"), make_prompts([19, 20, 33])
    caller = TorchGenerator(model, IdTokenizer(), max_concurrent_sequences=14)
    expected = list(chain(*caller.generate(prompts, [range(9)] * 3, Decoding(max_new_tokens=30), 0)))
    prefilled.clear()
    caller.static = StaticDecoder(model)
    assert_alike(expected, chain(*caller.generate(prompts, [range(9)] * 3, Decoding(max_new_tokens=30), 0)))
    assert sorted(prompt.id for prompt in prefilled) == ["p0", "p1", "p2"]
    assert moved


def test_shapes_are_few_and_kept():
    """Over calls of many kinds there are no more shapes than buckets of rows times buckets of lengths."""
    model = build("llama", max_position_embeddings=512)
    caller, decoder = TorchGenerator(model, IdTokenizer(), max_concurrent_sequences=96), StaticDecoder(model)
    caller.static = decoder
    decoder.fit(96, 300)
    made = []
    for trial in range(12):
        numbers = generator(trial, "shapes")
        prompts = make_prompts(numbers.integers(1, 90, size=numbers.integers(1, 12)), seed=trial)
        groups = [range(int(numbers.integers(1, 12))) for _ in prompts]
        caller.generate(prompts, groups, Decoding(max_new_tokens=128), 0)
        made.append(len(decoder.steps))
    rows = {row_bucket(count) for count in range(1, 97)}
    lengths = {length_bucket(count) for count in range(1, 301)}
    assert {(shape[0], shape[1]) for shape in decoder.steps} <= {(r, n) for r in rows for n in lengths}
    assert made[-1] <= len(rows) * len(lengths) == 4 * 5
    assert made[-1] == made[-3], "shapes still come up after ten calls"


@pytest.mark.parametrize("most", [10, 1000, 100_000])
def test_buckets_hold_what_they_are_asked_for_and_waste_little(most):
    for count in (*range(1, min(most, 2000)), most):
        assert count <= row_bucket(count) <= max(16, 2 * count - 1)
        assert count <= length_bucket(count) <= max(count + 63, 1.25 * count)
    assert len({length_bucket(count) for count in range(1, most)}) <= 4 * np.log2(most) + 1


def test_weights_are_the_live_ones_and_a_moved_parameter_is_noticed(monkeypatch):
    model, prompts = build("llama"), make_prompts([6, 9])
    caller, plain = (TorchGenerator(model, IdTokenizer(), eos_token_ids=[]) for _ in range(2))
    caller.static = decoder = StaticDecoder(model)
    decoding = Decoding(max_new_tokens=12)

    def both():
        return [list(chain(*each.generate(prompts, [range(5)] * 2, decoding, 0))) for each in (plain, caller)]

    before, _ = both()
    steps = dict(decoder.steps)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    after, static = both()
    assert_alike(after, static)
    assert decoder.steps == steps
    assert any(not np.array_equal(old.token_ids, new.token_ids) for old, new in zip(before, after, strict=True))
    model.model.norm.weight.data = model.model.norm.weight.data * 2
    assert_alike(*both())
    assert decoder.steps != steps


def test_a_cache_that_grows_keeps_its_rows():
    decoder = StaticDecoder(build("llama"))
    decoder.fit(5, 20)
    for buffer in (*decoder.keys, *decoder.values):
        buffer.normal_()
    before = [buffer.clone() for buffer in decoder.keys]
    decoder.fit(17, 100)
    assert (decoder.rows, decoder.length) == (32, 128)
    for old, new in zip(before, decoder.keys, strict=True):
        torch.testing.assert_close(new[:16, :, :64], old, rtol=0, atol=0)
        assert not new[16:].any()
        assert not new[:, :, 64:].any()


def test_which_models_it_serves():
    served = [supports(build(kind, **changes)) for kind, changes in [("llama", {}), ("qwen2", {}), ("gpt_neox", {})]]
    assert served == [True, True, False]
    assert supports(build("qwen2").to(torch.bfloat16))
    assert supports(build("qwen2").to(torch.float16))
    assert not supports(build("qwen2").to(torch.float64))
    assert not supports(build("qwen2", use_sliding_window=True, sliding_window=32, max_window_layers=0))
    assert not StaticDecoder.serves(build("llama")), "on a CPU the plain path is exact"
    hooked = build("llama")
    hooked.model.layers[1].self_attn.register_forward_hook(lambda *_: None)
    assert not supports(hooked)


def test_a_hook_that_comes_later_is_not_passed_over():
    model, prompts = build("llama"), make_prompts([6])
    caller = TorchGenerator(model, IdTokenizer(), eos_token_ids=[])
    caller.static = StaticDecoder(model)
    model.lm_head.register_forward_hook(lambda module, given, output: -output)
    (response,) = caller.generate(prompts, [[0]], Decoding(temperature=0, max_new_tokens=5), 0)[0]
    ids = torch.tensor([[*prompts[0].token_ids, *response.token_ids.tolist()]])
    with torch.no_grad():
        expected = model.eval()(ids).logits[0, 5:-1].argmax(-1)
    assert response.token_ids.tolist() == expected.tolist()
    assert not caller.static.steps


@pytest.mark.parametrize("vocabulary", [1, 5, 128, 1000])
def test_a_draw_by_blocks_is_the_draw_by_inversion(vocabulary):
    numbers = torch.Generator().manual_seed(vocabulary)
    logits = torch.randn(3000, vocabulary, generator=numbers) * 4
    logits[::3, : vocabulary // 2] = float("-inf")
    uniforms = torch.rand(3000, generator=numbers, dtype=torch.float64)
    tokens, logp = draw_by_blocks(logits, uniforms)
    expected, expected_logp = draw_by_inversion(torch.log_softmax(logits, -1), uniforms)
    assert (tokens == expected).float().mean() >= 0.999
    same = tokens == expected
    torch.testing.assert_close(logp[same], expected_logp[same], atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("uniform", [0.0, 1e-300, 0.5, 1 - 2**-53])
def test_a_draw_by_blocks_never_takes_an_impossible_token(uniform):
    logits = torch.full((4, 400), float("-inf"))
    for row, possible in enumerate([[0], [399], [127, 128], [5, 300]]):
        logits[row, possible] = 0.0
    tokens, logp = draw_by_blocks(logits, torch.full((4,), uniform, dtype=torch.float64))
    assert torch.isfinite(logits.gather(-1, tokens[:, None])).all()
    torch.testing.assert_close(logp, torch.tensor([1.0, 1.0, 0.5, 0.5]).log())
