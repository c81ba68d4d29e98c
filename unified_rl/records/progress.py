"""Progress: what is done, rate, remaining time; on the terminal, and for whoever listens in this process.

Where there is no terminal, a plain line now and then.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from unified_rl.base.terminal import shown

PLAIN_INTERVAL_SECONDS = 10.0


@dataclass(frozen=True)
class Stand:
    """Where a piece of work stands.

    label: what it is. unit: of what `done` and `total` count. rate: units per second so far, 0 while it is not known. metrics: of
    the last training step, {} for other work.
    """

    label: str
    unit: str
    done: int
    total: int
    rate: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def seconds_left(self) -> float | None:
        """None while no rate is known."""
        return (self.total - self.done) / self.rate if self.rate else None


Listener = Callable[[Stand], None]
_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within this context, `listener` hears where every piece of work of this process stands, at its start and as it goes on.

    It is called between two steps of the work and holds it up for as long as it takes. It must not raise.
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def _tell(stand: Stand) -> None:
    for listener in _listeners:
        listener(stand)


def announce(line: str) -> None:
    """Say on the terminal what takes its time and shows no progress."""
    print(shown(line), file=sys.stderr, flush=True)


@contextmanager
def progress(label: str, total: int, unit: str = "steps") -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """A hook to call with how many of `total` are done and, for training steps, their metrics (else {})."""
    label, clock = shown(label), _Rate()
    _tell(Stand(label, unit, 0, total))
    with _bar(label, total, unit) if sys.stderr.isatty() else _plain() as show:

        def hook(done: int, metrics: Mapping[str, float]) -> None:
            stand = Stand(label, unit, done, total, clock.per_second(done), metrics)
            show(stand)
            _tell(stand)

        yield hook


@contextmanager
def _bar(label: str, total: int, unit: str) -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as drawn:
        bar = drawn.add_task(label, total=total, rate="", note="")
        yield lambda stand: drawn.update(
            bar, completed=stand.done, rate=pace(stand.rate, stand.unit), note=noted(stand.metrics)
        )


@contextmanager
def _plain() -> Iterator[Listener]:
    last = [time.monotonic()]

    def show(stand: Stand) -> None:
        now = time.monotonic()
        if stand.done == stand.total or now - last[0] >= PLAIN_INTERVAL_SECONDS:
            last[0] = now
            print(in_words(stand), file=sys.stderr, flush=True)

    yield show


def in_words(stand: Stand) -> str:
    """`GRPO+OS: 12/40 steps, 2.1 s/step, 59 s left, reward 0.412, KL 0.0013`: what is not known is left out."""
    left = stand.seconds_left if stand.done < stand.total else None
    parts = [pace(stand.rate, stand.unit), "" if left is None else f"{left:.0f} s left", noted(stand.metrics)]
    return ", ".join([f"{stand.label}: {stand.done}/{stand.total} {stand.unit}", *filter(None, parts)])


#: What is shown of a step's metrics, those that it has.
_SHOWN = {
    "reward": "reward/mean",
    "correct": "reward/correct",
    "KL": "kl/k3",
    "length": "response/length",
    "entropy": "entropy/mean",
    "log p": "logp/mean",
}


def pace(rate: float, unit: str) -> str:
    """A rate in the unit in which it is no small number; "" where there is none yet."""
    if not rate:
        return ""
    return f"{rate:.2f} {unit}/s" if rate >= 0.5 else f"{1 / rate:.1f} s/{unit.removesuffix('s')}"


def noted(metrics: Mapping[str, Any]) -> str:
    """What is shown of a step's metrics, in words; "" where it has none of them."""
    return ", ".join(f"{words} {_number(words, metrics[name])}" for words, name in _SHOWN.items() if name in metrics)


def _number(words: str, value: float) -> str:
    if words == "KL" and 0 < abs(value) < 0.001:  # four decimals would say zero, or little more
        return f"{value:.1e}"
    return f"{value:.{ {'length': 1, 'KL': 4}.get(words, 3) }f}"


class _Rate:
    """How many per second since the first call."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def per_second(self, done: int) -> float:
        now = time.monotonic()
        if self._first is None:
            self._first = (done, now)
        first, start = self._first
        return (done - first) / max(now - start, 1e-9)
