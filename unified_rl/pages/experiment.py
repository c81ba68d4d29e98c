"""A folder of runs, followed: every run at or below it, what its grid has planned beside them, and what failed before it began."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.pages.followed_run import FollowedRun, Standing
from unified_rl.records import reading
from unified_rl.statistics.experiment import BASELINE_METHOD, MISSING
from unified_rl.statistics.grid_file import GridFacts, PlannedCell, read_grid

FAILED = "failed before it began"
STARTING = "starting"
#: A process that has said nothing for so many seconds, and made no run, is not starting any more.
STARTING_SECONDS = 600.0
_LAST_BYTES = 1 << 14


@dataclass(frozen=True)
class Look:
    """What there is now. rows: a standing for every run, hole and stillborn cell. runs: those that exist, by the order of rows."""

    grid: GridFacts
    rows: tuple[Standing, ...]
    runs: tuple[FollowedRun, ...]

    @property
    def going(self) -> bool:
        """Whether more is to come by itself."""
        return any(row.going for row in self.rows)


class FollowedExperiment:
    """A run directory, or a folder with runs below it.

    Raises (in the constructor):
        DataError: there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        reading.list_runs(folder)
        self.folder = folder
        self._runs: dict[Path, FollowedRun] = {}

    def look(self, *, samples: bool = True) -> Look:
        """Take in what has been written since the last look. Raises DataError: grid.json is damaged."""
        grid = read_grid(self.folder)
        paths = [path for path in reading.list_runs(self.folder) if "artifacts" not in path.relative_to(self.folder).parts]
        self._runs = {path: self._runs.get(path) or FollowedRun(path) for path in paths}
        logs = {log.stem: log for log in sorted((self.folder / "logs").glob("*.log"))}
        found = []
        for path, run in self._runs.items():
            run.look(samples=samples)
            standing = run.standing(logs.get(path.name), self._record(path.name))
            if standing is not None:
                found.append((standing, run))
        rows = [standing for standing, _ in found]
        known = {path.name for path in paths} | {cell.id for cell in grid.cells}
        stillborn = [self._unborn(name, "", "", log) for name, log in logs.items() if name not in known]
        holes = self._planned(grid, rows, logs) if grid.cells else _holes(rows)
        return Look(grid, (*rows, *holes, *stillborn), tuple(run for _, run in found))

    @property
    def behind(self) -> bool:
        """Whether the last look did not read all that there was."""
        return any(run.behind for run in self._runs.values())

    @property
    def behind_in_numbers(self) -> bool:
        """The same, of looks without samples."""
        return any(run.behind_in_numbers for run in self._runs.values())

    def _record(self, name: str) -> dict[str, Any]:
        """How a grid's last attempt at a cell ended, {} where nothing says it."""
        try:
            found = files.read_json(self.folder / "cells" / f"{name}.json")
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _planned(self, grid: GridFacts, found: Sequence[Standing], logs: dict[str, Path]) -> Iterator[Standing]:
        """The cells that a grid has planned and that have no run."""
        present = {row.path.name for row in found if row.path}
        for cell in grid.cells:
            if cell.id not in present:
                yield self._missing(cell, logs.get(cell.id))

    def _missing(self, cell: PlannedCell, log: Path | None) -> Standing:
        if log is None:
            return Standing(None, cell.label, "", str(cell.seed), MISSING, id=cell.id)
        return self._unborn(cell.id, cell.label, str(cell.seed), log)

    def _unborn(self, name: str, label: str, seed: str, log: Path) -> Standing:
        """A cell that has printed something and made no run: it failed, or a worker has just taken it up."""
        record, worker = self._record(name), (self.folder / "cells" / f"{name}.lock").exists()
        try:
            fresh = time.time() - log.stat().st_mtime < STARTING_SECONDS
        except OSError:
            fresh = False
        if worker and fresh and not record:
            return Standing(None, label or name, "", seed, STARTING, log=log, id=name if label else "")
        error = str(record.get("error") or _last_line(log))
        return Standing(None, label or name, "", seed, FAILED, error=error, log=log, id=name if label else "")


def _holes(rows: Sequence[Standing]) -> Iterator[Standing]:
    """Labels x seeds that a folder without a plan lacks."""
    for parent in dict.fromkeys(row.path.parent for row in rows if row.path):
        here = [row for row in rows if row.path and row.path.parent == parent and row.method != BASELINE_METHOD and row.seed]
        present = {(row.label, row.seed) for row in here}
        for label, method in {row.label: row.method for row in here}.items():
            for seed in dict.fromkeys(row.seed for row in here):
                if (label, seed) not in present:
                    yield Standing(None, label, method, seed, MISSING)


def _last_line(log: Path) -> str:
    try:
        with files.plain(log).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _LAST_BYTES))
            lines = file.read(_LAST_BYTES).decode("utf-8", errors="replace").strip().splitlines()
    except OSError as error:
        raise DataError(f"{log} cannot be read ({error.strerror}); restore it, or delete it") from error
    return lines[-1] if lines else "no output"
