"""The folder of a grid: what it says of itself (`grid.json`), its price before it began, the refusal to mix two in one."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.errors import RunDirectoryError
from unified_rl.grids import costs as grid_costs
from unified_rl.grids import tuning
from unified_rl.grids.definition import GROUPS, START_LABEL, Grid
from unified_rl.launch.cells import Cell, read_record

SCHEMA = 1
FILE, PRICE = "grid.json", "price.json"
#: What a folder must agree on to go on with: tables would otherwise pool what is not comparable.
_IDENTITY = ("name", "preset", "matching")


def describe(grid: Grid, preset: str, cells: Sequence[Cell], hypothesis: str) -> dict[str, Any]:
    """The content of grid.json: the grid in words, and each cell with its id, label, seed, command, group and words."""
    matching = grid.matching_in(preset)
    return {
        "schema": SCHEMA,
        "name": grid.name,
        "title": grid.title,
        "line": list(grid.line),
        "world": list(grid.world),
        "hypothesis": hypothesis,
        "preset": preset,
        "matching": {**asdict(matching), "caption": matching.caption},
        "seeds": list(grid.preset(preset).seeds),
        "starts": grid.starts,
        "baseline": grid.baseline,
        "contrasts": [list(pair) for pair in _contrasts(grid, preset)],
        "primary": [asdict(one) for one in grid.primary if {one.label, one.baseline} <= _labels(grid, preset)],
        "figures": list(grid.figures),
        "tuning": ". ".join(filter(None, [tuning.sentence(cells, grid.sweep), grid.tuning])),
        "common": list(grid.common),
        "factors": {name: list(levels) for name, levels in grid.factors.items()},
        "arms": [asdict(arm) for arm in grid.arms_in(preset)],
        "cells": [_cell(cell) for cell in cells],
    }


def _labels(grid: Grid, preset: str) -> set[str]:
    return {START_LABEL, *(arm.label for arm in grid.arms_in(preset))}


def _contrasts(grid: Grid, preset: str) -> list[tuple[str, str]]:
    """The planned pairs, the primary ones among them, of the arms that are run."""
    primary = [(one.label, one.baseline) for one in grid.primary if one.label != one.baseline]
    return [pair for pair in dict.fromkeys([*primary, *grid.contrasts]) if set(pair) <= _labels(grid, preset)]


def open_folder(folder: Path, facts: dict[str, Any]) -> None:
    """Make the folder, or take up the one that is there, and write its grid.json.

    Raises:
        RunDirectoryError: it holds another grid, preset or matching rule, or runs that are not cells of this one.
    """
    with files.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with exclusively(folder / ".grid.lock"):
        _refuse_another_grid(folder, facts)
        _refuse_strangers(folder, facts)
        files.write_json(folder / FILE, facts)


def note_price(folder: Path, cells: Sequence[Cell]) -> None:
    """Write what the cells and the missing stages are expected to cost, once: before the first of them has run."""
    path = folder / PRICE
    if not path.exists() and not any(read_record(cell, folder) for cell in cells):
        costs = grid_costs.expected(cells, folder)
        files.write_json(path, {"core_seconds": round(grid_costs.whole(cells, costs), 1)})


@contextmanager
def exclusively(lock: Path) -> Iterator[None]:
    """Alone among all launchers on the folder; waits for its turn."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _refuse_another_grid(folder: Path, facts: dict[str, Any]) -> None:
    path = folder / FILE
    if not path.exists():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunDirectoryError(f"{path} is not readable ({error}); delete it if the runs beside it are this grid's") from error
    for name in _IDENTITY:
        if before.get(name) != facts[name]:
            raise RunDirectoryError(
                f"{folder} holds a grid with {name} {before.get(name)!r}, this one has {facts[name]!r}; choose another out=DIR"
            )


def _refuse_strangers(folder: Path, facts: dict[str, Any]) -> None:
    """A run of a definition that has changed since would be pooled with the new one's, having the same label and seed."""
    known = {(cell["group"], cell["id"]) for cell in facts["cells"]}
    found = [path for group in GROUPS.values() for path in sorted((folder / group).glob("[!.]*")) if path.is_dir()]
    strangers = [path for path in found if (path.parent.name, path.name) not in known]
    if strangers:
        listed = ", ".join(str(path) for path in strangers[:3]) + (" ..." if len(strangers) > 3 else "")
        raise RunDirectoryError(
            f"{len(strangers)} runs in {folder} are no cells of this grid (other seeds, or it was defined otherwise): {listed}; "
            "move them away, or choose another out=DIR"
        )


def _cell(cell: Cell) -> dict[str, Any]:
    facts = asdict(cell)
    return {"id": facts.pop("name"), "words": facts.pop("train"), **facts}
