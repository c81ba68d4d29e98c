"""The page of a run or a grid, written while it goes on.

It never ends what it shows: whatever goes wrong is said once, and the page is given up. It costs at most a fiftieth of the time:
after a page that took long to write, the next one waits for fifty times as long. What a run writes is read once, as it comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from unified_rl.base.terminal import shown
from unified_rl.pages import page
from unified_rl.pages.experiment import FollowedExperiment
from unified_rl.records.progress import announce, listening

#: The time between two pages is at least so many times what the last one took.
RELATIVE_PAUSE = 50.0


class LivePage:
    """The page of a folder, written anew when it is asked to be and it is time.

    Args of the constructor:
        every: seconds between two pages, at least; 0 = there is none. clock: seconds, for the pauses. cost: seconds of this
            process's work, which a busy machine does not lengthen.
    """

    def __init__(
        self,
        folder: Path,
        every: float,
        clock: Callable[[], float] = time.monotonic,
        cost: Callable[[], float] = time.process_time,
    ) -> None:
        self._folder, self._every, self._clock, self._cost = folder, every, clock, cost
        self._followed: FollowedExperiment | None = None
        self._next = 0.0 if every > 0 else float("inf")

    def tick(self) -> None:
        """Write the page if it is time, and there is something to show."""
        if self._clock() >= self._next and self._folder.is_dir():
            self._write(going=True)

    def end(self) -> None:
        """Write the page as it stays, if it was ever begun: a run that was refused leaves its folder as it is."""
        if self._followed is not None and self._next < float("inf"):
            self._write(going=False)

    def _write(self, *, going: bool) -> None:
        start = self._cost()
        try:
            self._followed = self._followed or FollowedExperiment(self._folder)
            look = self._followed.look()
            while not going and self._followed.behind:
                look = self._followed.look()
            where = page.places(self._folder)
            page.write(page.page_of(self._folder, look, where, every=self._every, going=going), where.out)
        except Exception as error:  # a page is for looking at: nothing about it may end the run
            self._next = float("inf")
            announce(f"warning: the page is given up ({shown(str(error)) or type(error).__name__}); the run goes on without it")
            return
        self._next = self._clock() + max(self._every, RELATIVE_PAUSE * (self._cost() - start))


@contextmanager
def beside_work(folder: Path, every: float) -> Iterator[None]:
    """Within this context, the page of a run's folder follows the work of this process, and is written once more at its end."""
    live = LivePage(folder, every)
    try:
        with listening(lambda stand: None if stand.within else live.tick()):  # between two steps: their parts are timed
            yield
    finally:
        live.end()
