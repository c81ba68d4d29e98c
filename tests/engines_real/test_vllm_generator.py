"""Real vLLM on the CPU: its log-probs are the trainer's, before and after every push of weights; and what it promises besides."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import vllm_tiny as tiny
from vllm_tiny import DECODING, EOS, PROMPTS, SEEDS

from unified_rl.base.errors import ConfigError, DataError, TrainingError
from unified_rl.base.types import Decoding, Problem, Prompt
from unified_rl.sampling.vllm_generator import VllmGenerator
from unified_rl.training.torch_trainer import TorchTrainer
from unified_rl.training.weight_sync import SyncedGenerator, WeightPush

pytestmark = tiny.needs_vllm


@pytest.fixture
def opened():
    """Has a sampler closed at the end: a process serves one at a time."""
    samplers = []
    yield lambda sampler: samplers.append(sampler) or sampler
    for sampler in samplers:
        sampler.close()


def trainer_of(model):
    return TorchTrainer(model, *tiny.trainer_parts())


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_log_probs_are_the_trainers_before_and_after_pushes(tmp_path, opened, family, tied):
    trainer = trainer_of(tiny.tiny_model(tmp_path, family, tied))
    sampler = opened(tiny.sampler(tmp_path))
    fresh = sampler.generate(PROMPTS, SEEDS, DECODING, 0)
    assert tiny.largest_difference(trainer, PROMPTS, fresh) < 1e-4, "as loaded from the folder"
    push = WeightPush(sampler, trainer, PROMPTS[:2], DECODING)
    generator = SyncedGenerator(sampler, push)
    seen = []
    for cycle in range(3):
        responses = generator.generate(PROMPTS, SEEDS, DECODING, trainer.updates)
        assert {one.policy_version for group in responses for one in group} == {cycle}
        assert tiny.largest_difference(trainer, PROMPTS, responses) < 1e-4
        assert push.metrics()["sync/max_logp_difference"] < 1e-4
        seen.append(np.concatenate([one.token_ids for group in responses for one in group]))
        tiny.some_update(trainer, PROMPTS, responses)
        assert tiny.largest_difference(trainer, PROMPTS, responses) > 0.01, "an update moves the log-probs by far more"
    assert not np.array_equal(seen[0], seen[2])


class Deaf(VllmGenerator):
    """A sampler to which no push gets through."""

    def load_weights(self, weights):
        for _ in weights:
            pass


class Forgetful(VllmGenerator):
    """A sampler that loses one matrix on the way."""

    def load_weights(self, weights):
        super().load_weights((name, value) for name, value in weights if "layers.1.mlp.down_proj" not in name)


@pytest.mark.parametrize("kind", [Deaf, Forgetful])
def test_a_stale_push_is_caught(tmp_path, opened, kind):
    trainer = trainer_of(tiny.tiny_model(tmp_path))
    sampler = opened(tiny.sampler(tmp_path))
    sampler.__class__ = kind
    push = WeightPush(sampler, trainer, PROMPTS[:2], DECODING)
    push.sync()
    tiny.some_update(trainer, PROMPTS, sampler.generate(PROMPTS, SEEDS, DECODING, 0))
    with pytest.raises(TrainingError, match=r"weights of update 1 .* on average over .*max_logp_difference is 0.0001"):
        push.sync()
    with pytest.raises(TrainingError):  # and is not forgotten
        push.sync()


def test_the_process_goes_on_as_before(tmp_path, opened):
    tiny.tiny_model(tmp_path)
    torch.manual_seed(5), random.seed(5), np.random.seed(5)  # noqa: NPY002
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    threads = torch.get_num_threads()
    sampler = opened(tiny.sampler(tmp_path))
    sampler.generate(PROMPTS[:1], [[1]], DECODING, 0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]  # noqa: NPY002
    torch.set_num_threads(threads + 1)
    assert torch.get_num_threads() == threads + 1
    torch.set_num_threads(threads)


def test_a_model_that_vllm_cannot_serve_is_named(tmp_path):
    tiny.tiny_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=f"vLLM cannot serve the model in {tmp_path}"):
        tiny.sampler(tmp_path).generate(PROMPTS[:1], [[1]], DECODING, 0)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """A tied Llama and its sampler, for the tests that leave its weights alone."""
    folder = tmp_path_factory.mktemp("llama")
    model = tiny.tiny_model(folder)
    sampler = tiny.sampler(folder)
    yield model, sampler
    sampler.close()


def test_responses_end_by_any_eos_or_by_length(engine):
    _, sampler = engine
    flat = [one for group in sampler.generate(PROMPTS, SEEDS, DECODING, 7) for one in group]
    ends = {int(one.token_ids[-1]) for one in flat if one.finish == "stop"}
    assert ends == set(EOS), "both ids end some response of this model"
    for one in flat:
        assert len(one) == len(one.behaviour_logp) <= DECODING.max_new_tokens
        assert not np.isin(one.token_ids[:-1], EOS).any()
        assert (one.finish == "length") == (int(one.token_ids[-1]) not in EOS)
        assert one.finish == "stop" or len(one) == DECODING.max_new_tokens
        assert one.text == sampler.tokenizer.decode(one.token_ids.tolist())
        assert one.policy_version == 7


def test_a_request_is_a_function_of_its_seed(engine):
    _, sampler = engine
    first = sampler.generate(PROMPTS, SEEDS, DECODING, 0)
    again = sampler.generate(PROMPTS[::-1], [row[::-1] for row in SEEDS[::-1]], DECODING, 0)
    for row, mirrored in zip(first, again[::-1], strict=True):
        for one, other in zip(row, mirrored[::-1], strict=True):
            assert one.seed == other.seed
            assert np.array_equal(one.token_ids, other.token_ids)
    twice = sampler.generate(PROMPTS[:1], [[5, 5, 2**62 + 9]], DECODING, 0)[0]
    assert np.array_equal(twice[0].token_ids, twice[1].token_ids)
    assert not np.array_equal(twice[0].token_ids, twice[2].token_ids)


def test_more_prompt_tokens_than_vllm_reads_at_once(engine):
    """Where it read a prompt in two pieces, it would draw for the first piece too, and fail to take that back."""
    _, sampler = engine
    prompts = [
        Prompt(Problem(f"long{i}", "", ""), (5, 6 + i % 20, *(7 + (i * j) % 23 for j in range(1, 28)))) for i in range(300)
    ]
    decoding = Decoding(1.0, max_new_tokens=3)
    many = sampler.generate(prompts, [[i] for i in range(300)], decoding, 0)
    alone = sampler.generate(prompts[:200:20], [[i] for i in range(0, 200, 20)], decoding, 0)
    for one, other in zip(many[:200:20], alone, strict=True):
        assert np.array_equal(one[0].token_ids, other[0].token_ids)


def test_greedy_takes_the_likeliest_token(engine):
    model, sampler = engine
    for prompt, (one,) in zip(PROMPTS, sampler.generate(PROMPTS, [[0]] * 5, Decoding(0.0, max_new_tokens=12), 0), strict=True):
        ids = torch.tensor([[*prompt.token_ids, *one.token_ids]])
        logp = torch.log_softmax(model(ids).logits[0, len(prompt.token_ids) - 1 : -1], -1)
        assert logp.argmax(-1).tolist() == one.token_ids.tolist()
        assert np.abs(logp.max(-1).values.detach().numpy() - one.behaviour_logp).max() < 1e-4


def test_top_k_and_top_p_are_in_the_log_probs(engine):
    model, sampler = engine
    for one in sampler.generate(PROMPTS[:1], [[1, 2, 3]], Decoding(1.0, top_k=2, max_new_tokens=8), 0)[0]:
        ids = torch.tensor([[*PROMPTS[0].token_ids, *one.token_ids]])
        best = model(ids).logits[0, len(PROMPTS[0].token_ids) - 1 : -1].topk(2, -1)
        logp = torch.log_softmax(best.values, -1)[best.indices == torch.from_numpy(one.token_ids)[:, None]]
        assert np.abs(logp.detach().numpy() - one.behaviour_logp).max() < 1e-4


def test_requests_that_cannot_be_served_are_refused(engine):
    _, sampler = engine
    for ids, words in (
        ((), "no tokens"),
        ((5, 700), r"token ids \[700\] but the model embeds 0..69"),
        (tuple([5] * 90), "exceeds the model's max_position_embeddings of 96"),
    ):
        with pytest.raises(DataError, match=words):
            sampler.generate([Prompt(Problem("bad", "", ""), ids)], [[0]], DECODING, 0)
    assert sampler.generate([], [], DECODING, 0) == []


@pytest.mark.parametrize("temperature", [1e-6, 0.005, 0.0099])
def test_a_temperature_that_vllm_would_raise_is_refused(engine, temperature):
    _, sampler = engine
    with pytest.raises(ConfigError, match=r"would sample at temperature 0.01"):
        sampler.generate(PROMPTS, SEEDS, Decoding(temperature=temperature, max_new_tokens=2), 0)
    coldest = sampler.generate(PROMPTS, SEEDS, Decoding(temperature=0.01, max_new_tokens=2), 0)
    assert coldest[0][0].decoding.temperature == 0.01


class Sleeper:
    """Stands for an engine on a GPU, where alone vLLM can sleep: writes down what it is told."""

    def __init__(self):
        self.told = []

    def sleep(self, level):
        self.told.append(f"sleep {level}")

    def wake_up(self, tags):
        self.told.append(f"wake {' '.join(tags)}")

    def collective_rpc(self, name, kwargs):
        self.told.append(name)

    def reset_prefix_cache(self):
        return True

    def generate(self, inputs, sampling, use_tqdm):
        self.told.append("generate")
        raise RuntimeError("enough")


def test_the_cache_sleeps_until_there_are_requests(tmp_path):
    tiny.tiny_model(tmp_path)
    sampler = tiny.sampler(tmp_path)
    sampler._engine = engine = Sleeper()
    sampler._options = replace(sampler._options, vllm=replace(sampler._options.vllm, between_rollouts="asleep"))
    sampler.rest()
    sampler.rest()
    sampler.load_weights(iter(()))
    for _ in range(2):
        with pytest.raises(TrainingError, match="enough"):
            sampler.generate(PROMPTS, SEEDS, DECODING, 0)
    sampler.rest()
    with pytest.raises(TrainingError, match="enough"):
        sampler.generate(PROMPTS, SEEDS, DECODING, 0)
    pushed = ["sleep 1", "wake weights", "take_weights", "wake kv_cache", "generate", "generate"]
    assert engine.told == [*pushed, "sleep 1", "wake weights kv_cache", "generate"]


def test_a_second_engine_in_one_process_is_refused(engine, tmp_path):
    engine[1].generate(PROMPTS[:1], [[1]], DECODING, 0)
    tiny.tiny_model(tmp_path)
    with pytest.raises(ConfigError, match="has a vLLM engine already"):
        tiny.sampler(tmp_path).generate(PROMPTS[:1], [[1]], DECODING, 0)
