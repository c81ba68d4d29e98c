"""Numbers by step, kept in bounded memory while a log is followed: of a long run every n-th step, as it was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: Steps that are kept, at most twice as many.
KEPT_STEPS = 600
#: More metrics than any run of ours has.
MOST_NAMES = 300


class Series:
    """Rows of numbers by step, of which every n-th step is kept, n a power of two, and the last one. Nothing is averaged.

    Attributes:
        last: the last row, {} before the first. last_step: its step.
    """

    def __init__(self) -> None:
        self.last: dict[str, float] = {}
        self.last_step = 0
        self._stride = 1
        self._rows: dict[int, dict[str, float]] = {}
        self._names: dict[str, None] = {}

    def add(self, step: int, row: Mapping[str, Any]) -> None:
        """Take in a row, of which numbers are kept: of a step that is there already, in addition."""
        numbers = {name: float(value) for name, value in row.items() if name != "step" and _is_number(value)}
        for name in numbers:
            if len(self._names) < MOST_NAMES:
                self._names.setdefault(name)
        numbers = {name: value for name, value in numbers.items() if name in self._names}
        same = step == self.last_step
        self.last, self.last_step = (self.last | numbers if same else numbers), step
        if step % self._stride == 0:
            self._rows[step] = self._rows.get(step, {}) | numbers
        if len(self._rows) > 2 * KEPT_STEPS:
            self._stride *= 2
            self._rows = {step: row for step, row in self._rows.items() if step % self._stride == 0}

    @property
    def names(self) -> list[str]:
        """Of all numbers, in the order in which they came."""
        return list(self._names)

    def points(self, name: str, stride: int = 1) -> dict[int, float]:
        """Step -> value of the kept steps that are multiples of `stride`, and of the last one."""
        found = {step: row[name] for step, row in self._rows.items() if name in row and step % stride == 0}
        return found | ({self.last_step: self.last[name]} if name in self.last else {})


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
