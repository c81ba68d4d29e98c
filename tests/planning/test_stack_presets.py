"""The stacks' configurations: the paper's numbers, every method, and what is refused before anything runs."""

from __future__ import annotations

import json
import re

import pytest
from tiny import wants

from unified_rl.cli import main
from unified_rl.methods import COEFFICIENTS, METHODS
from unified_rl.planning import explain
from unified_rl.presets import loading

STACKS = ("deepseekmath_7b", "deepseekmath_1_3b", "qwen2_5_0_5b")


#: The other stacks differ in their shapes and numbers, which methods do not read: there a method of every kind is enough.
OF_EVERY_KIND = ("sft", "rft", "dpo", "ppo", "grpo", "grpo_ps")
EXPLAINED = [(stack, method) for stack in STACKS for method in METHODS if stack == STACKS[0] or method in OF_EVERY_KIND]


@pytest.mark.parametrize(("stack", "method"), EXPLAINED)
def test_every_method_explains_under_every_stack(stack, method):
    words = [f"stack={stack}", f"method={method}", *wants(method)]
    if method == "grpo_ps" and stack == "qwen2_5_0_5b":
        words.append("reward=model")  # GSM8K has no exact step checker
    if "demonstrated" in COEFFICIENTS[METHODS[method].coefficient].needs:
        words.append("data.batch=demonstrations")  # the larger stacks' own SFT fills rows with a mix
    config = loading.load_config(words)
    found = explain.facts(config, words)
    assert found["plan"]["memory"]["fits"], f"{stack} {method} does not fit the machine it is planned for"
    assert "model.path=MODEL_DIR" in found["plan"]["launch"]
    json.dumps(found)
    explain.render(found)


def test_the_7b_stack_has_the_papers_settings():
    config = loading.load_config(["stack=deepseekmath_7b", "method=grpo"])
    rollout, sft = config.rollout, config.sft
    assert (rollout.prompts_per_step, rollout.responses_per_prompt, rollout.updates) == (16, 64, 1)
    assert (config.trainer.learning_rate, config.coefficient.kl_coef) == (1e-6, 0.04)
    assert (config.generator.max_new_tokens, config.reward.source) == (1024, "model")
    assert (config.reward_model.init, config.reward_model.learning_rate) == ("base", 2e-5)
    assert (sft.steps, sft.sequences_per_step, sft.learning_rate, sft.schedule) == (500, 256, 5e-5, "constant")
    assert (config.data.batch, config.data.context_tokens) == ("rows", 4096)
    assert (config.evaluation.samples, config.evaluation.temperature, config.iterate.replay) == (64, 0.7, 0.1)
    assert (config.trainer.name, config.generator.name) == ("deepspeed", "vllm")


def test_explain_prints_the_plan_and_the_iterations(capsys):
    assert main(["explain", "stack=deepseekmath_7b", "method=grpo", "plan.gpu=H100-80GB", "plan.gpus=8"]) == 0
    text = capsys.readouterr().out
    assert "6,910,365,696 parameters" in text
    assert re.search(r"policy: optimiser\s+9\.7 GiB", text)
    assert "torchrun --standalone --nproc-per-node=8 -m unified_rl.cli train stack=deepseekmath_7b method=grpo" in text
    assert "plan." not in text.partition("torchrun")[2]
    assert "3 x 2800 steps x 1024 responses = 8601600" in text
    assert main(["explain", "stack=deepseekmath_7b", "method=grpo", "plan.gpus=1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["plan"]
    assert not found["memory"]["fits"]
    assert found["launch"].startswith("unified-rl train")


def test_iterations_are_explained_only_where_they_can_be_run():
    def explained(*more):
        return explain.facts(loading.load_config(["method=grpo", "stack=deepseekmath_7b", *more]))["iterations"]

    assert explained("reward=rule") == {}
    assert explained("trainer.schedule=linear") == {}
    assert "none" in explained("iterate.control_steps=0")["control"]
    assert "no renewal" in explained("iterate.reward_model=kept")["reward data"]


@pytest.mark.parametrize("path", [(), ("model.path=deepseek-ai/deepseek-math-7b-base",)])
def test_the_model_is_the_users_to_bring(path, tmp_path, capsys):
    words = ["train", "stack=deepseekmath_7b", "method=grpo", "task=arithmetic", "task.template=arithmetic", *path]
    assert main([*words, "data.prompts=8", f"run_dir={tmp_path / 'run'}", f"artifacts={tmp_path / 'a'}"]) == 2
    error = capsys.readouterr().err
    assert "hf download deepseek-ai/deepseek-math-7b-base" in error
    assert not (tmp_path / "run").exists()
