"""The work of one cell, in a process of its own: train (or go on), then evaluate.

    python -m unified_rl.launch.cell_worker PARENT_PID FOLDER CELL     (CELL as JSON; started by a launcher)

The worker holds the cell's lock from its first look to its last word, so a cell is never worked on twice, however many launchers
share the folder. A cell that is done is left alone, and one that was interrupted goes on from its checkpoint.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from unified_rl.base import files
from unified_rl.base.errors import UnifiedRLError
from unified_rl.launch.cells import Cell, done, evaluated, finished, is_held, read_record, write_record
from unified_rl.launch.tether import die_with_parent
from unified_rl.stages.jobs import JOBS, PRETRAIN

#: Exit statuses: all is done | the error is in the cell's record | another process is at the cell | interrupted.
DONE, FAILED, HELD, INTERRUPTED = 0, 1, 75, 130
LOCK_PATIENCE_SECONDS = 1.0
#: Commands that several ranks run together.
SHARED_COMMANDS = ("train", "iterate", PRETRAIN)
#: On a CPU a rank per core is faster than a thread per core, and does not spin where a core is taken; each holds a whole model.
MOST_CPU_RANKS = 4


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: state is done | failed | held."""

    state: str
    error: str = ""


def work(cell: Cell, folder: Path) -> Outcome:
    """Do what is left of a cell. Whatever goes wrong is in the outcome and in the cell's record, with the traceback in the log."""
    with _locked(cell.lock(folder)) as got_it:
        if not got_it or is_held(cell.run_dir(folder) / ".lock"):
            return Outcome("held")
        before, started, used = read_record(cell, folder), time.monotonic(), _cpu_seconds()
        goes_on = before.get("state") == "done" and before.get("whole", False)  # a lone start is trained first, by itself
        whole = goes_on or not cell.run_dir(folder).exists()
        try:
            if done(cell, folder):
                return Outcome("done")
            for command, words in _commands(cell, folder):
                _run(command, words, _ranks(cell, command))
        except Exception as error:
            if not isinstance(error, UnifiedRLError):
                traceback.print_exc()
            message = str(error) if isinstance(error, UnifiedRLError) else f"{type(error).__name__}: {error}"
            print(f"error: {message}", file=sys.stderr, flush=True)
            write_record(cell, folder, state="failed", error=message)
            return Outcome("failed", message)
        took = {"seconds": time.monotonic() - started, "cpu_seconds": _cpu_seconds() - used}
        took = {name: round(value + (before.get(name, 0.0) if goes_on else 0.0), 3) for name, value in took.items()}
        write_record(cell, folder, state="done", whole=whole, **took)
        return Outcome("done")


def _cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def command_line(cell: Cell, folder: Path) -> list[str]:
    """The worker as a child of this process."""
    return [sys.executable, "-m", "unified_rl.launch.cell_worker", str(os.getpid()), str(folder), cell.to_json()]


def failure(cell: Cell, folder: Path, status: int) -> str:
    """What went wrong with a worker that ended with `status` (negative: killed by that signal), in words."""
    log, record = cell.log(folder), read_record(cell, folder)
    if status == FAILED and record.get("state") == "failed":
        return f"{record['error']} (see {log})"
    if status < 0:
        hint = "; is the memory full?" if -status == signal.SIGKILL else ""
        return f"killed by {signal.Signals(-status).name}{hint} (see {log})"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"{lines[-1] if lines else 'no output'} (see {log})"


def _commands(cell: Cell, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """What is left, each with its words. A run that was made with other settings refuses to go on, and says so."""
    run_dir = cell.run_dir(folder)
    if not finished(run_dir, cell):
        resume = f"resume={'true' if (run_dir / 'config.yaml').exists() else 'false'}"
        threads = max(1, cell.cores // _ranks(cell, cell.command))
        yield cell.command, [*cell.train, f"run_dir={run_dir}", f"threads={threads}", resume]
    if not evaluated(run_dir, cell):
        yield "evaluate", [f"run={run_dir}", f"threads={cell.cores}", *(cell.evaluate or ())]


def _ranks(cell: Cell, command: str) -> int:
    """Processes that share a command: one per GPU, or per core where there is none."""
    return (cell.gpus or min(cell.cores, MOST_CPU_RANKS)) if command in SHARED_COMMANDS else 1


def _run(command: str, words: Sequence[str], ranks: int) -> None:
    """One command of the library, in this process or on several ranks."""
    if ranks == 1:
        JOBS[command](words)
        return
    launch = ["torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "-m", "unified_rl.cli", command, *words]
    line = [sys.executable, "-m", "unified_rl.launch.tether", str(os.getpid()), *launch]
    if subprocess.run(line, check=False).returncode:
        raise RuntimeError(f"the ranks of `unified-rl {command}` failed; what they said is in the cell's log")


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether the lock could be taken. A short wait outlasts those who only look whether it is held."""
    with files.disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    yield False
                    return
                time.sleep(0.05)
            else:
                yield True
                return


def main(arguments: Sequence[str]) -> int:
    parent, folder, cell = arguments
    die_with_parent(int(parent))
    try:
        return {"done": DONE, "failed": FAILED, "held": HELD}[work(Cell.from_json(cell), Path(folder)).state]
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
