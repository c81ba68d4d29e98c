"""Reward models: the loss against plain autograd, logits read at the right token, packing, saving and loading."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.base.errors import CheckpointError, DataError
from unified_rl.base.types import Problem, Prompt, Response
from unified_rl.models.policy_model import build_llama
from unified_rl.models.reward_model import Card, RewardModel, build_reward_model, load_reward_model, save_reward_model
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import Members
from unified_rl.tasks.tokenizers import word_tokenizer
from unified_rl.training import reward_scores as module
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.reward_loss import RewardLoss
from unified_rl.training.reward_scores import RewardScorer, as_sequence, reward_role
from unified_rl.training.torch_trainer import TorchTrainer

VOCABULARY, EOS = 13, 1


def policy(num_layers=2, seed=0):
    return build_llama(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_layers=num_layers,
        num_heads=2,
        intermediate_size=24,
        max_position_embeddings=64,
        eos_token_id=EOS,
        init_std=0.3,
        seed=seed,
    )


def scoring_model(seed=0) -> RewardModel:
    """In float64, with a head that is not zero."""
    model = build_reward_model(policy(seed=seed).double())
    with torch.no_grad():
        model.head.weight.copy_(torch.linspace(-1, 1, 16, dtype=torch.float64)[None])
        model.head.bias.fill_(0.3)
    return model


def make_prompt(ids, name="p"):
    return Prompt(Problem(name, "?", ""), tuple(ids))


def make_response(ids):
    ids = np.array(ids, dtype=np.int64)
    return Response(ids, np.zeros(len(ids), np.float32), "stop", 0, None, 0, "")


def plain_logits(model, prompt, response):
    """Logit after each response token, from a forward pass of the one sequence without packing or masks."""
    ids = torch.tensor([*prompt.token_ids, *response.token_ids.tolist()])
    hidden = model.backbone(input_ids=ids[None]).last_hidden_state[0]
    return (hidden @ model.head.weight[0] + model.head.bias)[len(prompt.token_ids) :]


@st.composite
def batches(draw):
    """Prompts with responses of ragged lengths, their labelled places and labels; some responses without any."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    items = []
    for number in range(draw(st.integers(1, 3))):
        prompt = make_prompt(random.integers(2, VOCABULARY, random.integers(1, 6)), f"p{number}")
        for _ in range(draw(st.integers(1, 3))):
            response = make_response(random.integers(2, VOCABULARY, random.integers(1, 8)))
            ends = np.flatnonzero(random.random(len(response)) < 0.5)
            items.append((prompt, response, ends, random.random(len(ends)).round(random.integers(0, 3))))
    if not any(len(ends) for *_, ends, _ in items):
        prompt, response, *_ = items[0]
        items[0] = (prompt, response, np.array([len(response) - 1]), np.array([1.0]))
    return items


@settings(max_examples=15, deadline=None)
@given(items=batches(), row_tokens=st.integers(1, 40), micro_batch_tokens=st.integers(1, 80))
def test_loss_and_gradient_equal_plain_autograd(items, row_tokens, micro_batch_tokens):
    model = scoring_model()
    parameters = list(model.parameters())
    total, count = torch.zeros((), dtype=torch.float64), 0
    for prompt, response, ends, labels in items:
        for end, label in zip(ends, labels, strict=True):
            p = torch.sigmoid(plain_logits(model, prompt, response)[end])
            total = total - label * torch.log(p) - (1 - label) * torch.log(1 - p)
            count += 1
    expected = total / count
    expected_gradient = torch.autograd.grad(expected, parameters)

    sequences = [as_sequence(prompt, response.token_ids) for prompt, response, *_ in items]
    loss = RewardLoss([ends for *_, ends, _ in items], [labels for *_, labels in items])
    found, gradient = 0.0, [torch.zeros_like(parameter) for parameter in parameters]
    layout = Layout(row_tokens, micro_batch_tokens)
    for packed in layout.pack(sequences, None, torch.device("cpu")):
        outputs = {name: packed.scatter(value, 9) for name, value in reward_role(model, packed).items()}
        part = loss(outputs, packed.members())
        found += part.item()
        parts = torch.autograd.grad(part, parameters, allow_unused=True)
        gradient = [one + other if other is not None else one for one, other in zip(gradient, parts, strict=True)]
    assert found == pytest.approx(expected.item(), rel=1e-10)
    for one, other in zip(gradient, expected_gradient, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(items=batches(), row_tokens=st.integers(1, 40), micro_batch_tokens=st.integers(1, 80))
def test_scores_are_the_logits_after_each_token_however_packed(items, row_tokens, micro_batch_tokens):
    model = scoring_model().float()
    scorer = RewardScorer(model, "process", Layout(row_tokens, micro_batch_tokens))
    prompts, responses = [item[0] for item in items], [item[1] for item in items]
    for prompt, response, scores in zip(prompts, responses, scorer.scores(prompts, responses), strict=True):
        assert scores.dtype == np.float32
        expected = plain_logits(model, prompt, response).detach().numpy()
        np.testing.assert_allclose(scores, expected, rtol=0, atol=2e-5)


def test_a_model_that_detects_a_token_scores_at_that_token():
    """No layers: the logit after a token is a function of that token alone, here +1 at token 7 and -1 elsewhere."""
    model = build_reward_model(policy(num_layers=0))
    with torch.no_grad():
        model.backbone.embed_tokens.weight.zero_()
        model.backbone.embed_tokens.weight[:, 0] = 1.0  # a bias direction, so that the norm divides by something
        model.backbone.embed_tokens.weight[7, 1] = 1.0
        model.head.weight.zero_()
        hidden = model.backbone(input_ids=torch.tensor([[3, 7]])).last_hidden_state[0]
        model.head.weight[0, 1] = 2.0 / hidden[1, 1]
        model.head.bias.fill_(-1.0)
    prompts = [make_prompt([7, 7]), make_prompt([2])]
    responses = [make_response([3, 7, 4, EOS]), make_response([7])]
    first, second = RewardScorer(model, "process", Layout(16, 64)).scores(prompts, responses)
    np.testing.assert_allclose(first, [-1, 1, -1, -1], atol=1e-6)
    np.testing.assert_allclose(second, [1], atol=1e-6)


def test_the_added_token_is_never_read(monkeypatch):
    model, prompt, response = scoring_model().float(), make_prompt([4, 5]), make_response([6, 7, 8])
    before = RewardScorer(model, "process", Layout(16, 64)).scores([prompt], [response])[0]
    monkeypatch.setattr(module, "_ANY_TOKEN", 9)
    assert np.array_equal(before, RewardScorer(model, "process", Layout(16, 64)).scores([prompt], [response])[0])


def test_scores_do_not_depend_on_how_many_are_served_at_once(monkeypatch):
    model = scoring_model().float()
    prompts = [make_prompt([2 + i % 5, 3]) for i in range(7)]
    responses = [make_response([4 + i % 4] * (1 + i)) for i in range(7)]
    whole = RewardScorer(model, "process", Layout(32, 128)).scores(prompts, responses)
    monkeypatch.setattr(module, "_SEQUENCES_AT_ONCE", 2)
    parts = RewardScorer(model, "process", Layout(32, 128)).scores(prompts, responses)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_loss_of_a_new_model_is_log_2_and_training_lowers_it():
    prompts = [make_prompt([2, 3], "a"), make_prompt([4, 5], "b")]
    responses = [make_response([6, 7, EOS]), make_response([8, EOS])]
    sequences = [as_sequence(p, r.token_ids) for p, r in zip(prompts, responses, strict=True)]
    loss = RewardLoss([np.array([0, 2]), np.array([1])], [np.array([1.0, 0.0]), np.array([1.0])])
    trainer = TorchTrainer(build_reward_model(policy()), reward_role, AdamWOptions(3e-3, total_updates=60), Layout(16, 64))
    losses = [trainer.update(sequences, loss).loss for _ in range(60)]
    assert losses[0] == pytest.approx(np.log(2), abs=1e-6)
    assert losses[-1] < 0.05
    scorer = RewardScorer(trainer.model, "process", Layout(16, 64))
    first, second = scorer.scores(prompts, responses)
    assert first[0] > 0 > first[2]
    assert second[1] > 0


def test_unlabelled_places_do_not_count():
    logits = {"logit": torch.tensor([[9.0, 0.0, 5.0], [9.0, -5.0, 9.0]])}
    loss = RewardLoss([np.array([0, 1]), np.array([0])], [np.array([1.0, np.nan]), np.array([np.nan])])
    every = Members(torch.tensor([0, 1]), torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 1, 2, 0, 1, 2]))
    assert loss(logits, every).item() == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("ends", "labels", "message"),
    [([0, 1], [1.0], "labels"), ([0], [1.5], "outside"), ([0], [np.nan], "no response"), ([], [], "no response")],
)
def test_unusable_labels_are_refused(ends, labels, message):
    with pytest.raises(DataError, match=message):
        RewardLoss([np.array(ends)], [np.array(labels)])


def test_a_response_without_tokens_is_refused():
    with pytest.raises(DataError, match="no tokens"):
        as_sequence(make_prompt([2]), np.array([], dtype=np.int64))


def test_saved_and_loaded(tmp_path):
    tokenizer = word_tokenizer(["a b c"])
    model = scoring_model().float()
    card = Card("process", "newline", "shepherd_hard", {"init": "sft", "key": "abc"})
    save_reward_model(model, tokenizer, card, tmp_path)
    loaded, loaded_tokenizer, loaded_card = load_reward_model(tmp_path)
    assert loaded_card == card
    assert loaded_tokenizer.get_vocab() == tokenizer.get_vocab()
    for (name, one), other in zip(model.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_damaged_directories_are_named(tmp_path):
    def save():
        save_reward_model(scoring_model().float(), word_tokenizer(["a b"]), Card("outcome", "task"), tmp_path)

    save()
    (tmp_path / "reward_model.json").write_text(json.dumps({"kind": "both", "segmentation": "task"}))
    with pytest.raises(CheckpointError, match="kind='both'"):
        load_reward_model(tmp_path)
    for file, message in (
        ("reward_model.json", r"reward_model\.json"),
        ("reward_head.safetensors", "reward head"),
        ("model.safetensors", r"model\.safetensors"),
        ("tokenizer.json", "tokenizer"),
    ):
        save()
        (tmp_path / file).unlink()
        with pytest.raises(CheckpointError, match=message):
            load_reward_model(tmp_path)
