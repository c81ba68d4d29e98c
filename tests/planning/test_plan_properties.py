"""Properties that any plan must have, whatever the shape: what divides, what grows, what never depends on what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.base.errors import ConfigError
from unified_rl.planning import memory, plan, work
from unified_rl.planning.gpus import GPUS
from unified_rl.planning.memory import Sharding
from unified_rl.planning.shapes import ModelShape
from unified_rl.planning.utilisation import MEASURED, utilisation
from unified_rl.presets import loading

SHAPES = st.builds(
    ModelShape,
    hidden_size=st.integers(8, 4096),
    num_layers=st.integers(1, 40),
    num_heads=st.integers(1, 32),
    num_kv_heads=st.integers(1, 8),
    head_size=st.integers(4, 128),
    intermediate_size=st.integers(8, 11008),
    vocabulary=st.integers(8, 102_400),
    max_positions=st.just(4096),
    tied_embeddings=st.booleans(),
    qkv_bias=st.booleans(),
)
SHARDINGS = st.builds(
    Sharding,
    gpus=st.integers(1, 64),
    zero_stage=st.integers(0, 3),
    offload=st.sampled_from(["none", "optimizer"]),
    precision=st.just(2),
    optimizer=st.just(12),
)


def states(shape: ModelShape, sharding: Sharding) -> float:
    """Weights, gradients and optimiser of one GPU."""
    parts = memory.trained_model("policy", shape.parameters, shape, replace(sharding, zero_stage=min(sharding.zero_stage, 2)))
    return sum(part.bytes for part in parts)


@given(SHAPES, SHARDINGS)
def test_more_gpus_and_higher_stages_never_need_more(shape, sharding):
    assert states(shape, replace(sharding, gpus=2 * sharding.gpus)) <= states(shape, sharding)
    for count in (memory.weight_bytes, memory.gradient_bytes, memory.optimizer_bytes):
        by_stage = [count(shape.parameters, replace(sharding, zero_stage=stage)) for stage in range(4)]
        assert by_stage == sorted(by_stage, reverse=True)


@given(SHAPES, st.integers(1, 64))
def test_stage_3_divides_the_classic_sixteen_bytes(shape, gpus):
    sharding = Sharding(gpus, 3)
    total = sum(
        count(shape.parameters, sharding) for count in (memory.weight_bytes, memory.gradient_bytes, memory.optimizer_bytes)
    )
    assert total == pytest.approx(16 * shape.parameters / gpus)


@given(SHAPES, SHARDINGS)
def test_offload_moves_and_loses_nothing(shape, sharding):
    kept, away = replace(sharding, offload="none"), replace(sharding, offload="optimizer")
    assert memory.optimizer_bytes(shape.parameters, away) == 0
    assert memory.host_bytes(shape.parameters, kept) == 0
    assert memory.host_bytes(shape.parameters, away) >= memory.optimizer_bytes(shape.parameters, kept)


@given(SHAPES, st.integers(1, 10_000), st.sampled_from([2, 4]))
def test_activations_grow_with_tokens_and_shrink_by_checkpointing(shape, tokens, precision):
    whole = memory.activation_bytes(shape, tokens, precision, "none")
    assert memory.activation_bytes(shape, 2 * tokens, precision, "none") == 2 * whole
    if shape.num_layers > 1:
        assert memory.activation_bytes(shape, tokens, precision, "layers") < whole


@given(SHAPES, st.integers(1, 16), st.integers(1, 64), st.integers(1, 512), st.integers(1, 1024), st.integers(1, 8))
def test_flops_are_linear_in_prompts(shape, prompts, group, prompt, response, share):
    tokens = work.StepTokens(prompts * group, group, prompt, response, share, sampled=True)
    twice = replace(tokens, responses=2 * tokens.responses)
    assert work.update_flops(shape, twice) == pytest.approx(2 * work.update_flops(shape, tokens))
    assert work.update_flops(shape, tokens) == pytest.approx(3 * work.pass_flops(shape, tokens))
    assert work.sampling_flops(shape, replace(tokens, sampled=False)) == 0
    # Six FLOPs per weight and response token, at least, and the attention beside them.
    weights = shape.body_parameters + shape.head_parameters
    assert work.update_flops(shape, tokens) >= 6 * weights * tokens.response_tokens


@given(st.integers(1, 64), st.integers(1, 500), st.integers(1, 500), st.integers(1, 4096))
def test_prompt_copies_lie_between_one_per_prompt_and_one_per_response(group, prompt, response, row):
    share = work.sharing(group, prompt, response, row)
    tokens = work.StepTokens(group, group, prompt, response, share, sampled=True)
    assert prompt <= tokens.prompt_tokens <= group * prompt


@pytest.fixture(scope="module")
def preset():
    return loading.load_config(["stack=deepseekmath_7b", "method=grpo"])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.sampled_from(sorted(GPUS)), st.integers(1, 16))
def test_a_plans_parts_add_up(preset, stage, gpu, gpus):
    config = replace(
        preset, deepspeed=replace(preset.deepspeed, zero_stage=stage), plan=replace(preset.plan, gpu=gpu, gpus=gpus)
    )
    found = plan(config)
    table = found["memory"]
    for phase, total in table["phases"].items():
        assert total == pytest.approx(sum(part["bytes"] for part in table["parts"] if phase in part["phases"]))
    assert table["peak"] == max(table["phases"].values())
    assert table["fits"] == (table["peak"] <= table["room"])
    seconds = found["time"]["seconds"]
    assert seconds["step"] == pytest.approx(sum(seconds[name] for name in seconds if name != "step"))
    assert 0 < found["time"]["model_flops_utilisation"] <= 0.4


def test_the_utilisation_is_that_measured_for_the_way_of_training(preset):
    """By shape, card and whether the pass is compiled; each figure is in what is kept of the measurements."""
    kept = (Path(__file__).parents[2] / "experiments" / "results" / "gpu" / "README.md").read_text()
    for one in MEASURED:
        assert f"{100 * one.kept:g}" in kept and f"{100 * one.again:g}" in kept
        assert utilisation(one.card, one.parameters, "none", one.compiled)[0] == one.kept
        assert utilisation(one.card, one.parameters, "layers", one.compiled)[0] == one.again
    assert "not on A100-80GB" in utilisation("A100-80GB", 10**9, "none", True)[1]

    def assumed(compiled):
        chosen = replace(preset, trainer=replace(preset.trainer, compiled=compiled), plan=replace(preset.plan, gpu="H100-80GB"))
        return plan(chosen)["time"]["assumes"][0]

    assert "measured with 7B, not compiled, on H100-80GB" in assumed(False)
    assert "measured with 7B, compiled, on H100-80GB" in assumed(True)


def test_more_gpus_take_less_time(preset):
    def seconds(gpus):
        return plan(replace(preset, plan=replace(preset.plan, gpus=gpus)))["time"]["seconds"]

    for phase in ("sampling", "scoring", "update"):
        assert seconds(16)[phase] <= seconds(8)[phase] <= seconds(4)[phase]


def test_an_unknown_gpu_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="H100-80GB"):
        plan(loading.load_config(["method=grpo", "plan.gpu=H100-80"]))
