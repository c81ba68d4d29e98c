"""Rows whose baseline is from beyond the group, really killed (SIGKILL) and resumed: the same files byte for byte."""

from __future__ import annotations

import time

import pytest
from forked import Command
from tiny import words

from unified_rl.cli import main
from unified_rl.methods import beyond

RECORDS = ("metrics.jsonl", "curve.jsonl", "samples.jsonl")
#: Eight prompts, two to a step: every prompt comes up three times, on both sides of the kill.
MORE = (
    "data.prompts=8",
    "rollout.prompts_per_step=2",
    "trainer.steps=12",
    "trainer.learning_rate=0.01",
    "logging.checkpoint_every=3",
    "logging.curve_every=6",
    "source.samples_per_prompt=4",
)


@pytest.mark.long
@pytest.mark.parametrize("method", beyond.ROWS)
def test_killed_and_resumed(method, tmp_path):
    more = [one for one in MORE if method != "remax" or not one.startswith("source.")]
    assert main(["train", *words(method, tmp_path / "whole", tmp_path / "artifacts", *more)]) == 0
    line = words(method, tmp_path / "run", tmp_path / "artifacts", *more, "resume=true")
    process, metrics, until = Command("train", *line), tmp_path / "run" / "metrics.jsonl", time.monotonic() + 100
    while not (metrics.exists() and metrics.read_text().count("\n") >= 4):
        assert process.returncode is None and time.monotonic() < until, "it ended before it could be killed"
        time.sleep(0.0005)
    process.kill()
    assert metrics.read_text().count("\n") < 12, "it was not killed in the middle"
    assert main(["train", *line]) == 0
    for name in RECORDS:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
