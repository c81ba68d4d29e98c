"""A cell of an experiment: one training run and its evaluation. What it is, where it stands on the disk, and whether it is done.

    FOLDER/GROUP/NAME/         the run directory                    FOLDER/logs/NAME.log    what its processes printed
    FOLDER/cells/NAME.lock     held while somebody works on it      FOLDER/cells/NAME.json  how the last attempt ended

`cell_worker` does the work, `launchers` start workers. The lock belongs to the worker: the kernel drops it when the worker dies,
however it dies, so a lock that is held means that the cell is being worked on, by whichever launcher.
"""

from __future__ import annotations

import fcntl
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.errors import UnifiedRLError
from unified_rl.presets import loading
from unified_rl.records import seals
from unified_rl.stages.kinds.pretrain import config_of


@dataclass(frozen=True)
class Cell:
    """One run: its folder's name, the words of `unified-rl COMMAND`, and those of `unified-rl evaluate` (None: no evaluation).

    command: train | iterate | pretrain. group: the folder of runs that it stands in; tables are made of one group at a time.
    label, seed: what it is shown as. cores, gpus: what it is given while it runs.
    """

    name: str
    train: tuple[str, ...]
    evaluate: tuple[str, ...] | None
    command: str = "train"
    group: str = "runs"
    label: str = ""
    seed: int = 0
    cores: int = 1
    gpus: int = 0

    def run_dir(self, folder: Path) -> Path:
        return folder / self.group / self.name

    def log(self, folder: Path) -> Path:
        return folder / "logs" / f"{self.name}.log"

    def lock(self, folder: Path) -> Path:
        return folder / "cells" / f"{self.name}.lock"

    def record(self, folder: Path) -> Path:
        return folder / "cells" / f"{self.name}.json"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Cell:
        facts = json.loads(text)
        evaluate = facts["evaluate"]
        return cls(**{**facts, "train": tuple(facts["train"]), "evaluate": None if evaluate is None else tuple(evaluate)})


@dataclass(frozen=True)
class Standing:
    """Where a cell stands: state is done | running | failed | missing; detail is the error, or how far it has come."""

    state: str
    detail: str = ""


def finished(run_dir: Path, cell: Cell) -> bool:
    """Whether the run is finished *and* is the one that the cell describes: settings may have changed since it was made.

    Raises ConfigError where the words of a cell whose run is finished mean nothing.
    """
    try:
        status = seals.read_status(run_dir)
    except (OSError, UnifiedRLError):
        return False
    if status is None or status["state"] != "finished":
        return False  # most cells of a plan: to read their words takes a while
    wanted = config_of(cell.command, cell.train)
    try:
        return not loading.other_settings(run_dir / "config.yaml", wanted, ("run_dir", "resume", "threads", "artifacts"))
    except (OSError, UnifiedRLError):
        return False


def evaluated(run_dir: Path, cell: Cell) -> bool:
    """Whether the cell's evaluation is there, or none is asked for."""
    return cell.evaluate is None or bool(list((run_dir / "evaluations").glob("[!.]*")))


def done(cell: Cell, folder: Path) -> bool:
    """Whether nothing is left to do. Raises ConfigError as `finished` does."""
    run_dir = cell.run_dir(folder)
    return finished(run_dir, cell) and evaluated(run_dir, cell)


def in_work(cell: Cell, folder: Path) -> bool:
    """Whether a worker is at the cell now. The look takes the lock for a moment, so workers try for a while."""
    return is_held(cell.lock(folder))


def is_held(lock: Path) -> bool:
    """Whether another process holds a lock file."""
    try:
        with lock.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def standing(cell: Cell, folder: Path) -> Standing:
    """Where a cell stands, from what is on the disk."""
    if in_work(cell, folder):
        return Standing("running", _progress(cell, folder))
    try:
        if done(cell, folder):
            return Standing("done")
    except UnifiedRLError as error:
        return Standing("failed", str(error))
    last = read_record(cell, folder)
    if last.get("state") == "failed":
        return Standing("failed", f"{last['error']} (see {cell.log(folder)})")
    return Standing("missing", _progress(cell, folder))


def read_record(cell: Cell, folder: Path) -> dict[str, Any]:
    """How the last attempt ended: `state` (done | failed), `error`, `seconds` by the clock, `cpu_seconds` of all its processes,
    `whole` (from nothing); {} if none has ended."""
    return _read_json(cell.record(folder)) or {}


def write_record(cell: Cell, folder: Path, **facts: Any) -> None:
    """Note how an attempt ended. Only who holds the cell's lock may."""
    files.write_json(cell.record(folder), facts)


def _progress(cell: Cell, folder: Path) -> str:
    """How far the run has come, in words; "" if it has not begun."""
    status = _read_json(cell.run_dir(folder) / "status.json") or {}
    if cell.run_dir(folder).is_dir() and status.get("state") == "finished":
        return "trained, not evaluated"
    return f"step {status['step']} of {status['steps']}" if {"step", "steps"} <= status.keys() else ""


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return files.read_json(path)
    except (OSError, ValueError):
        return None
