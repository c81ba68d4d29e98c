"""Range checks of configuration fields: each names the field, the value and what is allowed."""

from __future__ import annotations

from collections.abc import Sequence

from unified_rl.errors import ConfigError


def one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name}={value!r} is not known; choose one of: {', '.join(allowed)}")


def at_least(name: str, value: int, low: int) -> None:
    if value < low:
        raise ConfigError(f"{name}={value} must be at least {low}")


def positive(name: str, value: float) -> None:
    if not value > 0:
        raise ConfigError(f"{name}={value} must be greater than 0")


def not_negative(name: str, value: float) -> None:
    if not value >= 0:
        raise ConfigError(f"{name}={value} must not be negative")


def between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name}={value} must lie between {low} and {high}")
