"""Grids whose launcher and workers are really killed (SIGKILL): nothing is lost, nothing is done twice, the tables are the same."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from grid_processes import (
    COIN_GRID,
    finish,
    finished_work,
    kill,
    lines,
    run_dirs,
    start,
    tables,
    wait_until,
    workers_in,
    workers_of,
)

from unified_rl.cli import main

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="workers are tethered to their launcher on Linux only"),
    pytest.mark.timeout(900),  # a minute on an idle machine, many processes on a busy one
]
QUICK, LONG = ("preset=testing", "workers=2"), ("preset=long", "workers=2")


class Watch:
    """What has been whole at some kill, and how far each run had come: none of it may be done again."""

    def __init__(self, cwd: Path) -> None:
        self._cwd, self._whole = cwd, {}
        self._checkpoints: dict[Path, int] = {}

    def note(self) -> None:
        found = finished_work(self._cwd)
        self.check(found)
        self._whole |= found
        for run in run_dirs(self._cwd):
            steps = [int(path.name.removeprefix("step_")) for path in run.glob("checkpoints/step_*")]
            self._checkpoints[run] = max(steps, default=0)

    def check(self, found: dict[str, tuple[int, int]]) -> None:
        for name, identity in self._whole.items():
            assert found.get(name) == identity, f"{name} was whole, and was made again or lost"

    def check_end(self) -> None:
        """Every step of every run once, sessions that go on where the one before had got to, and the first work still there."""
        self.check(finished_work(self._cwd))
        for run, reached in self._checkpoints.items():
            starts = [session["from_step"] for session in json.loads((run / "provenance.json").read_text())["sessions"]]
            assert starts == sorted(starts), f"{run.name} went back: {starts}"
            assert not reached or len(starts) == 1 or starts[-1] > 0
        for run in run_dirs(self._cwd):
            metrics = run / "metrics.jsonl"
            entries = [json.loads(line)["step"] for line in metrics.read_text().splitlines()] if metrics.exists() else []
            assert entries == list(range(1, json.loads((run / "status.json").read_text())["steps"] + 1)), run.name


def kill_launcher(launcher: subprocess.Popen, cwd: Path) -> None:
    """SIGKILL to a launcher takes its workers with it."""
    launcher.kill()
    launcher.wait()
    wait_until(lambda: not workers_in(cwd), "the workers' end", seconds=10)


def same_as(undisturbed: Path, cwd: Path) -> None:
    ours, theirs = tables(cwd), tables(undisturbed)
    assert ours.keys() == theirs.keys() >= {"grid.csv", "grid_contrasts.csv", "results.csv"}
    for name, table in theirs.items():
        assert ours[name] == table, f"{name} differs"


@pytest.mark.long
def test_killed_at_several_phases(tmp_path):
    """The launcher while the shared SFT stage is half done, a worker while it trains, the launcher when a cell is finished."""
    undisturbed, cwd = tmp_path / "undisturbed", tmp_path / "killed"
    finish(undisturbed, *QUICK)
    watch = Watch(cwd)

    launcher = start(cwd, *QUICK)
    wait_until(lambda: any(lines(path) >= 10 for path in cwd.glob("store/sft/*.partial/metrics.jsonl")), "half an SFT stage")
    kill_launcher(launcher, cwd)
    watch.note()

    launcher = start(cwd, *QUICK)
    wait_until(lambda: any(lines(run / "metrics.jsonl") for run in run_dirs(cwd)), "a training step")
    assert kill(workers_of(launcher)[0])
    watch.note()
    output, _ = launcher.communicate(timeout=800)
    assert launcher.returncode == 1 and "killed by SIGKILL" in output, "the others went on, and the launcher says who did not"
    watch.note()
    assert "failed" not in finish(cwd, *QUICK)
    watch.check_end()
    same_as(undisturbed, cwd)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_killed_at_random_moments_many_times(tmp_path):
    """At least ten kills, of the launcher or of a worker, at moments and of victims drawn at random."""
    undisturbed, cwd = tmp_path / "undisturbed", tmp_path / "killed"
    started = time.monotonic()
    finish(undisturbed, *LONG)
    whole = time.monotonic() - started
    draw, watch, kills = random.Random(0), Watch(cwd), {"launcher": 0, "worker": 0}
    launcher = start(cwd, *LONG)
    while sum(kills.values()) < 12:
        time.sleep(draw.uniform(0.02, 0.2) * whole)
        if launcher.poll() is not None:  # it had failed cells, of workers that were killed
            assert launcher.returncode == 1, f"the grid was finished after {kills}"
            launcher = start(cwd, *LONG)
            continue
        living = workers_of(launcher)
        if draw.random() < 0.5 and living:
            kills["worker"] += kill(draw.choice(living))
        else:
            kill_launcher(launcher, cwd)
            kills["launcher"] += 1
            watch.note()
            launcher = start(cwd, *LONG)
        watch.note()
        print(f"{time.monotonic() - started:.0f} s: {kills}, {len(finished_work(cwd))} whole", flush=True)
    launcher.communicate(timeout=900)
    finish(cwd, *LONG)
    assert min(kills.values()) >= 3, kills
    watch.check_end()
    same_as(undisturbed, cwd)


@pytest.mark.long
def test_ctrl_c_ends_the_workers_and_leaves_a_grid_that_goes_on(tmp_path, monkeypatch, capsys):
    launcher = start(tmp_path, *QUICK)
    wait_until(lambda: any(lines(path) >= 5 for path in tmp_path.glob("store/sft/*.partial/metrics.jsonl")), "an SFT stage")
    launcher.send_signal(signal.SIGINT)
    output, _ = launcher.communicate(timeout=120)
    assert launcher.returncode == 130 and "interrupted; to go on: unified-rl grid" in output and "Traceback" not in output
    assert not workers_in(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["grid", str(COIN_GRID), "out=grid", "artifacts=store", *QUICK, "--status"]) == 0
    assert "3 cells: 0 done, 0 running, 0 failed, 3 missing" in capsys.readouterr().out
