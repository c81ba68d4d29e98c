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
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        bar = shown.add_task(label, total=total, rate="", note="")
        clock = _Rate()

        def hook(done: int, metrics: Mapping[str, float]) -> None:
            shown.update(bar, completed=done, rate=_pace(clock.per_second(done), unit), note=_note(metrics))

        yield hook


def _plain(label: str, total: int, unit: str) -> Callable[[int, Mapping[str, float]], None]:
    clock = _Rate()
    last = [time.monotonic()]

    def hook(done: int, metrics: Mapping[str, float]) -> None:
        now, rate = time.monotonic(), clock.per_second(done)
        if done == total or now - last[0] >= PLAIN_INTERVAL_SECONDS:
            last[0] = now
            parts = [_pace(rate, unit), f"{(total - done) / rate:.0f} s left" if rate and done < total else "", _note(metrics)]
            more = "".join(f", {part}" for part in parts if part)
            print(f"{label}: {done}/{total} {unit}{more}", file=sys.stderr, flush=True)

    return hook


#: What is shown of a step's metrics, those that it has.
_SHOWN = {
    "reward": "reward/mean",
    "correct": "reward/correct",
    "KL": "kl/k3",
    "length": "response/length",
    "entropy": "entropy/mean",
    "log p": "logp/mean",
}


def _pace(rate: float, unit: str) -> str:
    """A rate in the unit in which it is no small number; "" where there is none yet."""
    if not rate:
        return ""
    return f"{rate:.2f} {unit}/s" if rate >= 0.5 else f"{1 / rate:.1f} s/{unit.removesuffix('s')}"


def _note(metrics: Mapping[str, float]) -> str:
    digits = {"length": 1, "KL": 4}
    return ", ".join(f"{words} {metrics[name]:.{digits.get(words, 3)}f}" for words, name in _SHOWN.items() if name in metrics)


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
