"""Plans of runs that train an adapter: what is counted, and what is not there a second time."""

from __future__ import annotations

from pathlib import Path

import pytest

from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.planning import plan
from unified_rl.planning.shapes import shape_of
from unified_rl.presets.loading import load_config

BIG = ("stack=deepseekmath_7b", "reward=rule", "plan.gpus=1")


def planned(*words: str) -> dict:
    return plan(load_config([*BIG, *words]))


def part(found: dict, name: str) -> float:
    (row,) = [row for row in found["memory"]["parts"] if row["part"] == name]
    return row["bytes"]


@pytest.mark.parametrize("targets", [[], ["q_proj"], ["down_proj", "layers.1.mlp.up_proj"]])
def test_parameters_are_those_of_a_real_adapter(targets):
    pytest.importorskip("peft", reason="the extra lora is not installed")
    from unified_rl.models.adapters import add_adapter
    from unified_rl.models.policy_model import build_llama

    lora = ("model.lora.rank=3", f"model.lora.targets=[{','.join(targets)}]")
    config = load_config(["method=grpo", "model.vocabulary=40", *lora])
    size = config.model
    model = build_llama(
        vocab_size=40,
        hidden_size=size.hidden_size,
        num_layers=size.num_layers,
        num_heads=size.num_heads,
        intermediate_size=size.intermediate_size,
        max_position_embeddings=size.max_positions,
        eos_token_id=1,
    )
    add_adapter(model, size.lora, Path("base"), 0)
    real = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert plan(config)["model"]["adapter"] == real


def test_a_7b_plan():
    """Weights once in bfloat16, 16 bytes for each number of the adapter, and a reference for nothing."""
    found, whole = planned("method=grpo", "model.lora.rank=16"), planned("method=grpo")
    shape = shape_of(load_config([*BIG, "method=grpo"]))[0]
    per_layer = 16 * (4 * 2 * 4096 + 3 * (4096 + 11008))
    assert found["model"]["adapter"] == 30 * per_layer == 37_478_400
    assert part(found, "policy: weights under its adapter") == 2 * shape.parameters
    assert part(found, "policy's adapter: optimiser") == 12 * 37_478_400
    assert part(found, "policy's adapter: gradients") == 4 * 37_478_400
    assert part(found, "reference: weights") == 0 and part(whole, "reference: weights") == 2 * shape.parameters
    assert max(found["memory"]["phases"].values()) < max(whole["memory"]["phases"].values())
    assert not whole["model"]["adapter"]
    ratio = found["work"]["update_flops"] / whole["work"]["update_flops"]
    assert 2 / 3 < ratio < 0.7, "weights that stay have no gradients of their own"


def test_a_value_model_is_an_adapter_more():
    ppo = ("method=ppo", "model.lora.rank=16", "deepspeed.offload=none")
    found = planned(*ppo, "deepspeed.zero_stage=2")
    assert part(found, "value model: weights under its adapter") == 0
    assert part(found, "value model's adapter: optimiser") == 12 * (37_478_400 + 4097)
    assert part(planned(*ppo, "deepspeed.zero_stage=3"), "value model: weights under its adapter") > 0


def test_another_reference_is_another_model():
    found = planned("method=grpo", "model.lora.rank=16", "reference=somewhere")
    assert part(found, "reference: weights") > 0


def test_said_by_explain(capsys):
    assert main(["explain", *BIG, "method=ppo", "model.lora.rank=16"]) == 0
    said = capsys.readouterr().out
    for line in (
        "trains  adapters of 37,478,400 parameters, 0.54%",
        "the policy, its adapter switched off",
        "an adapter and a scalar head of its own on the policy's weights",
    ):
        assert line in said
    with pytest.raises(ConfigError, match=r"model.lora.targets names 'no_proj'.*q_proj"):
        planned("method=grpo", "model.lora.rank=4", "model.lora.targets=[no_proj]")
