"""The GPU bench goes through all of its parts on a CPU, and says in one line where it needs a GPU."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch

from unified_rl.bench.gpu import models, report, worker
from unified_rl.cli import main


@pytest.fixture(autouse=True)
def one_thread_each(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def bench(*words):
    assert main(["bench", "gpu", "device=cpu", "shape=tiny", "rounds=1", *words]) == 0


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
    assert found["whole"] and found["packages"]["torch"] == torch.__version__


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
    """Parts whose own code fails, in the process that measures; what becomes of a process that dies is in test_workers.py."""

    def fails(*_):
        raise RuntimeError("no kernel image")
        yield

    def grows(*_):
        raise torch.OutOfMemoryError("Tried to allocate 80 GiB")

    monkeypatch.setattr(worker.training, "measure", fails)
    monkeypatch.setattr(worker.head, "measure", grows)
    given = {"shape": "tiny", "way": "none", "seconds": 100.0}
    (broken,) = worker.measured({**given, "part": "training"}, torch.device("cpu"), 1)
    assert broken["not_measured"] == "RuntimeError: no kernel image"
    assert (broken["layers"], broken["failed"]) == ("kept", True)
    assert "no kernel image" in capsys.readouterr().err
    (large,) = worker.measured({**given, "part": "head"}, torch.device("cpu"), 1)
    assert large["not_measured"] == "out of memory"
    assert "failed" not in large, "another part may have the room"


def test_what_the_time_does_not_allow_is_named_and_kept_with_card_versions_and_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "BUDGET", -1.0)
    out = tmp_path / "kept" / "gpu.json"
    bench("only=head", f"out={out}")
    found = json.loads(out.read_text())
    assert "no time for it" in found["results"][0]["not_measured"]
    assert found["whole"]
    assert found["commit"] and found["code"] and found["device"] == "cpu"
    assert found["packages"]["torch"] == torch.__version__
    assert set(found["packages"]) >= {"transformers", "triton", "deepspeed", "trl", "vllm"}


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
