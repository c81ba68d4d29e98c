"""The torch generator on tiny real models: against transformers, against a full forward, and in random company."""

import numpy as np
import pytest
import torch
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.rng import generator
from unified_rl.base.types import Decoding, Problem, Prompt
from unified_rl.sampling.company import company
from unified_rl.sampling.draws import draw_by_inversion
from unified_rl.sampling.kv_cache import RowCacheLayer
from unified_rl.sampling.llama_decoder import LlamaDecoder
from unified_rl.sampling.torch_generator import TorchGenerator
from unified_rl.sampling.waiting import Waiting

pytestmark = pytest.mark.usefixtures("one_thread")

VOCABULARY, EOS = 50, 1


class IdTokenizer:
    eos_token_id = EOS

    def decode(self, token_ids, skip_special_tokens=False):
        assert skip_special_tokens
        return " ".join(str(token) for token in token_ids if token != EOS)

    def __len__(self):
        return VOCABULARY


def build(kind: str, **changes):
    """A two-layer model whose logits are spread enough that temperature, order and position all matter."""
    torch.manual_seed(0)
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 96,
        "bos_token_id": 0,
        "eos_token_id": EOS,
        "pad_token_id": 0,
        "initializer_range": 0.15,
    }
    heads = {} if kind == "gpt_neox" else {"num_key_value_heads": 1}
    config, model = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "gpt_neox": (GPTNeoXConfig, GPTNeoXForCausalLM),
    }[kind]
    built = model(config(**{**shape, **heads, **changes}))
    for name, parameter in built.named_parameters():
        if name.endswith("bias"):  # they start at zero, where a forgotten bias would not show
            torch.nn.init.normal_(parameter, std=0.3)
        elif "norm" in name:  # at one, where a forgotten norm's weight would not show
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return built


def make_prompts(lengths, seed=0) -> list[Prompt]:
    numbers = generator(seed, "test_prompts")
    ids = [tuple(numbers.integers(2, VOCABULARY, size=length).tolist()) for length in lengths]
    return [Prompt(Problem(f"p{i}", "", ""), token_ids) for i, token_ids in enumerate(ids)]


def generate_one(model, prompt, seed, decoding, **settings):
    return TorchGenerator(model, IdTokenizer(), **settings).generate([prompt], [[seed]], decoding, 0)[0][0]


def full_logits(model, prompt, response) -> torch.Tensor:
    """Logits [T, V] that predicted the response's tokens, from one plain forward over prompt and response."""
    ids = torch.tensor([[*prompt.token_ids, *response.token_ids.tolist()]])
    with torch.no_grad():
        return model.eval()(ids).logits[0, len(prompt.token_ids) - 1 : -1]


def assert_same(left, right) -> None:
    """Bit for bit."""
    np.testing.assert_array_equal(left.token_ids, right.token_ids)
    np.testing.assert_array_equal(left.behaviour_logp, right.behaviour_logp)
    assert (left.finish, left.text, left.seed) == (right.finish, right.text, right.seed)


def skip_if_rounded(model, threads: int) -> None:
    """Skip where a measurement found that company changes the last bits; never the models that are exact by construction."""
    torch.set_num_threads(threads)
    found = company(model)
    torch.set_num_threads(1)
    if found == "rounded":
        pytest.skip(f"on this machine company changes the last bits of {type(model).__name__} on {threads} threads (measured)")


MODELS = [
    ("llama", {}),
    ("llama", {"tie_word_embeddings": True, "num_key_value_heads": 2, "attention_bias": True}),
    ("llama", {"mlp_bias": True}),
    ("qwen2", {}),
    ("gpt_neox", {}),
]


@pytest.mark.parametrize(("kind", "changes"), MODELS)
def test_greedy_equals_transformers_generate(kind, changes):
    model = build(kind, **changes).eval()
    prompts = make_prompts([1, 2, 9, 16, 17, 18, 30])
    ours = TorchGenerator(model, IdTokenizer()).generate(prompts, [[0]] * 7, Decoding(temperature=0, max_new_tokens=24), 0)
    for prompt, (response,) in zip(prompts, ours, strict=True):
        ids = torch.tensor([prompt.token_ids])
        theirs = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24)
        assert response.token_ids.tolist() == theirs[0, len(prompt.token_ids) :].tolist()


@pytest.mark.parametrize(("kind", "changes"), MODELS)
@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_behaviour_logp_equals_a_full_forward(kind, changes, temperature):
    model = build(kind, **changes)
    prompts = make_prompts([1, 5, 17, 23])
    decoding = Decoding(temperature=temperature, max_new_tokens=30)
    groups = TorchGenerator(model, IdTokenizer(), eos_token_ids=[]).generate(prompts, [[1, 2, 3]] * 4, decoding, 0)
    for prompt, group in zip(prompts, groups, strict=True):
        for response in group:
            logp = (full_logits(model, prompt, response) / temperature).log_softmax(-1)
            expected = logp.gather(-1, torch.from_numpy(response.token_ids)[:, None])[:, 0]
            np.testing.assert_allclose(response.behaviour_logp, expected.numpy(), atol=1e-5)
            assert response.behaviour_logp.dtype == np.float32


def test_behaviour_logp_is_renormalised_over_top_k():
    model, (prompt,) = build("llama"), make_prompts([6])
    response = generate_one(model, prompt, 4, Decoding(top_k=3, max_new_tokens=30), eos_token_ids=[])
    values, kept = full_logits(model, prompt, response).topk(3)
    chosen = kept == torch.from_numpy(response.token_ids)[:, None]
    assert chosen.any(dim=-1).all()
    np.testing.assert_allclose(response.behaviour_logp, values.log_softmax(-1)[chosen].numpy(), atol=1e-5)


def test_lean_decoder_serves_the_small_llamas_only():
    served = [LlamaDecoder.supports(build(kind, **changes)) for kind, changes in MODELS]
    assert served == [True, True, False, True, False]
    assert not LlamaDecoder.supports(build("llama").to(torch.bfloat16))
    hooked = build("llama")
    hooked.model.layers[0].mlp.register_forward_hook(lambda *_: None)
    assert not LlamaDecoder.supports(hooked)


@pytest.mark.bit_equality
@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_response_does_not_depend_on_its_company(kind, threads):
    """Bit for bit, over random batches, orders, concurrency caps and chunks; by construction also on one thread as on two."""
    model = build(kind)
    skip_if_rounded(model, threads)
    torch.set_num_threads(1 if LlamaDecoder.supports(model) else threads)
    skip_if_rounded(model, threads)
    decoding = Decoding(temperature=0.9, max_new_tokens=40)
    prompts = make_prompts(generator(1, "lengths").integers(1, 40, size=24))
    alone = [[generate_one(model, prompt, seed, decoding) for seed in (7, 8)] for prompt in prompts[:16]]
    torch.set_num_threads(threads)
    for trial in range({1: 6, 2: 1}[threads]):
        numbers = generator(trial, "company")
        order = numbers.permutation(24)[: numbers.integers(8, 25)]
        seeds = [[7, 8, *numbers.integers(100, 200, size=numbers.integers(0, 5)).tolist()] for _ in order]
        rows, chunk = int(numbers.integers(1, 80)), int(numbers.integers(1, 300))
        caller = TorchGenerator(model, IdTokenizer(), max_concurrent_sequences=rows, prefill_tokens=chunk)
        groups = caller.generate([prompts[i] for i in order], seeds, decoding, 0)
        for index, group in zip(order, groups, strict=True):
            for expected, response in zip(alone[index] if index < 16 else [], group, strict=False):
                assert_same(expected, response)
    lengths = {len(response) for group in alone for response in group}
    assert len(lengths) > 3, "the responses should be ragged, or the test shows little"


@pytest.mark.bit_equality
def test_a_group_shares_its_prompt_and_equals_separate_requests(monkeypatch):
    model, prompts = build("llama"), make_prompts([19, 20, 21])
    decoding = Decoding(max_new_tokens=12)
    separate = [[generate_one(model, prompt, seed, decoding) for seed in range(9)] for prompt in prompts]
    prefilled, prefill = [], Waiting._keys_and_values
    monkeypatch.setattr(
        Waiting, "_keys_and_values", lambda self, prompts, length: prefilled.extend(prompts) or prefill(self, prompts, length)
    )
    for rows in (2, 14, 100):
        prefilled.clear()
        caller = TorchGenerator(model, IdTokenizer(), max_concurrent_sequences=rows)
        groups = caller.generate(prompts, [range(9)] * 3, decoding, 0)
        if rows > 27:  # for fewer, some begin again
            assert sorted(prompt.id for prompt in prefilled) == ["p0", "p1", "p2"]
        for expected, group in zip(separate, groups, strict=True):
            for left, right in zip(expected, group, strict=True):
                assert_same(left, right)


def test_seeds_and_policy_version_and_order_of_responses():
    model, prompts = build("llama"), make_prompts([5, 3])
    first, second = TorchGenerator(model, IdTokenizer()).generate(prompts, [[1, 2, 1], []], Decoding(max_new_tokens=12), 9)
    assert second == []
    assert [response.seed for response in first] == [1, 2, 1]
    assert_same(first[0], first[2])
    assert not np.array_equal(first[0].token_ids, first[1].token_ids)
    assert first[0].policy_version == 9
    assert first[0].decoding == Decoding(max_new_tokens=12)
    assert first[0].response_mask is None


@pytest.mark.bit_equality
def test_more_room_only_continues_a_response():
    model, (prompt,) = build("llama"), make_prompts([5])
    short, long = (generate_one(model, prompt, 3, Decoding(max_new_tokens=n), eos_token_ids=[]) for n in (6, 40))
    np.testing.assert_array_equal(short.token_ids, long.token_ids[:6])
    np.testing.assert_array_equal(short.behaviour_logp, long.behaviour_logp[:6])


def test_any_of_several_eos_ids_ends_a_response_and_belongs_to_it():
    model, prompts = build("llama"), make_prompts([4] * 20)
    decoding, ends = Decoding(max_new_tokens=25), (1, 7, 13)
    free = TorchGenerator(model, IdTokenizer(), eos_token_ids=[]).generate(prompts, [[5]] * 20, decoding, 0)
    ended = TorchGenerator(model, IdTokenizer(), eos_token_ids=ends).generate(prompts, [[5]] * 20, decoding, 0)
    seen = set()
    for (whole,), (response,) in zip(free, ended, strict=True):
        assert whole.finish == "length"
        assert len(whole) == 25
        at = next((t for t, token in enumerate(whole.token_ids) if token in ends), None)
        expected = whole.token_ids if at is None else whole.token_ids[: at + 1]
        np.testing.assert_array_equal(response.token_ids, expected)
        assert response.finish == ("length" if at is None else "stop")
        assert response.text == " ".join(str(token) for token in expected if token != EOS)
        seen.add(None if at is None else int(whole.token_ids[at]))
    assert seen == {None, *ends}


def test_eos_as_the_last_permitted_token_is_a_stop():
    model, (prompt,) = build("llama"), make_prompts([4])
    whole = generate_one(model, prompt, 5, Decoding(max_new_tokens=10), eos_token_ids=[])
    at = int(np.flatnonzero(whole.token_ids == whole.token_ids[-1])[0])
    response = generate_one(model, prompt, 5, Decoding(max_new_tokens=at + 1), eos_token_ids=[int(whole.token_ids[-1])])
    assert response.finish == "stop"
    assert len(response) == at + 1


def test_concurrency_is_capped_and_progress_reported(monkeypatch):
    model, prompts = build("llama"), make_prompts([5] * 10)
    rows, progress = [], []
    step = LlamaDecoder.logits
    monkeypatch.setattr(LlamaDecoder, "logits", lambda self, ids, *rest: rows.append(len(ids)) or step(self, ids, *rest))
    capped = TorchGenerator(
        model, IdTokenizer(), max_concurrent_sequences=20, on_progress=lambda done, total: progress.append((done, total))
    )
    capped.generate(prompts, [range(8)] * 10, Decoding(max_new_tokens=30), 0)
    assert max(rows) == 32  # 20 rows, rounded up to whole tiles
    assert min(rows) == 16  # the last ones do not drag the rest along
    assert progress == sorted(progress)
    assert progress[-1] == (80, 80)


def test_long_responses_do_not_hold_up_the_rest(monkeypatch):
    """Row-steps are near the number of tokens (a static batch takes rows * longest), and free rows do not wait for the rest."""
    model, prompts = build("llama"), make_prompts([5] * 64)
    rows = []
    step = LlamaDecoder.logits
    monkeypatch.setattr(LlamaDecoder, "logits", lambda self, ids, *rest: rows.append(len(ids)) or step(self, ids, *rest))
    ragged = TorchGenerator(model, IdTokenizer(), eos_token_ids=range(6), max_concurrent_sequences=32)
    groups = ragged.generate(prompts, [range(4)] * 64, Decoding(max_new_tokens=80), 0)
    tokens = sum(len(response) for group in groups for response in group)
    assert sum(rows) < 1.5 * tokens + 16 * 80
    longest = max(len(response) for group in groups for response in group)
    assert len(rows) < 1.2 * tokens / 32 + longest


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_mode_attention_and_gradients_are_as_before(kind):
    model, (prompt,) = build(kind), make_prompts([6])
    model.train()
    model.base_model.layers[1].eval()
    modes, attention = [module.training for module in model.modules()], model.config._attn_implementation
    generate_one(model, prompt, 0, Decoding(max_new_tokens=5))
    assert [module.training for module in model.modules()] == modes
    assert model.config._attn_implementation == attention == "sdpa"
    assert torch.is_grad_enabled()
    assert not any(tensor.is_inference() for tensor in [*model.parameters(), *model.buffers()])
    loss = model(torch.tensor([prompt.token_ids]), labels=torch.tensor([prompt.token_ids])).loss
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_mode_is_restored_after_an_error(kind):
    model, (prompt,) = build(kind), make_prompts([6])
    model.train()
    broken = TorchGenerator(model, IdTokenizer(), on_progress=lambda done, total: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        broken.generate([prompt], [[0]], Decoding(max_new_tokens=3), 0)
    assert model.training
    assert torch.is_grad_enabled()


def test_weights_are_always_the_current_ones():
    model, (prompt,) = build("llama"), make_prompts([6])
    caller = TorchGenerator(model, IdTokenizer(), eos_token_ids=[])
    decoding = Decoding(temperature=0, max_new_tokens=8)
    caller.generate([prompt], [[0]], decoding, 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    response = caller.generate([prompt], [[0]], decoding, 1)[0][0]
    np.testing.assert_array_equal(response.token_ids, full_logits(model, prompt, response).argmax(-1).numpy())


def test_bad_requests_are_refused_before_any_work(monkeypatch):
    model = build("llama")
    monkeypatch.setattr(model.model, "forward", lambda **kw: pytest.fail("work was begun"))
    caller, good = TorchGenerator(model, IdTokenizer()), make_prompts([5])[0]
    empty, alien = Prompt(Problem("void", "", ""), ()), Prompt(Problem("alien", "", ""), (3, VOCABULARY))
    with pytest.raises(DataError, match="'void' has no tokens"):
        caller.generate([good, empty], [[0], [0]], Decoding(max_new_tokens=9), 0)
    with pytest.raises(DataError, match=r"'alien' has token ids \[50\]"):
        caller.generate([good, alien], [[0], [0]], Decoding(max_new_tokens=9), 0)
    with pytest.raises(DataError, match=r"'p0' has 5 tokens; with max_new_tokens=92 .* max_position_embeddings of 96"):
        caller.generate([good], [[0]], Decoding(max_new_tokens=92), 0)
    with pytest.raises(DataError, match="one sequence of seeds per prompt"):
        caller.generate([good], [], Decoding(), 0)
    for wrong in (Decoding(max_new_tokens=0), Decoding(temperature=-1), Decoding(top_p=0), Decoding(top_k=-1)):
        with pytest.raises(ConfigError):
            caller.generate([good], [[0]], wrong, 0)


def test_the_whole_context_can_be_used():
    model, (prompt,) = build("llama"), make_prompts([5])
    assert len(generate_one(model, prompt, 0, Decoding(max_new_tokens=91), eos_token_ids=[])) == 91


def test_settings_that_do_not_fit_the_model_are_refused():
    model = build("llama", vocab_size=VOCABULARY - 1)
    with pytest.raises(ConfigError, match="tokenizer has 50 tokens but the model embeds 49"):
        TorchGenerator(model, IdTokenizer())
    with pytest.raises(ConfigError, match=r"\[50\] are outside"):
        TorchGenerator(build("llama"), IdTokenizer(), eos_token_ids=[1, 50])
    with pytest.raises(ConfigError, match="at least 1"):
        TorchGenerator(build("llama"), IdTokenizer(), max_concurrent_sequences=0)


def test_eos_ids_come_from_the_model_and_the_tokenizer_by_default():
    model = build("llama")
    model.generation_config.eos_token_id = [7, 9]
    assert TorchGenerator(model, IdTokenizer()).eos_token_ids.tolist() == [EOS, 7, 9]


def test_slots_that_a_growing_cache_adds_are_zero():
    """A hidden slot is multiplied by zero, and 0 * NaN is NaN. Deterministic mode fills uninitialised memory with NaN."""
    layer = RowCacheLayer()
    layer.resize(16, 16)
    layer.load(torch.arange(2), torch.ones(2, 1, 16, 4), torch.ones(2, 1, 16, 4))
    torch.use_deterministic_algorithms(True)
    try:
        assert layer.keys.new_empty(4).isnan().all()
        layer.resize(32, 48)
    finally:
        torch.use_deterministic_algorithms(False)
    for buffer in (layer.keys, layer.values):
        assert buffer.shape == (32, 1, 48, 4)
        assert buffer.sum() == buffer[:2, :, :16].sum() == 2 * 16 * 4


def test_a_token_is_where_the_cumulative_probability_passes_the_uniform_number():
    # cumulative: 0.2, 0.5, 1
    logp = torch.tensor([[0.2, 0.3, 0.5]]).log()
    for uniform, token in ((0.99, 2), (0.51, 2), (0.49, 1), (0.21, 1), (0.19, 0), (0.0, 0)):
        drawn, its_logp = draw_by_inversion(logp, torch.tensor([uniform], dtype=torch.float64))
        assert (drawn.item(), its_logp.item()) == (token, logp[0, token].item())
