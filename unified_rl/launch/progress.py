"""One line per cell that ends: how many are done, how fast it goes, how long it will take; and now and then what is under way."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from unified_rl.launch.cells import Cell
from unified_rl.records import phase
from unified_rl.records.progress import announce

#: A grid that says nothing for so long says what its cells are doing.
SILENT_SECONDS = 15.0
_NAMED = 4


class Progress:
    """Prints `[done/total] cell: state (elapsed, rate, about N left)`.

    Args of the constructor:
        costs: name -> expected cost in any unit; cells that are not in it cost 1. The remaining time goes by these.
    """

    def __init__(self, cells: Sequence[Cell], costs: Mapping[str, float]) -> None:
        self._costs = {cell.name: costs.get(cell.name, 1.0) for cell in cells}
        self._left = dict(self._costs)
        self._started, self._worked, self._count = time.monotonic(), 0.0, 0
        self._spoke = self._started

    def done(self, cell: Cell) -> None:
        self._end(cell, "done", worked=True)

    def already(self, cell: Cell) -> None:
        """It was done before, or by another launcher."""
        self._end(cell, "done already", worked=False)

    def failed(self, cell: Cell, error: str) -> None:
        self._end(cell, f"FAILED: {error}", worked=True)

    def under_way(self, running: Iterable[Cell], folder: Path) -> None:
        """Say what the running cells are at, if nothing has been said for some time."""
        if time.monotonic() - self._spoke < SILENT_SECONDS:
            return
        cells = list(running)
        told = [f"{cell.name} {at_work(cell, folder)}" for cell in cells[:_NAMED]]
        more = [f"{len(cells) - _NAMED} more"] if len(cells) > _NAMED else []
        if told:
            self._spoke = time.monotonic()
            announce(f"{self._place()} {self._pace()}; {'; '.join([*told, *more])}")

    def _end(self, cell: Cell, state: str, *, worked: bool) -> None:
        self._left.pop(cell.name, None)
        if worked:
            self._worked += self._costs[cell.name]
            self._count += 1
        self._spoke = time.monotonic()
        print(f"{self._place()} {cell.name}: {state} ({self._pace()})", flush=True)

    def _place(self) -> str:
        return f"[{len(self._costs) - len(self._left)}/{len(self._costs)}]"

    def _pace(self) -> str:
        elapsed = time.monotonic() - self._started
        if not self._worked:
            return f"{duration(elapsed)} so far"
        left = elapsed / self._worked * sum(self._left.values())
        return f"{duration(elapsed)} so far, {60 * self._count / elapsed:.1f} cells/min, about {duration(left)} left"


def at_work(cell: Cell, folder: Path) -> str:
    """What a running cell is at, in words: `SFT 120/500 steps`, `GRPO 3/40 steps (sampling 12/64)`."""
    found = phase.read(cell.run_dir(folder))
    if found is None:
        return "begins"
    return f"{found.label} {found.done}/{found.total} {found.unit}" + (f" ({found.within})" if found.within else "")


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
