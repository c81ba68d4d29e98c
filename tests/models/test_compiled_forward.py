"""The compiled training pass, compiled for real: against the plain pass on random batches, and how many programs it makes."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_policy_model import batches, model_named, weighted_sum
from tiny import environment
from torch._dynamo.utils import counters

from unified_rl.base.errors import ConfigError
from unified_rl.models.compiled_forward import CompiledForward, compiled_forward
from unified_rl.models.forward import plain_forward, response_logps, response_values
from unified_rl.models.policy_model import build_value_model, decoder_of
from unified_rl.packing.packed_rows import TokenSequence, pack
from unified_rl.presets.loading import load_config
from unified_rl.stages.training import preflight

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.long]


@pytest.fixture(scope="module", params=[("gpt2", 1e-9), ("qwen2", 1e-4)], ids=["gpt2", "qwen2"])
def compiled(request):
    """A model in float64, its compiled pass, and how close that is: tables of rotary positions are float32 in any model."""
    torch.set_num_threads(1)
    name, tolerance = request.param
    model = model_named(name)
    forward = compiled_forward(decoder_of(model))
    assert isinstance(forward, CompiledForward)
    return model, forward, {"rtol": tolerance, "atol": tolerance}


def gradient(model, sequences, layout, forward):
    """Log-probs, entropies and the gradient of a sum that tells all tokens apart, summed over the micro-batches."""
    weights, parameters = weighted_sum(sequences), list(model.parameters())
    total, found = [torch.zeros_like(parameter) for parameter in parameters], []
    for packed in pack(sequences, **layout):
        logp_N, entropy_N = response_logps(model, packed, 0.8, forward)
        weight_N = torch.cat([weights[b] for b in packed.sequences_b.tolist()])
        found += [logp_N.detach(), entropy_N]
        for sum_, part in zip(total, torch.autograd.grad((weight_N * logp_N).sum(), parameters), strict=True):
            sum_ += part
    return found + total


@settings(max_examples=12, deadline=None)
@given(sequences=batches(), row_tokens=st.integers(1, 40), micro_batch_tokens=st.integers(1, 80))
def test_log_probs_and_gradients_are_those_of_the_plain_pass(compiled, sequences, row_tokens, micro_batch_tokens):
    model, forward, close = compiled
    layout = {"row_tokens": row_tokens, "micro_batch_tokens": micro_batch_tokens}
    expected = gradient(model, sequences, layout, plain_forward)
    torch.testing.assert_close(gradient(model, sequences, layout, forward), expected, **close)


def test_a_pass_without_gradient_is_the_plain_one(compiled):
    model, forward, close = compiled
    (packed,) = pack([TokenSequence(np.array([3, 4]), np.array([5, 6, 1])), TokenSequence(np.array([3]), np.array([9, 1]))])
    with torch.no_grad():
        expected = response_logps(model, packed, 1.0)
        torch.testing.assert_close(response_logps(model, packed, 1.0, forward), expected, **close)


def test_one_program_serves_all_sizes_and_all_models_of_a_shape(compiled):
    """Policy, reference and value model; one row and many, one token and many, as many rows as tokens."""
    model, forward, close = compiled
    value, other = build_value_model(model), CompiledForward(decoder_of(model))
    before = counters["stats"]["unique_graphs"]
    for rows, length in ((1, 2), (2, 2), (5, 5), (1, 1), (3, 1), (7, 12)):
        (packed,) = pack([TokenSequence(np.full(length, 3 + row), np.array([row])) for row in range(rows)], row_tokens=length)
        assert packed.input_ids_RL.shape == (rows, length)
        for pass_ in (forward, other):
            logp_N, _ = response_logps(model, packed, 1.0, pass_)
            torch.testing.assert_close(logp_N, response_logps(model, packed)[0], **close)
            logp_N.sum().backward()
            response_values(value, packed, pass_).sum().backward()
            with torch.no_grad():
                response_logps(model, packed, 1.0, pass_)
    assert counters["stats"]["unique_graphs"] == before
    assert before > 0


def test_a_model_that_is_no_single_program_is_refused():
    decoder = copy.deepcopy(decoder_of(model_named("llama untied")))  # of a shape that nobody else compiles; ours to spoil
    decoder.norm.register_forward_hook(lambda module, inputs, hidden: hidden if hidden.sum().item() > 0 else hidden.clone())
    with pytest.raises(ConfigError, match=r"the training pass of LlamaModel could not be compiled.*leave trainer.compiled out"):
        CompiledForward(decoder)


def test_a_compiler_that_fails_is_reported_in_a_line(tmp_path):
    """In a process of its own, for torch keeps what it compiled by the process."""
    code = (
        "import torch\n"
        "from unified_rl.models.compiled_forward import CompiledForward\n"
        "from unified_rl.models.policy_model import build_llama\n"
        "from unified_rl.base.errors import ConfigError\n"
        "size = dict(vocab_size=11, hidden_size=16, num_layers=1, num_heads=2, intermediate_size=24)\n"
        "model = build_llama(**size, max_position_embeddings=64, eos_token_id=1)\n"
        "try:\n"
        "    CompiledForward(model.get_decoder())\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    variables = {**environment(), "CXX": "false", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
    assert "the training pass of LlamaModel could not be compiled" in found.stdout, found
    assert "leave trainer.compiled out" in found.stdout and found.stdout.count("\n") == 1


def test_where_it_cannot_be_had_it_is_refused_before_anything_starts(tmp_path, monkeypatch):
    assert load_config(["method=grpo", "trainer.compiled=true", "engine=deepspeed"]).trainer.compiled
    with pytest.raises(ConfigError, match=r"trainer.compiled=true needs the weights.*zero_stage=3.*leave trainer.compiled out"):
        load_config(["method=grpo", "trainer.compiled=true", "engine=deepspeed", "deepspeed.zero_stage=3"])
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"trainer.compiled=true needs a C\+\+ compiler.*no-such-compiler.*install one"):
        preflight(load_config(["method=grpo", "trainer.compiled=true", f"run_dir={tmp_path / 'run'}"]))
