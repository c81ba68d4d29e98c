"""Responses are exact under every instruction-set switch of this processor, and a switch that breaks others is measured."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from exactness_job import SMALL, SWITCHES
from test_torch_generator import build

from unified_rl.sampling.company import company
from unified_rl.sampling.compiled_step import compile_step
from unified_rl.sampling.fixed_shapes import CHUNK
from unified_rl.sampling.llama_decoder import DecodingStep, StepShape

HERE = Path(__file__).parent
TESTS = HERE.parent


def sweep(*arguments: str) -> dict[str, str]:
    """What the job printed, by switch."""
    # A second thread that spins would take the processor from the first, where both share it.
    paths = os.pathsep.join(map(str, (HERE, TESTS, TESTS.parent)))
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "PYTHONPATH": paths}
    job = subprocess.run(
        [sys.executable, str(HERE / "exactness_job.py"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split(": ", 1) for line in job.stdout.splitlines() if ": " in line]
    return {name.split(" ")[0]: found for name, found in lines}


@pytest.mark.long
@pytest.mark.bit_equality
def test_company_changes_no_bit_under_any_switch_on_one_thread_and_two():
    assert sweep() == dict.fromkeys(SWITCHES, "same")


@pytest.mark.nightly
@pytest.mark.bit_equality
@pytest.mark.timeout(1800)
def test_company_changes_no_bit_of_the_compiled_step(tmp_path):
    torch.set_num_threads(1)
    compile_step(StepShape.of(build(SMALL[0], **SMALL[1])), tmp_path / "step.pt2")
    assert sweep(str(tmp_path / "step.pt2")) == dict.fromkeys(SWITCHES, "same")


@pytest.mark.bit_equality
@pytest.mark.parametrize(("heads", "kv_heads"), [(3, 3), (4, 2)])
def test_chunks_behind_a_row_s_own_and_the_order_of_pages_change_no_bit_of_its_attention(heads, kv_heads):
    step = DecodingStep(
        StepShape.of(build("llama", num_attention_heads=heads, num_key_value_heads=kv_heads, hidden_size=8 * heads))
    )
    numbers = torch.Generator().manual_seed(0)
    rows, most, dim = 32, 40, step.shape.head_dim
    query = torch.randn(rows, heads, dim, generator=numbers)
    keys, values = (torch.randn(rows, most, kv_heads, CHUNK, dim, generator=numbers) for _ in range(2))

    def attention(used, chunks):
        """Of rows whose last token lies in their last chunk but one or their last, beside a row of `chunks`."""
        positions = used * CHUNK - 1 - torch.arange(rows)
        row, chunk = (torch.arange(chunks) <= (positions // CHUNK)[:, None]).nonzero(as_tuple=True)
        page = 1 + torch.randperm(len(row) + 3, generator=numbers)[: len(row)]  # three are nobody's
        table = torch.zeros(rows, chunks, dtype=torch.int64)
        table[row, chunk] = page
        pools = [torch.zeros(len(row) + 4, *keys.shape[2:]) for _ in range(2)]
        owner = torch.zeros(3, len(row) + 4, dtype=torch.int64)
        for pool, found in zip(pools, (keys, values), strict=True):
            pool[page] = found[row, chunk]
        owner[:, page] = torch.stack([row, chunk, (positions[row] + 1 - CHUNK * chunk).clamp(max=CHUNK)])
        return step._attention(query, *pools, step._places(table, *owner))

    for used in range(1, most):
        expected = attention(used, used)
        for chunks in range(used + 1, most + 1, 5):
            assert torch.equal(attention(used, chunks), expected), (used, chunks)


def test_what_company_changes_is_said_of_each_kind_of_model():
    assert company(build("llama")) == "exact by construction"
    assert company(build("gpt_neox")) in ("exact as measured", "rounded")
    assert company(build("gpt_neox").to(torch.bfloat16)) == "not measured"


def test_a_model_that_looks_across_its_batch_is_found_out():
    """A module whose output depends on its neighbours in the last bits, as a library's may."""
    model = build("gpt_neox", num_hidden_layers=3)
    model.get_output_embeddings().register_forward_hook(
        lambda module, inputs, output: output * (1 + 1e-6 * (output.shape[0] > 16))
    )
    assert company(model) == "rounded"
