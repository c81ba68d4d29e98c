"""Whole runs that train an adapter: killed and resumed, on an adapter, with every frozen reference, exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_kill_and_resume import finish, kill_when, lines, start
from tiny import wants, words
from transformers import AutoModelForCausalLM

from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.methods import COEFFICIENTS, METHODS
from unified_rl.models.adapter_files import root_of
from unified_rl.models.policy_model import load_policy
from unified_rl.presets.loading import load_config
from unified_rl.stages.jobs import evaluate, train

pytest.importorskip("peft", reason="the extra lora is not installed")
LORA = ("model.lora.rank=4", "trainer.learning_rate=1e-2", "trainer.steps=3", "logging.checkpoint_every=1")


def entries(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def last(run: Path) -> Path:
    return sorted((run / "checkpoints").glob("step_*"))[-1]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A PPO run on an SFT policy: an adapter for the policy, another for the value model."""
    folder = tmp_path_factory.mktemp("lora")
    train(words("ppo", folder / "ppo", folder / "artifacts", *LORA, "rollout.minibatches=2"))
    return folder


def test_a_checkpoint_holds_adapters(world):
    checkpoint = last(world / "ppo")
    assert {file.name for file in (checkpoint / "value").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "value_head.safetensors",
    }
    assert not (checkpoint / "policy" / "model.safetensors").exists()
    trained = load_file(checkpoint / "optimizer.safetensors")
    assert all(".lora_" in name for name in trained if name != "updates")
    named = json.loads((checkpoint / "policy" / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert Path(named).is_dir() and Path(named).parts[-5] == "sft"
    before, after = load_policy(named)[0], load_policy(checkpoint / "policy")[0]
    assert not torch.equal(before.model.layers[0].mlp.up_proj.weight, after.model.layers[0].mlp.up_proj.weight)
    assert torch.equal(before.model.embed_tokens.weight, after.model.embed_tokens.weight)


def test_the_sampler_has_the_adapter(world):
    """Log-probs of the generator and of the trainer agree after updates, and the policy has left its reference."""
    found = entries(world / "ppo")
    assert found[-1]["kl/k3"] > 1e-4
    assert all(entry["sampler/max_logp_difference"] < 1e-3 for entry in found)


def test_evaluated_by_the_merged_policy(world):
    folder = evaluate([f"run={world / 'ppo'}", "problems=2", "samples=2", "name=few"])
    assert (folder / "samples.parquet").is_file()


def same_bytes(run: Path, world: Path) -> None:
    for name in ("metrics.jsonl", "curve.jsonl", "samples.jsonl"):
        assert (run / name).read_bytes() == (world / "ppo" / name).read_bytes(), name
    ours, theirs = (
        {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.suffix in (".safetensors", ".json")}
        for folder in (last(run) / "policy", last(world / "ppo") / "policy")
    )
    assert ours == theirs
    for name in ("value/adapter_model.safetensors", "optimizer.safetensors", "value_optimizer.safetensors"):
        assert (last(run) / name).read_bytes() == (last(world / "ppo") / name).read_bytes(), name


def test_resumed_byte_for_byte(world, tmp_path):
    arguments = words("ppo", tmp_path / "run", world / "artifacts", *LORA, "rollout.minibatches=2", "resume=true")
    train([*arguments, "trainer.steps=2"])
    train(arguments)
    same_bytes(tmp_path / "run", world)


@pytest.mark.long
def test_killed_and_resumed_byte_for_byte(world, tmp_path):
    arguments = words("ppo", tmp_path / "run", world / "artifacts", *LORA, "rollout.minibatches=2", "resume=true")
    assert kill_when(start(arguments), lambda: lines(tmp_path / "run" / "metrics.jsonl") >= 2, "a step after a checkpoint")
    finish(arguments)
    same_bytes(tmp_path / "run", world)


def test_sft_by_an_adapter_then_rl_on_it(world, tmp_path):
    """From a model of one's own: the SFT stage leaves an adapter, RL begins with it merged, and that is its reference."""
    base = json.loads((last(world / "ppo") / "policy" / "adapter_config.json").read_text())["base_model_name_or_path"]
    line = words("grpo", tmp_path / "run", tmp_path / "artifacts", *LORA, f"model.path={base}", "sft.steps=3")
    train(line)
    (sft,) = (tmp_path / "artifacts" / "sft").glob("*/checkpoints/*/policy")
    assert json.loads((sft / "adapter_config.json").read_text())["base_model_name_or_path"] == base
    policy = json.loads((last(tmp_path / "run") / "policy" / "adapter_config.json").read_text())
    assert policy["base_model_name_or_path"] == str(sft)
    assert entries(tmp_path / "run")[0]["kl/max_log"] < 1e-5, "the reference is the start, SFT adapter and all"
    merged, start = load_policy(sft)[0], load_policy(base)[0]
    assert not torch.equal(merged.model.layers[0].mlp.up_proj.weight, start.model.layers[0].mlp.up_proj.weight)
    again = words("grpo", tmp_path / "again", tmp_path / "artifacts", f"model.path={sft}", "init=base", "trainer.steps=1")
    train(again)  # without an adapter of its own: the merged model is trained whole
    assert (last(tmp_path / "again") / "policy" / "model.safetensors").exists()


def test_an_adapter_on_a_base_that_lies_elsewhere(world, tmp_path):
    """model.path and model.lora.path: the base is where the user says, whatever the adapter names."""
    adapter = last(world / "ppo") / "policy"
    base = json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    (tmp_path / "moved").symlink_to(base)
    line = ["init=base", f"model.path={tmp_path / 'moved'}", f"model.lora.path={adapter}", "trainer.steps=1"]
    train(words("grpo", tmp_path / "run", tmp_path / "artifacts", *line, "model.lora.rank=2"))
    trained = load_policy(last(tmp_path / "run") / "policy")[0]
    expected = load_policy(adapter)[0].model.embed_tokens.weight
    assert torch.equal(trained.model.embed_tokens.weight, expected)


def logits(model):
    with torch.no_grad():
        return model(torch.arange(3, 12)[None]).logits


def test_exported_for_others(world, tmp_path):
    """Of a run on an SFT adapter with other layers: one adapter of the whole model, and whole weights, are its policy."""
    peft = pytest.importorskip("peft")
    base = root_of(last(world / "ppo") / "policy")
    first = ("model.lora.targets=[q_proj,v_proj]", "model.lora.alpha=3", "init=base", f"model.path={base}", "trainer.steps=1")
    train(words("sft", tmp_path / "first", tmp_path / "artifacts", *LORA, *first))
    second = ("init=base", f"model.path={last(tmp_path / 'first') / 'policy'}", "trainer.steps=2")
    train(words("grpo", tmp_path / "second", tmp_path / "artifacts", *LORA, *second))
    policy = logits(load_policy(last(tmp_path / "second") / "policy")[0])
    assert main(["export", f"run={tmp_path / 'second'}", f"out={tmp_path / 'adapter'}"]) == 0
    assert main(["export", f"run={tmp_path / 'second'}", f"out={tmp_path / 'merged'}", "merged=true"]) == 0
    assert main(["export", f"run={tmp_path / 'second'}", f"out={tmp_path / 'merged'}"]) == 2, "it is there"
    theirs = peft.AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter")
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["r"] == 8
    for model in (theirs, AutoModelForCausalLM.from_pretrained(tmp_path / "merged"), load_policy(tmp_path / "adapter")[0]):
        torch.testing.assert_close(logits(model.eval()), policy, rtol=0, atol=1e-5)
    assert (logits(load_policy(base)[0]) - policy).abs().max() > 1e-2
    assert main(["export", f"out={tmp_path / 'x'}"]) == 2 and main(["export", str(tmp_path), "merged=true", "out=x"]) == 2


METHODS_WITH_A_REFERENCE = [
    name for name, row in METHODS.items() if COEFFICIENTS[row.coefficient].needs & {"ref_logp", "mismatched_kl"}
]


def reference_run(method: str, world: Path, folder: Path) -> None:
    """Two runs, the reference being the adapter switched off, or the start's folder loaded once more: the same numbers."""
    more = ("logging.curve_problems=0", "trainer.steps=2", "rollout.prompts_per_step=8")
    line = words(method, folder / "off", world / "artifacts", *LORA, *more)
    train(line)
    policy = json.loads((last(folder / "off") / "policy" / "adapter_config.json").read_text())
    copied = words(method, folder / "copy", world / "artifacts", *LORA, *more, f"reference={policy['base_model_name_or_path']}")
    train(copied)
    for ours, theirs in zip(entries(folder / "off"), entries(folder / "copy"), strict=True):
        assert ours.keys() == theirs.keys()
        assert all(ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-6) for name in ours), method


@pytest.mark.parametrize("method", ["grpo", "dpo", "kto"])
def test_the_reference_is_the_adapter_off(method, world, tmp_path):
    reference_run(method, world, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("method", [name for name in METHODS_WITH_A_REFERENCE if not wants(name)])
def test_every_method_whose_reference_is_the_start(method, world, tmp_path):
    reference_run(method, world, tmp_path)


@pytest.mark.parametrize("setting", ["trainer.compiled", "generator.compiled"])
def test_what_compiles_a_model_as_it_is_is_refused(setting):
    with pytest.raises(ConfigError, match=f"{setting}=true.*model.lora.rank=4"):
        load_config(["method=grpo", "model.lora.rank=4", f"{setting}=true"])


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("model.lora.path=no/adapter", "model.lora.path=no/adapter is no folder here"),
        ("model.lora.path={model}", "holds no adapter"),
        ("model.lora.targets=[nothing]", "model.lora.targets names 'nothing'"),
    ],
)
def test_refused_before_a_run_directory_exists(setting, says, world, tmp_path):
    base = json.loads((last(world / "ppo") / "policy" / "adapter_config.json").read_text())["base_model_name_or_path"]
    line = words("grpo", tmp_path / "run", tmp_path / "artifacts", *LORA, f"model.path={base}", setting.format(model=base))
    with pytest.raises(ConfigError, match=says):
        train(line)
    assert not (tmp_path / "run").exists() and not (tmp_path / "artifacts").exists()
