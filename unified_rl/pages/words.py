"""Numbers, paces and durations in the few characters that a column has."""

from __future__ import annotations

from unified_rl.records.progress import pace

__all__ = ["duration", "number", "pace"]


def number(value: float | None) -> str:
    """Four digits: `0.4123`, `41.2`, `1.3e-05`; "" for none."""
    if value is None:
        return ""
    return f"{value:.1e}" if value and abs(value) < 1e-3 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
