"""Progress on the terminal: what is done, rate, remaining time. One plain line now and then where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from unified_rl.base.terminal import shown

PLAIN_INTERVAL_SECONDS = 15.0


def announce(line: str) -> None:
    """Say on the terminal what takes its time and shows no progress."""
    print(shown(line), file=sys.stderr, flush=True)


@contextmanager
def progress(label: str, total: int, unit: str = "steps") -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """A hook to call with how many of `total` are done and, for training steps, their metrics (else {})."""
    label = shown(label)
    if sys.stderr.isatty():
        with _bar(label, total, unit) as hook:
            yield hook
    else:
        yield _plain(label, total, unit)


@contextmanager
def _bar(label: str, total: int, unit: str) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        bar = shown.add_task(label, total=total, rate="", note="")
        clock = _Rate()

        def hook(done: int, metrics: Mapping[str, float]) -> None:
            shown.update(bar, completed=done, rate=f"{clock.per_second(done):.2f} {unit}/s", note=_note(metrics))

        yield hook


def _plain(label: str, total: int, unit: str) -> Callable[[int, Mapping[str, float]], None]:
    clock = _Rate()
    last = [time.monotonic()]

    def hook(done: int, metrics: Mapping[str, float]) -> None:
        now, rate = time.monotonic(), clock.per_second(done)
        if done == total or now - last[0] >= PLAIN_INTERVAL_SECONDS:
            last[0] = now
            pace = f", {rate:.2f} {unit}/s, {(total - done) / rate:.0f} s left" if rate else ""
            print(f"{label}: {done}/{total} {unit}{pace}{_note(metrics)}", file=sys.stderr, flush=True)

    return hook


def _note(metrics: Mapping[str, float]) -> str:
    if "reward/mean" not in metrics:
        return ""
    return f", reward {metrics['reward/mean']:.3f}, correct {metrics['reward/correct']:.3f}"


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
