"""Cells as jobs of Slurm, through submitit; each job starts the worker that the local pool starts.

A job that is preempted or runs into its time limit is queued again by submitit, and its cell goes on from the checkpoint. If the
launcher dies its jobs go on. A second launcher may then submit a cell that is queued already: whichever job comes second finds the
cell done, or its lock held, and does nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unified_rl.base.errors import ConfigError, UnifiedRLError
from unified_rl.launch import cell_worker
from unified_rl.launch.cells import Cell, done, in_work
from unified_rl.launch.progress import Progress

DEFAULT_MINUTES = 24 * 60


class CellJob:
    """What a job does. Pickled by submitit, so it holds data only."""

    def __init__(self, cell: Cell, folder: Path) -> None:
        self._cell, self._folder = cell, folder

    def __call__(self) -> int:
        """Run the cell's worker; returns its exit status. Slurm says which GPUs there are."""
        environment = {**os.environ, "OMP_NUM_THREADS": str(self._cell.cores), "TOKENIZERS_PARALLELISM": "false"}
        with self._cell.log(self._folder).open("a", encoding="utf-8") as log:
            line = cell_worker.command_line(self._cell, self._folder)
            return subprocess.run(line, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False).returncode

    def checkpoint(self) -> Any:
        """Called by submitit in a job that is about to be stopped: the same again, later."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class SlurmPool:
    """Submits cells and waits for them.

    Args of the constructor:
        options: submitit's parameters, e.g. {"slurm_partition": "gpu", "timeout_min": "240"}; `cluster` = "local" runs the jobs
            as processes of this machine, to try things out. workers: most jobs at a time; None: as many as Slurm will run.
        beside: is called now and then while jobs run.

    Raises:
        ConfigError: submitit or Slurm is missing, or an option is not known.
    """

    def __init__(
        self,
        folder: Path,
        options: Mapping[str, str],
        *,
        workers: int | None = None,
        costs: Mapping[str, float] | None = None,
        poll_seconds: float = 5.0,
        beside: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder, self._costs, self._poll, self._beside = folder.resolve(), costs or {}, poll_seconds, beside
        given = {key: int(value) if value.isdecimal() else value for key, value in options.items()}
        self._executor = _executor(self._folder / "slurm", str(given.pop("cluster", "slurm")))
        self._parameters = {"timeout_min": DEFAULT_MINUTES, **given}
        if workers is not None:
            self._parameters["slurm_array_parallelism"] = workers

    def run(self, cells: Sequence[Cell]) -> list[str]:
        """Run the cells; returns the names of those that failed.

        Raises:
            KeyboardInterrupt: after the jobs have been cancelled; what they did is not lost.
        """
        (self._folder / "logs").mkdir(parents=True, exist_ok=True)
        progress, failed, jobs = Progress(cells, self._costs), [], {}
        try:
            jobs = self._submit(cells)
            waiting = list(cells)
            while waiting:
                for cell in [cell for cell in waiting if self._ended(cell, jobs.get(cell.name))]:
                    waiting.remove(cell)
                    error = self._error(cell, jobs.get(cell.name))
                    if error:
                        failed.append(cell.name)
                        progress.failed(cell, error)
                    elif cell.name in jobs:
                        progress.done(cell)
                    else:
                        progress.already(cell)
                if waiting:
                    progress.under_way((cell for cell in waiting if in_work(cell, self._folder)), self._folder)
                    self._beside()
                    time.sleep(self._poll)
        except BaseException:
            for job in jobs.values():
                job.cancel()
            raise
        return failed

    def _submit(self, cells: Sequence[Cell]) -> dict[str, Any]:
        """A job for each cell that is neither done nor being worked on, an array for each size of cell."""
        by_size: dict[tuple[int, int], list[Cell]] = defaultdict(list)
        for cell in cells:
            if not in_work(cell, self._folder) and not self._done(cell):
                by_size[cell.cores, cell.gpus].append(cell)
        jobs: dict[str, Any] = {}
        for (cores, gpus), some in by_size.items():
            try:
                self._executor.update_parameters(
                    name="unified_rl", cpus_per_task=cores, gpus_per_node=gpus, tasks_per_node=1, **self._parameters
                )
            except (NameError, TypeError, ValueError) as error:
                raise ConfigError(f"slurm options: {str(error).splitlines()[0]}; see submitit's update_parameters") from error
            with self._executor.batch():
                submitted = [self._executor.submit(CellJob(cell, self._folder)) for cell in some]
            jobs |= {cell.name: job for cell, job in zip(some, submitted, strict=True)}
        return jobs

    def _ended(self, cell: Cell, job: Any) -> bool:
        """Whether there is nothing more to wait for: neither a job of ours nor another launcher's worker."""
        return (job is None or job.done()) and not in_work(cell, self._folder)

    def _done(self, cell: Cell) -> bool:
        try:
            return done(cell, self._folder)
        except UnifiedRLError:  # the worker will say it
            return False

    def _error(self, cell: Cell, job: Any) -> str:
        """Why a cell is not done; "" if it is."""
        if self._done(cell):
            return ""
        if job is None:
            return "another launcher was at it and did not finish it; run the same command again"
        try:
            status = job.result()
        except Exception as error:  # submitit's own: killed, cancelled, out of time, not picklable
            return f"job {job.job_id}: {str(error).strip().splitlines()[-1]} (see {self._folder / 'slurm'})"
        return cell_worker.failure(cell, self._folder, status)


def _executor(folder: Path, cluster: str) -> Any:
    """Submitit's executor of a cluster: slurm | local."""
    try:
        import submitit
    except ImportError as error:
        raise ConfigError("launcher=slurm needs submitit: pip install 'unified-rl[slurm]', or use launcher=local") from error
    if cluster == "slurm" and shutil.which("sbatch") is None:
        raise ConfigError("launcher=slurm needs Slurm's sbatch, which is not on this machine; use launcher=local")
    return submitit.AutoExecutor(folder=folder, cluster=cluster)
