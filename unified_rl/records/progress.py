"""Progress: what is done, rate, remaining time; on the terminal, and for whoever listens in this process.

A step that takes long says within itself what it is at (`doing`). Where there is no terminal, a plain line now and then.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from unified_rl.base.terminal import shown

T = TypeVar("T")
PLAIN_INTERVAL_SECONDS = 10.0
#: Where there is no terminal, a piece of work that says nothing for so long says what it is at.
PLAIN_SILENT_SECONDS = 30.0


@dataclass(frozen=True)
class Stand:
    """Where a piece of work stands.

    label: what it is. unit: of what `done` and `total` count. rate: units per second so far, 0 while it is not known. metrics: of
    the last training step, {} for other work. within: what is being done of the next unit, "" where nobody says.
    """

    label: str
    unit: str
    done: int
    total: int
    rate: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    within: str = ""

    @property
    def seconds_left(self) -> float | None:
        """None while no rate is known."""
        return (self.total - self.done) / self.rate if self.rate else None


Listener = Callable[[Stand], None]
_listeners: list[Listener] = []
#: Of each piece of work under way, outermost first: what it does with words about its next unit.
_open: list[Callable[[str], None]] = []


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


def doing(words: str) -> None:
    """Say what is being done within the next unit of the piece of work under way (`sampling 12/64`).

    Nothing where none is, and from other threads, whose work is not what is waited for.
    """
    if _open and threading.current_thread() is threading.main_thread():
        _open[-1](shown(words))


def one_by_one(words: str, items: Iterable[T]) -> Iterator[T]:
    """The items in their order, each said to be under way: `words 3`. They may be made on the way, so none is asked for before."""
    for number, item in enumerate(items, start=1):
        doing(f"{words} {number}")
        yield item


@contextmanager
def progress(label: str, total: int, unit: str = "steps") -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """A hook to call with how many of `total` are done and, for training steps, their metrics (else {})."""
    work = _Work(shown(label), unit, total)
    _tell(work.stand)
    with _bar(work.stand) if sys.stderr.isatty() else _plain() as work.show:
        _open.append(work.doing)
        try:
            yield work.done
        finally:
            _open.remove(work.doing)


class _Work:
    """A piece of work under way: shows where it stands, and tells whoever listens."""

    def __init__(self, label: str, unit: str, total: int) -> None:
        self.stand, self._clock = Stand(label, unit, 0, total), _Rate()
        self.show: Listener = lambda stand: None

    def done(self, done: int, metrics: Mapping[str, float]) -> None:
        self._at(replace(self.stand, done=done, rate=self._clock.per_second(done), metrics=metrics, within=""))

    def doing(self, words: str) -> None:
        self._at(replace(self.stand, within=words))

    def _at(self, stand: Stand) -> None:
        self.stand = stand
        self.show(stand)
        _tell(stand)


@contextmanager
def _bar(begin: Stand) -> Iterator[Listener]:
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
        bar = drawn.add_task(begin.label, total=begin.total, rate="", note="")
        yield lambda stand: drawn.update(bar, completed=stand.done, rate=pace(stand.rate, stand.unit), note=_note(stand))


@contextmanager
def _plain() -> Iterator[Listener]:
    last, ended = time.monotonic(), False

    def show(stand: Stand) -> None:
        nonlocal last, ended
        now, ends = time.monotonic(), stand.done == stand.total and not (stand.within or ended)
        if ends or now - last >= (PLAIN_SILENT_SECONDS if stand.within else PLAIN_INTERVAL_SECONDS):
            last, ended = now, ended or ends
            print(in_words(stand), file=sys.stderr, flush=True)

    yield show


def in_words(stand: Stand) -> str:
    """`GRPO+OS: 12/40 steps, 2.1 s/step, 59 s left, reward 0.412, KL 0.0013`: what is not known is left out."""
    left = stand.seconds_left if stand.done < stand.total else None
    parts = [pace(stand.rate, stand.unit), "" if left is None else f"{left:.0f} s left", _note(stand)]
    return ", ".join([f"{stand.label}: {stand.done}/{stand.total} {stand.unit}", *filter(None, parts)])


def _note(stand: Stand) -> str:
    """What is being done within the next unit, and the metrics of the last one."""
    return ", ".join(filter(None, [stand.within, noted(stand.metrics)]))


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
