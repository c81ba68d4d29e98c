"""Samples of a policy that is refreshed now and then: online at one end, the start policy at the other, and exactly resumable."""

from __future__ import annotations

import time

import pytest
import torch
from forked import Command
from ragged import VOCABULARY, small_llama
from safetensors.torch import load_file
from tiny import words

from unified_rl.base.types import Decoding, Problem, Prompt, Score
from unified_rl.cli import main
from unified_rl.models.policy_copy import FrozenCopy
from unified_rl.models.policy_model import build_llama
from unified_rl.sampling.torch_generator import TorchGenerator
from unified_rl.sources import OnlineSamples, PromptPool, RefreshedSamples

PROMPTS, RESPONSES, STEPS = 3, 4, 7
DECODING = Decoding(max_new_tokens=8)


class Numbers:
    def decode(self, token_ids, skip_special_tokens=False):
        return " ".join(map(str, token_ids))

    def __len__(self):
        return VOCABULARY


class Nothing:
    def score(self, prompts, responses):
        return [[Score(0.0, "incorrect", None, None) for _ in group] for group in responses]


def pool():
    return PromptPool([Prompt(Problem(f"p{i}", "", ""), (2 + i, 5, 7)) for i in range(5)], seed=3)


def online(model):
    generator = TorchGenerator(model, Numbers(), eos_token_ids=[1])
    return OnlineSamples(
        pool(), generator, Nothing(), DECODING, seed=3, prompts_per_step=PROMPTS, responses_per_prompt=RESPONSES
    )


def refreshed(model, every):
    copy = FrozenCopy(model)
    return RefreshedSamples(online(copy.model), copy, refresh_every=every)


def train(model, step):
    """Stands for an update: the weights become others, as a function of the step."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


def drawn(source, model, steps=range(STEPS)):
    """Token ids, log-probs and versions of each step, the model being trained after each; a step makes two updates."""
    found = []
    for step in steps:
        draw = source.draw(step, 2 * step)
        responses = [scored.response for group in draw.groups for scored in group.responses]
        found.append([(r.token_ids.tolist(), r.behaviour_logp.tolist(), r.seed, r.policy_version) for r in responses])
        train(model, step)
    return found


def versions(found):
    return [{version for *_, version in step} for step in found]


@pytest.fixture
def model():
    return small_llama(0).float()


def test_refreshed_at_every_step_it_is_the_online_source(model):
    other = small_llama(0).float()
    assert drawn(refreshed(model, 1), model) == drawn(online(other), other)


def test_never_refreshed_it_samples_from_the_start_policy_anew(model):
    start = small_llama(0).float()
    found = drawn(refreshed(model, 0), model)
    frozen = online(start)
    for step, responses in enumerate(found):
        wanted = [s.response for group in frozen.draw(step, 0).groups for s in group.responses]
        assert [r[0] for r in responses] == [r.token_ids.tolist() for r in wanted]
    assert versions(found) == [{0}] * STEPS
    assert len({seed for step in found for *_, seed, _ in step}) == STEPS * PROMPTS * RESPONSES


def test_samples_say_which_weights_wrote_them(model):
    assert versions(drawn(refreshed(model, 3), model)) == [{0}, {0}, {0}, {6}, {6}, {6}, {12}]


@pytest.mark.parametrize("every", [0, 2, 3])
@pytest.mark.parametrize("stop", [1, 2, 4])
def test_goes_on_from_what_was_saved_as_if_nothing_had_happened(every, stop, model, tmp_path):
    whole = drawn(refreshed(model, every), model)
    again = small_llama(0).float()
    source = refreshed(again, every)
    first = drawn(source, again, range(stop))
    source.save(tmp_path / "source")
    resumed = refreshed(again, every)
    resumed.load(tmp_path / "source")
    assert first + drawn(resumed, again, range(stop, STEPS)) == whole


def test_a_run_that_begins_between_refreshes_starts_from_its_own_policy(model):
    """Iterative RL: steps count on, and the first step of an iteration samples from the policy that it starts with."""
    start = small_llama(0).float()
    (first,) = drawn(refreshed(model, 4), model, [5])
    (wanted,) = drawn(online(start), start, [5])
    assert first == wanted


def test_saves_nothing_before_the_first_draw(model, tmp_path):
    source = refreshed(model, 2)
    source.save(tmp_path / "source")
    assert not (tmp_path / "source").exists()
    source.load(tmp_path / "source")
    assert versions(drawn(source, model)) == [{0}, {0}, {4}, {4}, {8}, {8}, {12}]


def test_tied_weights_come_back(tmp_path):
    tied = build_llama(
        vocab_size=9,
        hidden_size=16,
        num_layers=1,
        num_heads=1,
        intermediate_size=16,
        max_position_embeddings=16,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    copy, other = FrozenCopy(tied), FrozenCopy(tied)
    train(tied, 0)
    copy.refresh(3)
    copy.save(tmp_path / "copy")
    other.load(tmp_path / "copy")
    assert other.version == 3
    for mine, theirs in zip(other.model.parameters(), tied.parameters(), strict=True):
        assert torch.equal(mine, theirs)


# ---- real runs -----------------------------------------------------------------------------------------------------------------


RECORDS = ("metrics.jsonl", "curve.jsonl", "samples.jsonl")
REFRESHED = ("source=refreshed_samples", "source.refresh_every=3", "trainer.steps=6", "trainer.learning_rate=1e-3")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    return tmp_path_factory.mktemp("shared") / "artifacts"


def trained(run_dir, artifacts, *more):
    assert main(["train", *words("online_rft", run_dir, artifacts, *more)]) == 0
    return run_dir


def records(run_dir):
    return {name: (run_dir / name).read_bytes() for name in RECORDS}


def final_policy(run_dir):
    (last,) = sorted((run_dir / "checkpoints").iterdir())[-1:]
    return load_file(last / "policy" / "model.safetensors")


def test_a_run_refreshed_at_every_step_is_an_online_run(artifacts, tmp_path):
    rate = "trainer.learning_rate=1e-3"
    plain = trained(tmp_path / "plain", artifacts, rate)
    fresh = trained(tmp_path / "fresh", artifacts, rate, "source=refreshed_samples", "source.refresh_every=1")
    stale = trained(tmp_path / "stale", artifacts, rate, "source=refreshed_samples", "source.refresh_every=0")
    assert records(plain) == records(fresh)
    assert records(plain) != records(stale)


@pytest.mark.long
def test_a_killed_run_ends_as_one_left_alone(artifacts, tmp_path):
    """Checkpoints fall on steps 2 and 4, refreshes on 1 and 4: a resumed run needs the copy that the checkpoint holds."""
    reference = trained(tmp_path / "reference", artifacts, *REFRESHED)
    run_dir = tmp_path / "run"
    arguments = words("online_rft", run_dir, artifacts, *REFRESHED, "resume=true")
    process = Command("train", *arguments)
    deadline = time.monotonic() + 100
    while not (run_dir / "checkpoints" / "step_000002").exists():
        assert time.monotonic() < deadline and process.returncode is None, "the run ended before it could be killed"
        time.sleep(0.0005)
    process.kill()
    trained(run_dir, artifacts, *REFRESHED, "resume=true")
    assert records(run_dir) == records(reference)
    mine, theirs = final_policy(run_dir), final_policy(reference)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
