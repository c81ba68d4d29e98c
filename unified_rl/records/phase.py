"""`progress.json` of a run directory: the piece of work under way, for whoever watches, from this machine or another. No torch.

It is a courtesy, not a record: written at most once a second, not flushed to the disk, given up at the first failure.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from unified_rl.base import files
from unified_rl.records.progress import Stand, listening

FILE = "progress.json"
INTERVAL_SECONDS = 1.0
_LONGEST_WORDS = 200


@dataclass(frozen=True)
class Phase:
    """A piece of work as progress.json tells it. at: seconds since 1970, on the clock of the machine that works.

    within: what is being done of its next unit, "" where that is not known.
    """

    label: str
    unit: str
    done: int
    total: int
    rate: float
    at: float
    within: str = ""

    def seconds_left(self, now: float) -> float | None:
        """At the rate so far, None where none is known or nothing is left."""
        if self.rate <= 0 or self.done >= self.total:
            return None
        return max(0.0, (self.total - self.done) / self.rate - max(0.0, now - self.at))


@contextmanager
def noted(run_dir: Path) -> Iterator[None]:
    """Within this context, RUN/progress.json says what is being worked on, as soon as there is such a folder."""
    with listening(_Writer(run_dir / FILE)):
        yield


class _Writer:
    """Hears of progress and writes the file, if the last time was long enough ago or a piece of work begins or ends."""

    def __init__(self, path: Path) -> None:
        self._path, self._next, self._given_up = path, 0.0, False

    def __call__(self, stand: Stand) -> None:
        now = time.monotonic()
        if self._given_up or (now < self._next and (stand.within or 0 < stand.done < stand.total)):
            return
        self._next = now + INTERVAL_SECONDS
        try:
            if self._path.parent.is_dir():
                self._write(stand)
        except OSError:  # a full disk, or a folder that is no longer ours: the work itself will say so if it matters
            self._given_up = True

    def _write(self, stand: Stand) -> None:
        facts = {name: getattr(stand, name) for name in ("label", "unit", "done", "total", "rate", "within")}
        aside = files.aside_of(self._path)
        aside.write_text(json.dumps({**facts, "at": time.time()}) + "\n", encoding="utf-8")
        aside.replace(self._path)


def read(run_dir: Path) -> Phase | None:
    """The work under way in a run directory; None where nothing readable says it."""
    try:
        facts = files.read_json(run_dir / FILE)
    except (OSError, ValueError):
        return None
    return _phase(facts) if isinstance(facts, Mapping) else None


def _phase(facts: Mapping[str, object]) -> Phase | None:
    words = [facts.get(name) for name in ("label", "unit")]
    counts = [facts.get(name) for name in ("done", "total")]
    times = [facts.get(name) for name in ("rate", "at")]
    if not all(isinstance(word, str) for word in words) or not all(type(count) is int for count in counts):
        return None
    if not all(type(number) in (int, float) and math.isfinite(number) for number in times):  # type: ignore[arg-type]
        return None
    within = facts.get("within", "")
    label, unit, within = (str(word)[:_LONGEST_WORDS] for word in (*words, within if isinstance(within, str) else ""))
    return Phase(label, unit, *counts, *times, within=within)  # type: ignore[arg-type, misc]
