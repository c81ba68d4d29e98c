"""Following a run while it is written: what a look finds, logs that are cut back, bounded memory, and what progress.json tells."""

from __future__ import annotations

import json
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logged import logged, write_logged_run
from synthetic_runs import write_status

from unified_rl.pages.experiment import FollowedExperiment
from unified_rl.pages.followed_run import FollowedRun
from unified_rl.pages.series import KEPT_STEPS, Series
from unified_rl.records import following, phase
from unified_rl.records.following import Followed
from unified_rl.records.progress import Stand, doing, progress

ROWS = st.lists(
    st.dictionaries(st.sampled_from(["step", "a", "é"]), st.integers(0, 9) | st.floats(allow_nan=False), max_size=3)
)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_whatever_the_pieces_every_object_is_found_once(tmp_path_factory, rows, sizes):
    rows = [{**row, "step": 1} for row in rows]
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path = tmp_path_factory.mktemp("log") / "metrics.jsonl"
    log, found = Followed(path), []
    for size in [*sizes, len(data)]:
        with path.open("ab") as file:
            file.write(data[:size])
        data = data[size:]
        found += log.look()
    assert found == rows and not log.behind


def test_a_log_that_was_cut_back_is_read_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n')
    log = Followed(path)
    assert [row["step"] for row in log.look()] == [1, 2] and log.again == 0
    path.write_text('{"step": 1}\n')
    assert [row["step"] for row in log.look()] == [1] and log.again == 1


def test_what_is_no_line_of_ours_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(following, "LINE_BYTES", 100)
    monkeypatch.setattr(following, "LOOK_BYTES", 64)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'[1]\n{"step": 1}\n\xff\xfe\n' + b"[" * 500 + b'\n{"step": "x"}\n{"step": 2}\n{"step": 3')
    log, found = Followed(path), []
    while log.behind:
        found += log.look()
    assert found == [{"step": 1}, {"step": 2}]
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert Followed(tmp_path / "pipe.jsonl").look() == []


def test_a_long_series_keeps_measured_values_in_bounded_memory():
    series = Series()
    for step in range(1, 10_001):
        series.add(step, {"step": step, "a": step**2, "b": float("nan"), "c": "x", "d": True})
    points = series.points("a")
    assert series.names == ["a"] and len(points) <= 2 * KEPT_STEPS + 1
    assert all(value == step**2 for step, value in points.items()) and max(points) == 10_000
    assert len(series.points("a", 1024)) == 10


def test_where_a_run_stands_while_it_trains_and_is_evaluated(tmp_path):
    run = write_logged_run(tmp_path / "run", "RFT", 0, 8, [logged(1, 0, ["a"])], state="running")
    write_status(run, "running", 4, 8)  # of its last checkpoint
    with phase.noted(run), progress("RFT", 8) as hook:
        hook(1, {})
        time.sleep(0.05)
        hook(8, {})
        followed = FollowedRun(run)
        followed.look()
        row = followed.standing()
        assert (row.state, row.step, row.steps, row.work, row.going) == ("running", 8, 8, "", True)
        assert row.numbers == {"reward": 1.0, "correct": 1.0, "kl": 0.01, "length": 39.0, "entropy": 0.125}
    write_status(run, "finished", 8, 8)
    assert followed.standing().state == "finished" and not followed.standing().going
    time.sleep(0.02)
    with phase.noted(run), progress("evaluating a task", 100, "responses") as hook:
        hook(0, {})
        row = followed.standing()
        assert (row.state, row.work, row.going) == ("evaluating", "evaluating a task 0/100", True)
        hook(100, {})
    assert followed.standing().state == "finished"


def test_what_a_step_is_at_is_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(phase, "INTERVAL_SECONDS", 0.0)
    run = write_logged_run(tmp_path / "run", "RFT", 0, 8, [logged(1, 0, ["a"])], state="running")
    with phase.noted(run), progress("RFT", 8) as hook:
        hook(1, {})
        doing("sampling 12/64 responses")
        followed = FollowedRun(run)
        followed.look()
        assert followed.standing().work == "sampling 12/64 responses"
        hook(2, {})
        assert followed.standing().work == ""
    with phase.noted(run), progress("SFT", 3):
        doing("update, pass 2")
        assert followed.standing().work == "SFT 0/3, update, pass 2"


def test_a_cell_that_failed_after_training_says_why(tmp_path):
    write_logged_run(tmp_path / "runs" / "rft-0", "RFT", 0, 8, [])
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "rft-0.json").write_text('{"state": "failed", "error": "no such split"}')
    (row,) = FollowedExperiment(tmp_path).look().rows
    assert (row.state, row.error, row.bad) == ("failed", "no such split", True)


def test_a_worker_that_has_just_begun_is_starting(tmp_path):
    for folder in ("runs", "logs", "cells"):
        (tmp_path / folder).mkdir()
    (tmp_path / "logs" / "rft-0.log").write_text("loading\n")
    (tmp_path / "cells" / "rft-0.lock").write_text("")
    experiment = FollowedExperiment(tmp_path)
    assert [row.state for row in experiment.look().rows] == ["starting"]
    os.utime(tmp_path / "logs" / "rft-0.log", (1, 1))
    assert [row.state for row in experiment.look().rows] == ["failed before it began"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"label": 1}', '{"label": "a", "unit": "b", "done": true, "total": 2, "rate": 0, "at": 0}', "NaN", "[" * 9**5],
)
def test_a_strangers_progress_is_not_believed(tmp_path, text):
    (tmp_path / phase.FILE).write_text(text)
    assert phase.read(tmp_path) is None


def test_progress_that_cannot_be_written_is_given_up(tmp_path):
    (tmp_path / phase.FILE).mkdir()
    with phase.noted(tmp_path), progress("a", 2) as hook:
        hook(2, {})
    assert phase.read(tmp_path) is None


def test_the_time_that_is_left_goes_by(tmp_path):
    found = phase.Phase("a", "steps", 20, 40, 2.0, at=100.0)
    assert found.seconds_left(100.0) == 10.0 and found.seconds_left(103.0) == 7.0 and found.seconds_left(900.0) == 0.0
    assert phase.Phase("a", "steps", 40, 40, 2.0, at=100.0).seconds_left(100.0) is None
    assert Stand("a", "steps", 1, 2).seconds_left is None
