"""Layers as one program, traced for real and run without a code generator: against the plain pass, and how many programs there are.

A CPU has no backward kernel for block masks in torch's code generator; what is traced, guarded and differentiated is the same.
"""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_block_masks import gradient
from test_policy_model import batches, model_named
from torch._dynamo.utils import counters

from unified_rl.base.errors import ConfigError
from unified_rl.models.compiled_layers import CompiledLayers
from unified_rl.models.forward import plain_forward, response_logps, response_values
from unified_rl.models.policy_model import build_value_model
from unified_rl.packing.packed_rows import TokenSequence, pack

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def forward():
    return CompiledLayers(backend="aot_eager")


@pytest.fixture
def model():
    return copy.deepcopy(model_named("qwen2"))


@settings(max_examples=6, deadline=None)
@given(sequences=batches(), row_tokens=st.integers(1, 40), micro_batch_tokens=st.integers(1, 80))
def test_log_probs_and_gradients_are_those_of_the_plain_pass(forward, sequences, row_tokens, micro_batch_tokens):
    model, layout = copy.deepcopy(model_named("qwen2")), {"row_tokens": row_tokens, "micro_batch_tokens": micro_batch_tokens}
    expected = gradient(model, sequences, layout, plain_forward)
    torch.testing.assert_close(gradient(model, sequences, layout, forward), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("again", [False, True])
def test_layers_kept_and_run_again_agree(forward, model, again):
    sequences = [TokenSequence(np.arange(3, 9), np.arange(2, 2 + n)) for n in (3, 9, 4)]
    expected = gradient(model, sequences, {}, plain_forward)
    if again:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        for layer in model.model.layers:
            layer.training = True
    for pass_ in (plain_forward, forward):
        torch.testing.assert_close(gradient(model, sequences, {}, pass_), expected, rtol=1e-8, atol=1e-8)


def test_one_program_serves_all_layers_all_models_and_all_micro_batches_of_a_size(forward, model):
    value, other = build_value_model(model), copy.deepcopy(model)

    def passes(random):
        lengths = random.integers(1, 20, 4)
        (packed,) = pack([TokenSequence(random.integers(2, 19, n), random.integers(2, 19, n)) for n in lengths], row_tokens=160)
        for one in (model, other):
            response_logps(one, packed, 1.0, forward)[0].sum().backward()
            with torch.no_grad():
                response_logps(one, packed, 1.0, forward)
        response_values(value, packed, forward).sum().backward()

    random = np.random.default_rng(0)
    passes(random)
    before = counters["stats"]["unique_graphs"]
    for _ in range(5):
        passes(random)
    assert counters["stats"]["unique_graphs"] == before
    assert before > 0


def test_without_a_block_mask_the_layers_are_what_they_were(forward, model):
    """Sampling with a cache goes through the same layers, and a copy has layers of its own."""
    ids = torch.tensor([[3, 4, 5, 6]])
    expected = model.generate(ids, max_new_tokens=5, do_sample=False)
    (packed,) = pack([TokenSequence(np.array([3, 4]), np.array([5, 6, 1]))])
    response_logps(model, packed, 1.0, forward)
    before = counters["stats"]["unique_graphs"]
    assert torch.equal(model.generate(ids, max_new_tokens=5, do_sample=False), expected)
    assert counters["stats"]["unique_graphs"] == before
    changed = copy.deepcopy(model)
    for parameter in changed.parameters():
        parameter.data *= 1.1
    expected = response_logps(changed, packed)
    torch.testing.assert_close(response_logps(changed, packed, 1.0, forward), expected)


def test_a_decoder_without_such_layers_is_refused(forward):
    with pytest.raises(ConfigError, match=r"Linear has no layers that can be compiled; leave trainer.compiled out"):
        forward(torch.nn.Linear(2, 2), None)
