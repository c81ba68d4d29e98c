"""Where a grid stands: every cell done, running, failed (with the error) or missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from unified_rl.launch.cells import Cell, Standing, standing

STATES = ("done", "running", "failed", "missing")


def standings(cells: Sequence[Cell], folder: Path) -> dict[str, Standing]:
    """Cell id -> where it stands."""
    return {cell.name: standing(cell, folder) for cell in cells}


def summary(found: Mapping[str, Standing]) -> str:
    """How many cells stand where."""
    counts = Counter(place.state for place in found.values())
    return f"{len(found)} cells: " + ", ".join(f"{counts[state]} {state}" for state in STATES)


def render(cells: Sequence[Cell], found: Mapping[str, Standing]) -> str:
    """A line of counts, then a line per cell in the grid's order."""
    width = max(len(cell.name) for cell in cells)
    lines = [summary(found)]
    for cell in cells:
        place = found[cell.name]
        lines.append(f"  {cell.name:{width}}  {place.state:8}{place.detail}".rstrip())
    return "\n".join(lines)
