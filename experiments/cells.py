"""Cells of an experiment: one training run each, trained and evaluated by a pool of processes that never oversubscribes cores.

A cell that is finished is skipped, one that was interrupted goes on from its checkpoint, one that fails does not stop the others,
one whose settings have changed since fails with a message rather than being taken for done.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from unified_rl import loading
from unified_rl.errors import ConfigError


@dataclass(frozen=True)
class Cell:
    """One run: its folder's name, the words of `unified-rl COMMAND`, and those of `unified-rl evaluate` (None: no evaluation).

    command: train | iterate. group: the folder of runs that it stands in; tables are made of one group at a time.
    """

    name: str
    train: tuple[str, ...]
    evaluate: tuple[str, ...] | None
    command: str = "train"
    group: str = "runs"


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def run_cells(cells: Sequence[Cell], folder: Path, *, workers: int, threads: int) -> list[str]:
    """Run all cells, `workers` at a time with `threads` threads each; returns the names of those that failed."""
    started, failed = time.monotonic(), []
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        waiting = {pool.submit(_run_cell, cell, folder, threads): cell for cell in cells}
        for done, future in enumerate(as_completed(waiting), start=1):
            cell, error = waiting[future], future.result()
            if error:
                failed.append(cell.name)
            elapsed = time.monotonic() - started
            left = elapsed / done * (len(cells) - done)
            state = f"FAILED: {error}" if error else "done"
            print(f"[{done}/{len(cells)}] {cell.name}: {state} ({elapsed:.0f} s so far, about {left:.0f} s left)", flush=True)
    return failed


def finished(run_dir: Path, cell: Cell) -> bool:
    """Whether the run is finished *and* is the one that the cell describes: settings may have changed since it was made."""
    try:
        state = json.loads((run_dir / "status.json").read_text(encoding="utf-8"))["state"]
        stored = loading.load_resolved(run_dir / "config.yaml")
    except (OSError, ValueError, KeyError):
        return False
    wanted = loading.load_config(cell.train)
    same = replace(stored, run_dir="", resume=False, threads=0) == replace(wanted, run_dir="", resume=False, threads=0)
    return state == "finished" and same


def _run_cell(cell: Cell, folder: Path, threads: int) -> str | None:
    """Train and evaluate one cell; the last line of its log if that failed."""
    run_dir = folder / cell.group / cell.name
    log = folder / "logs" / f"{cell.name}.log"
    commands = []
    try:
        done = finished(run_dir, cell)
    except ConfigError as error:
        return str(error)
    if not done:
        # An interrupted run goes on; one that was made with other settings refuses, and its cell fails with that message.
        resume = f"resume={'true' if (run_dir / 'config.yaml').exists() else 'false'}"
        commands.append([cell.command, *cell.train, f"run_dir={run_dir}", f"threads={threads}", resume])
    if cell.evaluate is not None and not (done and list((run_dir / "evaluations").glob("[!.]*"))):
        commands.append(["evaluate", f"run={run_dir}", f"threads={threads}", *cell.evaluate])
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    for words in commands:
        with log.open("a", encoding="utf-8") as file:
            command = [sys.executable, "-m", "unified_rl.cli", *words]
            result = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False)
        if result.returncode:
            lines = log.read_text(encoding="utf-8").strip().splitlines()
            return f"{lines[-1] if lines else 'no output'} (see {log})"
    return None
