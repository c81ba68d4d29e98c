"""Grids as real processes: started, killed, waited for, and looked at."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import tiny

COIN_GRID = Path(__file__).with_name("coin_grid.py")


def start(cwd: Path, *words: str, grid: str = str(COIN_GRID), **variables: str) -> subprocess.Popen:
    """`unified-rl grid` in a folder of its own, so that words can be relative paths."""
    cwd.mkdir(parents=True, exist_ok=True)
    tests = COIN_GRID.parent
    environment = {**tiny.environment(), "PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}", **variables}
    line = [sys.executable, "-m", "unified_rl.cli", "grid", grid, "out=grid", "artifacts=store", *words]
    return subprocess.Popen(
        line, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=_hear_ctrl_c
    )


def _hear_ctrl_c() -> None:
    """A suite that was started in the background ignores Ctrl-C, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(cwd: Path, *words: str, status: int = 0) -> str:
    """Run a grid to its end; what it printed."""
    process = start(cwd, *words)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == status, output
    return output


def wait_until(condition: Callable[[], object], what: str, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never saw: {what}"
        time.sleep(0.002)


def workers_of(launcher: subprocess.Popen) -> list[int]:
    """Process ids of a launcher's living workers."""
    return [pid for pid, parent in _parents().items() if parent == launcher.pid and b"cell_worker" in _line(pid)]


def workers_in(folder: Path) -> list[int]:
    """Process ids of all living workers on a folder, whoever started them."""
    return [pid for pid in _parents() if b"cell_worker" in _line(pid) and _cwd(pid) == folder]


def kill(process: int) -> bool:
    """SIGKILL; whether there was something to kill."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def run_dirs(cwd: Path) -> list[Path]:
    return sorted(path for path in (cwd / "grid" / "runs").glob("*") if path.is_dir())


def lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def finished_work(cwd: Path) -> dict[str, tuple[int, int]]:
    """File -> (inode, time of change), of everything whole: artefacts, checkpoints of finished runs, evaluations."""
    found = list((cwd / "store").glob("*/[!.]*/manifest.json"))
    for run in run_dirs(cwd):
        found += run.glob("evaluations/[!.]*/samples.parquet")
        if _state(run) == "finished":
            found += run.glob("checkpoints/step_*/manifest.json")
    whole = [path for path in found if ".partial" not in str(path)]
    return {str(path.relative_to(cwd)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in whole if path.exists()}


def tables(cwd: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((cwd / "grid" / "tables").glob("*.csv"))}


def _state(run: Path) -> str:
    path = run / "status.json"
    return json.loads(path.read_text())["state"] if path.exists() else ""


def _parents() -> dict[int, int]:
    """Process id -> its parent's, of all that live (zombies do not)."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            found[int(stat.parent.name)] = int(parent)
    return found


def _line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _cwd(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None
