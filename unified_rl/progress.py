"""Progress on the terminal: steps done, rate, remaining time. One plain line now and then where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PLAIN_INTERVAL_SECONDS = 15.0


@contextmanager
def step_progress(label: str, steps: int) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """A hook for `train`: call it with the step and its metrics."""
    if sys.stderr.isatty():
        with _bar(label, steps) as hook:
            yield hook
    else:
        yield _plain(label, steps)


@contextmanager
def _bar(label: str, steps: int) -> Iterator[Callable[[int, dict[str, float]], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(label, total=steps, rate="", note="")
        clock = _Rate()

        def hook(step: int, metrics: dict[str, float]) -> None:
            progress.update(bar, completed=step, rate=f"{clock.per_second(step):.2f} steps/s", note=_note(metrics))

        yield hook


def _plain(label: str, steps: int) -> Callable[[int, dict[str, float]], None]:
    clock = _Rate()
    last = [time.monotonic()]

    def hook(step: int, metrics: dict[str, float]) -> None:
        now = time.monotonic()
        if step == steps or now - last[0] >= PLAIN_INTERVAL_SECONDS:
            last[0] = now
            rate = clock.per_second(step)
            remaining = (steps - step) / rate if rate else 0.0
            print(
                f"{label}: step {step}/{steps}, {rate:.2f} steps/s, {remaining:.0f} s left, {_note(metrics)}", file=sys.stderr
            )

    return hook


def _note(metrics: dict[str, float]) -> str:
    return f"reward {metrics.get('reward/mean', 0.0):.3f}, correct {metrics.get('reward/correct', 0.0):.3f}"


class _Rate:
    """Steps per second since the first step that was seen."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._first: int | None = None

    def per_second(self, step: int) -> float:
        if self._first is None:
            self._first = step - 1
        return (step - self._first) / max(time.monotonic() - self._start, 1e-9)
