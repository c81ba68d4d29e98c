"""Range checks of the configuration. Every message names the field, the value and what is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from unified_rl.base.errors import ConfigError

_notes: ContextVar[dict[str, str] | None] = ContextVar("notes", default=None)


@contextmanager
def noted() -> Iterator[dict[str, str]]:
    """Collects, for every check that is made meanwhile, field -> what is allowed. For the command line's help."""
    notes: dict[str, str] = {}
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)


def one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    _note(name, " | ".join(item or '""' for item in allowed))
    if value not in allowed:
        raise ConfigError(f"{name}={value!r} is not known; choose one of: {', '.join(allowed)}")


def at_least(name: str, value: int, low: int) -> None:
    _note(name, f"{low} or more")
    if value < low:
        raise ConfigError(f"{name}={value} must be at least {low}")


def positive(name: str, value: float) -> None:
    _note(name, "greater than 0")
    if not value > 0:
        raise ConfigError(f"{name}={value} must be greater than 0")


def not_negative(name: str, value: float) -> None:
    _note(name, "0 or more")
    if not value >= 0:
        raise ConfigError(f"{name}={value} must not be negative")


def between(name: str, value: float, low: float, high: float) -> None:
    _note(name, f"{low:g} to {high:g}")
    if not low <= value <= high:
        raise ConfigError(f"{name}={value} must lie between {low} and {high}")


def _note(name: str, allowed: str) -> None:
    notes = _notes.get()
    if notes is not None:
        notes[name] = allowed
