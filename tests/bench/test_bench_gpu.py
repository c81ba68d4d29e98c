"""The GPU bench goes through all of its parts on a CPU, and says in one line where it needs a GPU."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch

from unified_rl.bench.gpu import models, report, training
from unified_rl.cli import main


def bench(*words):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert main(["bench", "gpu", "device=cpu", "shape=tiny", "rounds=1", *words]) == 0
    finally:
        torch.set_num_threads(threads)


@pytest.mark.long
def test_the_same_code_runs_on_a_cpu(tmp_path, capsys):
    out = tmp_path / "gpu.json"
    bench("only=training,head,attention,decoding", f"out={out}")
    found = json.loads(out.read_text())
    assert found["commit"]
    decoding, kept, again, logps, attention = found["results"]
    assert [kept["layers"], again["layers"]] == ["kept", "run again"]
    model = models.random_model(models.TINY, torch.float32, torch.device("cpu"))
    assert kept["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert kept["planned_peak_gib"] > again["planned_peak_gib"] > 0
    assert kept["tokens_per_second"] > 0
    assert (logps["what"], logps["vocabulary"]) == ("log-probs", models.TINY.vocabulary)
    assert attention["dense_mask_ms"] > 0
    assert decoding["ms_per_step"] > decoding["roofline_ms"] > 0
    assert decoding["tokens_per_second"] * decoding["ms_per_step"] / 1e3 == pytest.approx(decoding["rows"])
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(found["results"])


@pytest.mark.long
def test_a_whole_step_is_measured_by_phase_and_what_is_not_here_is_named(tmp_path):
    out = tmp_path / "gpu.json"
    bench("only=step,deepspeed", f"out={out}")
    ours, *others = json.loads(out.read_text())["results"]
    assert ours["seconds"] == pytest.approx(ours["sampling"] + ours["log_probs"] + ours["update"])
    assert min(ours["sampling"], ours["log_probs"], ours["update"]) > 0
    for package, by in (("trl", "TRL"), ("deepspeed", "DeepSpeed")):
        if importlib.util.find_spec(package) is None:
            assert any(f"{package} is not installed" in str(one) for one in others), by


def test_a_part_that_fails_is_named_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    def fails(*_):
        raise RuntimeError("no kernel image")
        yield

    monkeypatch.setattr(training, "measure", fails)
    out = tmp_path / "gpu.json"
    bench("only=training,head", f"out={out}")
    broken, logps = json.loads(out.read_text())["results"]
    assert broken["not_measured"] == "RuntimeError: no kernel image"
    assert logps["chunked_ms"] > 0
    monkeypatch.setattr(report, "BUDGET", -1.0)
    bench("only=head", f"out={out}")
    assert "are over" in json.loads(out.read_text())["results"][0]["not_measured"]


def test_rows_are_filled_with_several_documents():
    sequences, packed = models.filled_rows(models.shape_named("7b"), 4096, 4096)
    assert len(sequences) > 2
    assert sum(sequence.input_tokens for sequence in sequences) > 0.9 * 4096
    assert packed.input_tokens > 0.9 * packed.input_ids_RL.numel()


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without CUDA")
def test_without_cuda_it_says_so(capsys):
    assert main(["bench", "gpu"]) == report.NO_CUDA
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_it_is_a_run_of_its_own(capsys):
    assert main(["bench", "gpu", "engines"]) == 2
    assert "a run of its own" in capsys.readouterr().err
