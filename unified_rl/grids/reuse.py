"""Cells that another grid has finished: the same configuration is the same run, and is copied instead of made again."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from unified_rl.base import files
from unified_rl.base.errors import ConfigError
from unified_rl.grids.folder import FILE
from unified_rl.launch.cells import Cell, done


def available(cells: Sequence[Cell], folder: Path, others: Sequence[Path]) -> dict[str, Path]:
    """Id of a cell of which nothing is in `folder` yet -> the first of the other grids that has it, finished and evaluated.

    Raises:
        ConfigError: one of `others` is no folder.
    """
    for other in others:
        if not other.is_dir():
            raise ConfigError(f"reuse={other} is no folder; name those of finished grids, or leave it out")
    found: dict[str, Path] = {}
    for cell in cells:
        if cell.run_dir(folder).exists():
            continue
        having = [other for other in others if other.resolve() != folder.resolve() and _has(cell, other)]
        if having:
            found[cell.name] = having[0]
    return found


def take(cells: Sequence[Cell], folder: Path, others: Sequence[Path]) -> list[str]:
    """Copy what is available into the grid's folder; returns the ids. A copy is whole or not there."""
    found = available(cells, folder, others)
    for cell in cells:
        if cell.name in found:
            target = cell.run_dir(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.replacing(target) as aside:
                shutil.copytree(cell.run_dir(found[cell.name]), aside, symlinks=True)
    return list(found)


def _has(cell: Cell, other: Path) -> bool:
    """Whether a grid has finished this cell, with this very evaluation: whose words are in grid.json alone."""
    if not cell.run_dir(other).is_dir():
        return False
    try:
        stated = files.read_json(other / FILE)["cells"]
        words = [one["evaluate"] for one in stated if (one["group"], one["id"]) == (cell.group, cell.name)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"reuse={other}: {other / FILE} is missing or damaged; name a grid's folder, or leave it out"
        ) from error
    return words == [None if cell.evaluate is None else list(cell.evaluate)] and done(cell, other)
