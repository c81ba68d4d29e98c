"""Tables that a command of their own makes, not `statistics.tables`: where one is missing, the message names that command."""

from __future__ import annotations

from pathlib import Path

from unified_rl.base.errors import DataError
from unified_rl.plotting import inputs


def load(tables: Path | str, name: str, columns: tuple[str, ...], command: str) -> inputs.Input:
    """As `inputs.load`, for a table that `command` makes.

    Raises:
        DataError: the table is missing, malformed or lacks a column.
    """
    path = Path(tables) / name
    if not path.exists():
        raise DataError(f"{path} does not exist; make it with: {command}")
    return inputs.load(tables, name, columns)
