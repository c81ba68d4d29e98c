"""The GPU bench goes through its code on a CPU, and says in one line where it needs a GPU."""

from __future__ import annotations

import json

import pytest
import torch

from unified_rl.bench import gpu as bench_gpu
from unified_rl.cli import main


def test_the_same_code_runs_on_a_cpu(tmp_path, capsys):
    threads = torch.get_num_threads()
    out = tmp_path / "gpu.json"
    try:
        torch.set_num_threads(1)
        assert main(["bench-gpu", "device=cpu", "shape=tiny", "rounds=1", f"out={out}"]) == 0
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision("highest")
    results = json.loads(out.read_text())["results"]
    assert [result["what"] for result in results] == ["training pass", "training pass", "log-probs"]
    kept, again, logps = results
    assert kept["parameters"] == sum(
        parameter.numel()
        for parameter in bench_gpu.random_model(bench_gpu.TINY, torch.float32, torch.device("cpu")).parameters()
    )
    assert kept["planned_peak_gib"] > again["planned_peak_gib"] > 0
    assert kept["tokens_per_second"] > 0
    assert logps["vocabulary"] == bench_gpu.TINY.vocabulary
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_rows_are_filled_with_several_documents():
    sequences, packed = bench_gpu.filled_rows(bench_gpu.shape_named("7b"), 4096, 4096)
    assert len(sequences) > 2
    assert sum(sequence.input_tokens for sequence in sequences) > 0.9 * 4096
    assert packed.input_tokens > 0.9 * packed.input_ids_RL.numel()


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without CUDA")
def test_without_cuda_it_says_so(capsys):
    assert (
        main(
            [
                "bench-gpu",
            ]
        )
        == bench_gpu.NO_CUDA
    )
    assert len(capsys.readouterr().err.splitlines()) == 1
