"""The compiled decoding step, compiled for real once: against transformers, against the plain step, and in random company."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from test_torch_generator import IdTokenizer, assert_same, build, full_logits, generate_one, make_prompts

from unified_rl.base.errors import CheckpointError, ConfigError
from unified_rl.base.rng import generator
from unified_rl.base.types import Decoding
from unified_rl.config.schema import Config
from unified_rl.config.training import GeneratorConfig
from unified_rl.presets.loading import load_config
from unified_rl.sampling import compiled_step as recipe
from unified_rl.sampling.llama_decoder import StepShape
from unified_rl.sampling.torch_generator import TorchGenerator
from unified_rl.stages.generators import compiled_step, preflight_generator

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.long]

KIND = "qwen2"  # grouped queries, biases on some of the projections, none on the head


@pytest.fixture(scope="module")
def built():
    """A model of the shape that is compiled; compiling takes a minute and grows with the layers."""
    return lambda **changes: build(KIND, num_hidden_layers=4, **changes)


@pytest.fixture(scope="module")
def config(tmp_path_factory, built):
    return Config(generator=GeneratorConfig(compiled=True), artifacts=str(tmp_path_factory.mktemp("artifacts")))


@pytest.fixture(scope="module")
def step(config, built):
    torch.set_num_threads(1)
    return compiled_step(config, built())


def test_greedy_equals_transformers_generate(step, built):
    model, prompts = built().eval(), make_prompts([1, 2, 9, 16, 17, 18, 30])
    caller = TorchGenerator(model, IdTokenizer(), compiled_step=step)
    ours = caller.generate(prompts, [[0]] * 7, Decoding(temperature=0, max_new_tokens=24), 0)
    for prompt, (response,) in zip(prompts, ours, strict=True):
        ids = torch.tensor([prompt.token_ids])
        theirs = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24)
        assert response.token_ids.tolist() == theirs[0, len(prompt.token_ids) :].tolist()


@pytest.mark.parametrize("decoding", [Decoding(max_new_tokens=40), Decoding(temperature=0.7, max_new_tokens=40)])
def test_behaviour_logp_equals_a_full_forward(step, built, decoding):
    model, prompts = built(), make_prompts([1, 5, 17, 23])
    caller = TorchGenerator(model, IdTokenizer(), eos_token_ids=[], compiled_step=step)
    for prompt, group in zip(prompts, caller.generate(prompts, [range(12)] * 4, decoding, 0), strict=True):
        for response in group:
            logp = (full_logits(model, prompt, response) / decoding.temperature).log_softmax(-1)
            expected = logp.gather(-1, torch.from_numpy(response.token_ids)[:, None])[:, 0]
            np.testing.assert_allclose(response.behaviour_logp, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("settings", [{"temperature": 1.3}, {"top_k": 3}, {"top_p": 0.8}, {"temperature": 0}])
def test_it_draws_what_the_plain_step_draws_whatever_the_weights(step, built, settings):
    """The same uniform numbers give the same tokens, but where one falls within rounding of an edge: none of these does."""
    decoding = Decoding(max_new_tokens=40, **settings)
    for scale in (0.0, 0.1):
        model, prompts = built(), make_prompts([5, 17])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * scale)
        plain, compiled = (
            TorchGenerator(model, IdTokenizer(), compiled_step=which).generate(prompts, [range(9)] * 2, decoding, 0)
            for which in (None, step)
        )
        for left, right in zip(chain(*plain), chain(*compiled), strict=True):
            np.testing.assert_array_equal(left.token_ids, right.token_ids)
            np.testing.assert_allclose(left.behaviour_logp, right.behaviour_logp, atol=1e-5)


@pytest.mark.bit_equality
@pytest.mark.parametrize("threads", [1, 2])
def test_a_response_does_not_depend_on_its_company(step, built, threads):
    """Bit for bit, over random batches, orders, concurrency caps and prefill chunks."""
    model, decoding = built(), Decoding(temperature=0.9, max_new_tokens=40)
    prompts = make_prompts(generator(1, "lengths").integers(1, 40, size=24))
    alone = [[generate_one(model, prompt, seed, decoding, compiled_step=step) for seed in (7, 8)] for prompt in prompts[:16]]
    torch.set_num_threads(threads)
    for trial in range(6):
        numbers = generator(trial, "company")
        order = numbers.permutation(24)[: numbers.integers(8, 25)]
        seeds = [[7, 8, *numbers.integers(100, 200, size=numbers.integers(0, 5)).tolist()] for _ in order]
        rows, chunk = int(numbers.integers(1, 80)), int(numbers.integers(1, 300))
        caller = TorchGenerator(model, IdTokenizer(), max_concurrent_sequences=rows, prefill_tokens=chunk, compiled_step=step)
        groups = caller.generate([prompts[i] for i in order], seeds, decoding, 0)
        for index, group in zip(order, groups, strict=True):
            for expected, response in zip(alone[index] if index < 16 else [], group, strict=False):
                assert_same(expected, response)
    assert len({len(response) for group in alone for response in group}) > 3, "the responses should be ragged"


def test_a_damaged_step_is_not_loaded(step, built, config):
    (stored,) = Path(config.artifacts).glob("decoding_step/*/step.pt2")
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match=r"is damaged.*delete that folder"):
        compiled_step(config, built())
    stored.write_bytes(whole)


def test_it_is_compiled_once_for_all_weights_of_a_shape(step, built, config, monkeypatch):
    compiled = []
    monkeypatch.setattr(recipe, "export", lambda module, *_, **__: compiled.append(module.step.shape))
    monkeypatch.setattr(recipe, "aoti_compile_and_package", lambda _, package_path: Path(package_path).write_bytes(b""))
    monkeypatch.setattr(recipe, "load_step", lambda path: path)
    again = built()
    torch.nn.init.normal_(again.lm_head.weight)
    compiled_step(config, again)
    assert compiled == []
    other = built(intermediate_size=112)
    compiled_step(config, other)
    assert compiled == [StepShape.of(other)]
    torch.set_num_threads(2)
    compiled_step(config, other)
    assert len(compiled) == 2, "the code of two threads is not that of one"
    monkeypatch.setattr(recipe, "llama_decoder", recipe.fixed_shapes)
    compiled_step(config, other)
    assert len(compiled) == 3, "other code is compiled again"


def test_a_compiler_that_fails_is_reported_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "false")
    config = Config(generator=GeneratorConfig(compiled=True), artifacts=str(tmp_path))
    failing = recipe.inductor.patch({"cpp.cxx": (None, "false")})  # torch reads the variable once, when it is imported
    with failing, pytest.raises(ConfigError, match=r"could not be compiled.*leave generator.compiled out"):
        compiled_step(config, build(KIND, num_hidden_layers=1))
    assert not list(tmp_path.glob("decoding_step/*/step.pt2"))


def test_what_cannot_be_compiled_is_refused(config, monkeypatch):
    with pytest.raises(ConfigError, match=r"GPTNeoXForCausalLM.*leave generator.compiled out"):
        compiled_step(config, build("gpt_neox"))
    for words, remedy in (
        (["generator=vllm"], "generator=vllm"),
        (["model.device=cuda"], "model.device=cuda"),
        (["model.dtype=bfloat16"], "model.dtype=float32"),
    ):
        with pytest.raises(ConfigError, match=rf"generator.compiled=true.*{remedy}"):
            load_config(["method=grpo", "generator.compiled=true", *words])
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"no-such-compiler.*install one"):
        preflight_generator(config)
