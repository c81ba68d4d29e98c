"""A reward model that is an adapter and a head: trained, read without our code, killed and resumed, renewed, served as a reward."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import words
from transformers import AutoModel

from unified_rl.cli import main
from unified_rl.models.adapter_files import root_of
from unified_rl.models.policy_model import load_tokenizer
from unified_rl.presets import chain, loading
from unified_rl.records.artifacts import ArtifactStore
from unified_rl.stages.chain import initial_policy, stage
from unified_rl.stages.kinds.reward_samples import read_samples, samples_of
from unified_rl.stages.reward_model import load_scorer
from unified_rl.training.torch_trainer import TorchTrainer

pytest.importorskip("peft", reason="the extra lora is not installed")
LEARNED = ("reward=model", "model.lora.rank=4", "reward_model.kind=process", "reward_model.prompts=16", "reward_model.epochs=2")
LEARNED += ("reward_model.samples_per_prompt=4", "reward_model.completions=2", "reward_model.sequences_per_step=16")
LEARNED += ("reward_model.learning_rate=1e-2", "reward_model.warmup_steps=0", "reward_model.checkpoint_every=3")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Configuration, store, start policy and reward model."""
    folder = tmp_path_factory.mktemp("lora_reward")
    config = loading.load_config(words("grpo", folder / "run", folder / "artifacts", *LEARNED))
    store = ArtifactStore(folder / "artifacts")
    start = initial_policy(config, store)
    return config, store, start, reward_model(config).build(store)


def reward_model(config):
    return stage(config, chain.provider(config, chain.REWARD))


def merged_by_hand(folder: Path) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """The decoder with W + (alpha / r) B A in place of W, and the head's weight and bias, from the files alone."""
    settings = json.loads((folder / "adapter_config.json").read_text())
    decoder = AutoModel.from_pretrained(settings["base_model_name_or_path"]).eval()
    adapter, scale = load_file(folder / "adapter_model.safetensors"), settings["lora_alpha"] / settings["r"]
    layers = {name.removesuffix(".lora_A.weight") for name in adapter if name.endswith(".lora_A.weight")}
    with torch.no_grad():
        for name in layers:
            layer = decoder.get_submodule(name.removeprefix("base_model.model.").removeprefix("model."))
            layer.weight += scale * adapter[f"{name}.lora_B.weight"] @ adapter[f"{name}.lora_A.weight"]
    head = load_file(folder / "reward_head.safetensors")
    return decoder, head["weight"], head.get("bias", torch.zeros(1))


def test_it_is_an_adapter_of_the_start_and_a_head(made):
    _, _, start, reward = made
    assert not (reward.path / "model.safetensors").exists()
    assert root_of(reward.path) == root_of(start.path)
    adapter = load_file(reward.path / "adapter_model.safetensors")
    assert all(torch.any(weight != 0) for weight in adapter.values()), "B too has moved"
    lines = [json.loads(line) for line in (reward.path.parent / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["loss"] == pytest.approx(np.log(2), abs=1e-6) and lines[-1]["loss"] < lines[0]["loss"]


@torch.no_grad()
def test_its_scores_are_those_of_the_merged_weights(made):
    config, store, start, reward = made
    samples = read_samples(
        config,
        samples_of(config, start, split="validation", problems=4, per_prompt=2).build(store),
        load_tokenizer(start.path),
    )
    scorer, _, card = load_scorer(config, reward.path)
    assert card.kind == "process"
    decoder, weight, bias = merged_by_hand(reward.path)
    for prompt, group in zip(samples.prompts, samples.responses, strict=True):
        for response, found in zip(group, scorer.scores([prompt] * len(group), group), strict=True):
            ids = torch.tensor([[*prompt.token_ids, *response.token_ids.tolist()]])
            logits = (decoder(ids).last_hidden_state[0] @ weight.flatten() + bias)[len(prompt.token_ids) :]
            assert np.allclose(found, logits.numpy(), atol=1e-5)


def test_stopped_and_taken_up_again_it_ends_with_the_same_bytes(made, tmp_path, monkeypatch):
    config, _, _, reward = made
    other = ArtifactStore(tmp_path / "artifacts")
    real = TorchTrainer.update

    def stopping(self, *args, **options):
        if self.updates == 5 and len(args) > 1 and type(args[1]).__name__ == "RewardLoss":
            raise KeyboardInterrupt
        return real(self, *args, **options)

    own = replace(config, artifacts=str(tmp_path / "artifacts"))
    monkeypatch.setattr(TorchTrainer, "update", stopping)
    with pytest.raises(KeyboardInterrupt):
        reward_model(own).build(other)
    monkeypatch.setattr(TorchTrainer, "update", real)
    again = reward_model(own).build(other)
    assert again.key == reward.key
    for name in ("adapter_model.safetensors", "reward_head.safetensors"):
        assert (again.path / name).read_bytes() == (reward.path / name).read_bytes(), name


def test_it_is_renewed_between_iterations(made, tmp_path):
    config, _, _, reward = made
    sizes = ("iterate.iterations=1", "iterate.steps=1", "iterate.control_steps=1", "iterate.agreement_problems=2")
    line = words("grpo", tmp_path / "run", Path(config.artifacts), *LEARNED, *sizes)
    assert main(["iterate", *line]) == 0
    entries = json.loads((tmp_path / "run" / "iterate.json").read_text())["iterations"]
    assert entries[0]["reward_model"] == reward.key != entries[1]["reward_model"]
