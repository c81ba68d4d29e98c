"""Whole runs through `generator=vllm`: training, stored samples, evaluation; and an engine that dies in the middle of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import vllm_tiny as tiny
from tiny import environment, words

from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.presets.loading import load_config
from unified_rl.records import metric_names

VLLM = ("generator=vllm", "vllm.cpu_cache_gib=0.05")
#: Enough responses for means to mean something.
WIDE = ("rollout.prompts_per_step=16", "rollout.responses_per_prompt=16", "trainer.steps=3", "logging.curve_every=0")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


def metrics(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@tiny.needs_vllm
def test_a_run_is_like_the_torch_generators(tmp_path, artifacts):
    for name, more in (("torch", ()), ("vllm", VLLM)):
        assert main(["train", *words("grpo", tmp_path / name, artifacts, *WIDE, *more)]) == 0
    ours, theirs = metrics(tmp_path / "vllm"), metrics(tmp_path / "torch")
    assert [entry["step"] for entry in ours] == [1, 2, 3]
    for entry in ours:
        assert entry["sync/logp_difference"] < entry["sync/max_logp_difference"] < 1e-4
        assert entry["sampler/max_logp_difference"] < 1e-4
        assert entry["sampler/staleness_max"] == 0
        assert all(metric_names.described(key) for key in entry)
    # 256 responses and about 1500 tokens at the same weights: four standard errors, and the runs differ in their samples.
    assert ours[0]["reward/mean"] == pytest.approx(theirs[0]["reward/mean"], abs=0.18)
    assert ours[0]["logp/mean"] == pytest.approx(theirs[0]["logp/mean"], abs=0.15)
    assert ours[0]["entropy/mean"] == pytest.approx(theirs[0]["entropy/mean"], abs=0.15)
    assert ours[0]["response/length"] == pytest.approx(theirs[0]["response/length"], rel=0.25)
    assert ours[0]["sampler/logp_difference"] != theirs[0]["sampler/logp_difference"]


@tiny.needs_vllm
def test_stored_samples_and_evaluations_come_from_it_too(tmp_path, artifacts):
    run = tmp_path / "run"
    assert main(["train", *words("rft", run, artifacts, *VLLM, "trainer.steps=2", "logging.curve_problems=0")]) == 0
    assert all(entry["sampler/staleness_max"] >= 0 for entry in metrics(run))
    assert metrics(run)[0]["sampler/max_logp_difference"] < 1e-4, "the start policy wrote them"
    assert main(["evaluate", f"run={run}"]) == 0
    (samples,) = (run / "evaluations").glob("*/samples.parquet")
    assert set(pq.read_table(samples)["mode"].to_pylist()) == {"greedy", "sample"}


def engine_of(pid: int) -> int | None:
    """The process of vLLM's engine core, a descendant of `pid`."""
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            parent = int((status.parent / "stat").read_text().rsplit(")", 1)[1].split()[1])
            title = status.read_bytes()
        except (OSError, ValueError):
            continue
        if parent == pid and (b"EngineCore" in title or b"spawn_main" in title):
            return int(status.parent.name)
    return None


@tiny.needs_vllm
def test_an_engine_that_dies_ends_the_run_with_a_message(tmp_path, artifacts):
    run = tmp_path / "run"
    settings = ("vllm.placement=separate", "trainer.steps=100000", "logging.curve_problems=0", "logging.checkpoint_every=1")
    line = [sys.executable, "-m", "unified_rl.cli", "train", *words("grpo", run, artifacts, *VLLM, *settings)]
    process = subprocess.Popen(line, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while not (run / "metrics.jsonl").exists() and process.poll() is None:
            time.sleep(0.2)  # pytest's own time limit ends this
        engine = engine_of(process.pid)
        assert engine is not None, "the run ended, or has no engine process"
        os.kill(engine, signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode not in (0, None)
    assert "the vLLM engine failed while" in errors
    assert "is good" in errors, "the last checkpoint"
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "failed"
    assert metrics(run)[0]["sync/max_logp_difference"] < 1e-4, "until then the weights arrived in the other process too"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("source=refreshed_samples",), "source=refreshed_samples keeps older ones"),
        (("vllm.between_rollouts=asleep",), "model.device=cpu"),
        (("vllm.placement=elsewhere",), "vllm.placement"),
        (("model.device=cuda:1",), "CUDA_VISIBLE_DEVICES=1"),
        (("generator.top_p=0.9",), "training on samples"),
    ],
)
def test_what_it_cannot_do_is_refused_before_the_run(more, says):
    with pytest.raises(ConfigError, match=says):
        load_config(["method=grpo", "generator=vllm", *more])


@pytest.mark.skipif(not tiny.needs_vllm.args[0], reason="vLLM is installed")
def test_without_vllm_there_is_a_remedy(tmp_path, artifacts, capsys):
    assert main(["train", *words("grpo", tmp_path / "run", artifacts, "generator=vllm")]) == 2
    assert "pip install 'unified-rl[vllm]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@tiny.needs_vllm
def test_rollouts_drawn_beside_the_training_are_those_drawn_before_it(tmp_path, artifacts):
    """An engine in another process samples the batch of the next step during the updates, with the same weights and seeds."""
    more = (*VLLM, "rollout.staleness=1", "importance=truncated", "trainer.learning_rate=0.01", "logging.curve_every=2")
    for placement in ("colocated", "separate"):
        words_of = words("grpo", tmp_path / placement, artifacts, *more, f"vllm.placement={placement}")
        assert main(["train", *words_of]) == 0
    before, beside = metrics(tmp_path / "colocated"), metrics(tmp_path / "separate")
    assert [entry["sampler/staleness_max"] for entry in beside] == [0, 1, 1, 1]
    for one, other in zip(beside, before, strict=True):
        assert one == pytest.approx(other, rel=1e-2, abs=1e-4)
    curves = [(tmp_path / name / "curve.jsonl").read_text() for name in ("colocated", "separate")]
    assert curves[0] == curves[1], "the curve is of the present weights"
