"""`unified-rl watch`: a finished run, a grid, a run as it goes on, Ctrl-C, and what a terminal would obey."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from logged import write_logged_run
from rich.console import Console

from unified_rl.cli import main
from unified_rl.pages import watch
from unified_rl.pages.experiment import FollowedExperiment


def picture(folder, width=120, height=None):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(watch.picture(folder, FollowedExperiment(folder).look(samples=False), height))
    return console.file.getvalue()


def test_a_finished_run_is_shown_once(tmp_path, capsys):
    write_logged_run(tmp_path / "run", "RFT", 0, 8, [])
    assert main(["watch", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].endswith("1 finished")
    assert out[1].split() == ["run", "state", "step", "reward", "right", "KL", "length", "entropy"]
    assert out[2].split() == ["run", "finished", "8/8", "1", "1", "0.01", "39", "0.125"]


def test_a_grid_shows_every_planned_cell_those_under_way_first(tmp_path):
    write_logged_run(tmp_path / "runs" / "a-0", "A", 0, 8, [])
    write_logged_run(tmp_path / "runs" / "b-0", "B", 0, 8, [], state="running")
    cells = [{"id": f"{name}-0", "label": name.upper(), "seed": 0} for name in "abc"]
    (tmp_path / "grid.json").write_text(json.dumps({"name": "toy", "title": "A toy", "cells": cells}))
    lines = picture(tmp_path).splitlines()
    assert lines[0] == "A toy: 1 finished, 1 running, 1 missing"
    assert [line.split()[:2] for line in lines[2:]] == [["b-0", "running"], ["c-0", "missing"], ["a-0", "finished"]]
    assert picture(tmp_path, height=7).splitlines()[-1] == "and 2 more"


def test_what_a_run_wrote_is_neither_obeyed_nor_markup(tmp_path):
    label = "\x1b[2J\x1b]0;owned\x07[red]x[/red]\u202e\ud800"
    run = write_logged_run(tmp_path / "runs" / "x", label, 0, 8, [], state="failed")
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "error": f"{label}\nsecond line"}))
    cells = [{"id": "y", "label": label, "seed": 0}]
    (tmp_path / "grid.json").write_text(json.dumps({"name": "toy", "title": label, "cells": cells}))
    text = picture(tmp_path, width=400)
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "\\x1b[2J\\x1b]0;owned\\x07[red]x[/red]\\u202e\\ud800 second line" in text


@pytest.mark.parametrize("words", [["watch"], ["watch", "nothing"], ["watch", ".", "every=0"]])
def test_what_cannot_be_watched_is_one_line(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_it_follows_a_run_in_a_terminal_and_ctrl_c_ends_it_with_0(tmp_path):
    run = write_logged_run(tmp_path / "run", "RFT", 0, 4, [], state="running")
    ours, theirs = pty.openpty()
    line = [sys.executable, "-m", "unified_rl.cli", "watch", str(run), "every=0.1"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"}
    process = subprocess.Popen(
        line,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs begin with it ignored
    )
    os.close(theirs)
    try:
        assert b"4/4" in read_until(ours, b"4/4")
        with (run / "metrics.jsonl").open("a") as file:
            file.write('{"step": 5, "reward/mean": 0.625}\n')
        assert b"5/4" in read_until(ours, b"0.625")
        process.send_signal(signal.SIGINT)
        assert ended(process, ours) == 0
    finally:
        process.kill()
        os.close(ours)


def ended(process, descriptor, seconds=20):
    """Its exit status, while what it still prints is read, as a terminal does: unread, it would wait for room."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        if select.select([descriptor], [], [], 0.1)[0]:
            with contextlib.suppress(OSError):  # closed at the other end
                os.read(descriptor, 1 << 16)
    return process.poll()


def read_until(descriptor, wanted, seconds=30):
    found, end = b"", time.monotonic() + seconds
    while wanted not in found and time.monotonic() < end:
        found += os.read(descriptor, 1 << 16)
    return found
