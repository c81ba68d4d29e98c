"""Runs of the benchmark are kept with their commit, and each is compared with the last that has the same figure."""

from __future__ import annotations

import json

import pytest
import torch

from unified_rl.base.errors import DataError
from unified_rl.bench import history, parts
from unified_rl.cli import main


@pytest.fixture
def measured(monkeypatch):
    """A part of the benchmark whose figures the test sets."""
    found = {"rows per second": 100.0, "plain ratio": 2.0}

    def counting() -> dict[str, float]:
        """Rows counted per second."""
        return dict(found)

    monkeypatch.setattr(parts, "PARTS", {"counting": counting})
    threads = torch.get_num_threads()
    yield found
    torch.set_num_threads(threads)


def test_a_run_is_kept_with_its_commit_and_compared_with_the_last(measured, tmp_path, capsys):
    out = tmp_path / "kept" / "bench.jsonl"
    assert main(["bench", "counting", "threads=1", f"out={out}"]) == 0
    assert "counting: plain ratio 2\n" in capsys.readouterr().out
    measured["plain ratio"], measured["rows per second"] = 3.0, 90.0
    assert main(["bench", "counting", "threads=1", f"out={out}"]) == 0
    runs = [json.loads(line) for line in out.read_text().splitlines()]
    assert [run["figures"]["counting"]["plain ratio"] for run in runs] == [2.0, 3.0]
    assert all({"commit", "dirty", "date", "machine", "threads"} <= run.keys() for run in runs)
    said = capsys.readouterr().out
    at = f"at {runs[0]['commit'][:7]}"
    assert f"counting: plain ratio 3 (2 {at}, +50%)" in said
    assert f"counting: rows per second 90 (100 {at}, -10%)" in said


def test_rates_are_compared_on_the_same_machine_only_and_ratios_with_any():
    def run(machine, **figures):
        return {"commit": "0123456789", "machine": machine, "threads": 1, "figures": {"part": figures}}

    before = [run("here", rate=1.0), run("there", rate=7.0, speed_ratio=2.0)]
    lines = history.compared(run("here", rate=2.0, speed_ratio=4.0, new=5.0), before)
    assert lines == ["part: rate 2 (1 at 0123456, +100%)", "part: speed_ratio 4 (2 at 0123456, +100%)", "part: new 5"]


def test_another_kind_of_file_is_refused_before_anything_is_measured(measured, tmp_path, capsys):
    out = tmp_path / "other.txt"
    out.write_text("not ours\n")
    with pytest.raises(DataError, match="not a file of benchmarks"):
        history.read(out)
    assert main(["bench", "counting", f"out={out}"]) == 2
    assert "Rows counted" not in capsys.readouterr().out
    assert out.read_text() == "not ours\n"
