"""The planner's peak of a training pass against what torch's allocator gives out, and against GPUs where they were measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from live_bytes import peak_bytes

from unified_rl.bench.gpu.models import filled_rows, random_model, shape_named
from unified_rl.models.forward import response_outputs
from unified_rl.planning import memory
from unified_rl.planning.gpus import GIB
from unified_rl.planning.shapes import ModelShape

RESULTS = Path(__file__).parents[2] / "experiments" / "results" / "gpu"
#: Wide and deep enough that what is not counted (indices, scalars, workspaces) is small beside what is.
SHAPES = {
    "deep": ModelShape(128, 8, 4, 4, 32, 352, 1024, 2048),
    "large vocabulary": ModelShape(128, 2, 4, 2, 32, 352, 16_384, 2048),
    "tied": ModelShape(128, 4, 4, 2, 32, 352, 8192, 2048, tied_embeddings=True, qkv_bias=True),
}


@pytest.mark.parametrize("checkpointing", ["none", "layers"])
@pytest.mark.parametrize("name", SHAPES)
def test_the_peak_of_one_micro_batch_is_what_the_allocator_gives_out(name, checkpointing):
    shape, device = SHAPES[name], torch.device("cpu")
    _, packed = filled_rows(shape, 1024, 1024)
    model = random_model(shape, torch.float32, device)
    if checkpointing == "layers":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()

    def step():
        response_outputs(model, packed)["logp"].sum().backward()

    found = peak_bytes(step) + 4 * shape.parameters
    tokens, predicted = packed.input_ids_RL.numel(), len(packed.targets_N)
    planned = memory.single_pass_bytes(shape, tokens, packed.input_ids_RL.shape[1], 4, checkpointing, predicted=predicted)
    assert 0.9 < planned / found < 1.15


def test_an_update_of_one_micro_batch_never_holds_all_gradients_and_all_activations():
    shape = SHAPES["deep"]
    once, several = (
        max(
            memory.peak(
                memory.trained_model("policy", shape.parameters, shape, memory.Sharding(), accumulated=accumulated)
                + memory.pass_parts(shape, 1024, 1024, 2, "none", accumulated=accumulated)
            ).values()
        )
        for accumulated in (False, True)
    )
    assert once < several


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*.json")), ids=lambda file: file.stem)
def test_peaks_measured_on_gpus_are_those_planned(file):
    for found in json.loads(file.read_text())["results"]:
        if found["what"] != "training pass" or "peak_gib" not in found:
            continue
        checkpointing = {"kept": "none", "run again": "layers"}[found["layers"]]
        tokens = found["micro_batch_tokens"]
        planned = (
            memory.single_pass_bytes(shape_named(found["shape"]), tokens, tokens, 2, checkpointing, predicted=tokens) / GIB
        )
        assert 0.9 < planned / found["peak_gib"] < 1.15, found
