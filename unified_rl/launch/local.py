"""Cells on this machine: a pool of worker processes that never oversubscribes cores or GPUs.

One failing cell does not stop the others. A cell that another launcher's worker is at is waited for, not started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unified_rl.base.errors import UnifiedRLError
from unified_rl.launch import cell_worker
from unified_rl.launch.cells import Cell, done, in_work
from unified_rl.launch.progress import Progress
from unified_rl.launch.resources import Grant, Ledger

POLL_SECONDS = 0.05
HELD_POLL_SECONDS = 2.0
GRACE_SECONDS = 15.0


@dataclass(frozen=True)
class _Worker:
    process: subprocess.Popen
    cell: Cell
    grant: Grant


class LocalPool:
    """Runs cells in the order given, each as soon as what it asks for is free.

    Args of the constructor:
        workers: most cells at a time; None: as many as the ledger has room for. costs: name -> expected cost in any unit, for
            the remaining time. worker: the command line of a cell's worker. beside: is called now and then while cells run.
    """

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        *,
        workers: int | None = None,
        costs: Mapping[str, float] | None = None,
        worker: Callable[[Cell, Path], list[str]] = cell_worker.command_line,
        beside: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder, self._ledger, self._workers, self._costs = folder, ledger, workers, costs or {}
        self._worker_line, self._beside = worker, beside
        self._running: list[_Worker] = []

    def run(self, cells: Sequence[Cell]) -> list[str]:
        """Run the cells; returns the names of those that failed.

        Raises:
            ConfigError: a cell that asks for more than there is, before any is started.
            KeyboardInterrupt: after the workers have been ended; what they did is not lost.
        """
        for cell in cells:
            self._ledger.check(cell.cores, cell.gpus)
        (self._folder / "logs").mkdir(parents=True, exist_ok=True)
        self._progress, self._failed = Progress(cells, self._costs), list[str]()
        waiting, self._look_again = list(cells), dict.fromkeys((cell.name for cell in cells), 0.0)
        try:
            while waiting or self._running:
                waiting = self._start(waiting)
                waiting += self._collect()
                self._progress.under_way((worker.cell for worker in self._running), self._folder)
                self._beside()
                time.sleep(POLL_SECONDS)
        except BaseException:
            self._end_workers()
            raise
        return self._failed

    def _start(self, waiting: list[Cell]) -> list[Cell]:
        """Start what there is room for, in order, and pass over what somebody else is at; returns what is still waiting."""
        still = []
        for place, cell in enumerate(waiting):
            if self._look_again[cell.name] > time.monotonic():
                still.append(cell)
            elif in_work(cell, self._folder):
                self._look_again[cell.name] = time.monotonic() + HELD_POLL_SECONDS
                still.append(cell)
            elif (grant := self._grant(cell)) is None:  # those behind wait too: else a large cell would never find its cores
                return still + waiting[place:]
            elif self._settled(cell):
                self._ledger.give_back(grant)
            else:
                self._running.append(self._worker(cell, grant))
        return still

    def _settled(self, cell: Cell) -> bool:
        """Whether the cell needs no worker: it is done, or its words mean nothing."""
        try:
            if not done(cell, self._folder):
                return False
        except UnifiedRLError as error:
            self._fail(cell, str(error))
        else:
            self._progress.already(cell)
        return True

    def _grant(self, cell: Cell) -> Grant | None:
        if self._workers is not None and len(self._running) >= self._workers:
            return None
        return self._ledger.take(cell.cores, cell.gpus)

    def _worker(self, cell: Cell, grant: Grant) -> _Worker:
        with cell.log(self._folder).open("a", encoding="utf-8") as log:
            # A session of its own: Ctrl-C at the terminal reaches the launcher alone, which then ends its workers in order.
            process = subprocess.Popen(
                self._worker_line(cell, self._folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **grant.environment()},
                start_new_session=True,
            )
        return _Worker(process, cell, grant)

    def _collect(self) -> list[Cell]:
        """Take in the workers that have ended; returns the cells to be tried again, which somebody else was at."""
        again = []
        for worker in [worker for worker in self._running if worker.process.poll() is not None]:
            self._running.remove(worker)
            self._ledger.give_back(worker.grant)
            status = worker.process.returncode
            if status == cell_worker.HELD:
                self._look_again[worker.cell.name] = time.monotonic() + HELD_POLL_SECONDS
                again.append(worker.cell)
            elif status == cell_worker.DONE:
                self._progress.done(worker.cell)
            else:
                self._fail(worker.cell, cell_worker.failure(worker.cell, self._folder, status))
        return again

    def _fail(self, cell: Cell, error: str) -> None:
        self._failed.append(cell.name)
        self._progress.failed(cell, error)

    def _end_workers(self) -> None:
        """Interrupt every worker and all it started; kill those that do not end in time."""
        for how, seconds in ((signal.SIGINT, GRACE_SECONDS), (signal.SIGKILL, None)):
            for worker in self._running:
                if worker.process.poll() is None:
                    os.killpg(worker.process.pid, how)
            deadline = None if seconds is None else time.monotonic() + seconds
            for worker in self._running:
                try:
                    worker.process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue
