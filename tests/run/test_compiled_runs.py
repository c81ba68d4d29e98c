"""Whole runs with everything compiled: what is interrupted ends as what is not, and every sampler of a run uses its step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import command, words

from unified_rl.config.records import EvaluationConfig
from unified_rl.presets import loading
from unified_rl.sampling.llama_decoder import LlamaDecoder
from unified_rl.stages.evaluate import evaluate
from unified_rl.stages.training import run_training

RECORDS = ("metrics.jsonl", "curve.jsonl", "samples.jsonl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("compiled")


def line(folder: Path, name: str, *more: str) -> list[str]:
    return words("grpo", folder / name, folder / "artifacts", "generator.compiled=true", "trainer.compiled=true", *more)


def train(folder: Path, name: str, *more: str) -> Path:
    run_training(loading.load_config(line(folder, name, *more)))
    return folder / name


@pytest.fixture(scope="module")
def whole(folder):
    """A run that nothing interrupts."""
    return train(folder, "whole")


@pytest.mark.long
def test_a_run_that_is_taken_up_again_is_the_same_byte_for_byte(folder, whole):
    """In a process of its own, which compiles the training pass anew and sees another batch first."""
    parts = train(folder, "parts", "trainer.steps=2")
    made = command("train", *line(folder, "parts", "resume=true"))
    assert made.returncode == 0, made.stderr
    assert "compiling the training pass" in made.stderr
    assert "compiling the decoding step" not in made.stderr, "the first run left it among the artefacts"
    for name in RECORDS:
        assert (parts / name).read_bytes() == (whole / name).read_bytes(), name
    assert len(list(folder.glob("artifacts/decoding_step/*/step.pt2"))) == 1, "one shape, compiled once"


@pytest.mark.long
def test_it_draws_the_same_first_batch_as_the_plain_step(folder, whole):
    plain = train(folder, "plain", "trainer.steps=1", "generator.compiled=false", "trainer.compiled=false")
    first = [[entry["tokens"] for entry in entries(run) if entry["step"] == 1] for run in (whole, plain)]
    assert first[0] == first[1] and first[0]


def entries(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]


@pytest.mark.long
@pytest.mark.parametrize("more", [("source=offline_samples",), ("source=refreshed_samples", "source.refresh_every=2")])
def test_every_source_samples_with_it(folder, monkeypatch, more):
    seen = []
    logits = LlamaDecoder.logits
    monkeypatch.setattr(
        LlamaDecoder, "logits", lambda self, *rest: seen.append(self.compiled is not None) or logits(self, *rest)
    )
    run = train(folder, more[0].partition("=")[2], "trainer.steps=1", "trainer.compiled=false", *more)
    evaluate(run, EvaluationConfig(problems=2, samples=2, max_new_tokens=16), "again")
    assert seen and all(seen)
