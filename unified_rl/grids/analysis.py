"""From a grid's runs to its tables, figures and page: `unified-rl tables`, `figures` and `page`, one after the other.

A command that fails is reported and does not keep the others from what they can do. Two launchers on one folder take turns.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from unified_rl.grids.definition import Grid, slug
from unified_rl.grids.folder import exclusively
from unified_rl.launch.cells import Cell
from unified_rl.stages.kinds.pretrain import COMMAND as PRETRAIN

#: Figures of one arm's iterative runs.
ITERATED_FIGURES = frozenset({"iterations", "paper_figure6"})


def commands(grid: Grid, cells: Sequence[Cell], folder: Path) -> list[list[str]]:
    """What is to be run, as words of `unified-rl`. Pre-trainings have tables alone."""
    if all(cell.command == PRETRAIN for cell in cells):
        return [["tables", str(folder)]]
    iterated = _by_label(cells, folder)
    steps: list[list[str]] = []
    for label, found in iterated.items():  # one arm's runs are one analysis; several arms have a folder each
        place = "" if len(iterated) == 1 else slug(label)
        of_arm, pictures = folder / "tables" / place, folder / "figures" / place
        steps.append(["tables", *found, f"out={of_arm}"])
        steps += _drawn(sorted(ITERATED_FIGURES & {*grid.figures}), of_arm, pictures)
    steps.append(["tables", str(folder)])
    steps += _drawn([name for name in grid.figures if name not in ITERATED_FIGURES], folder / "tables", folder / "figures")
    steps.append(["page", str(folder)])
    return steps


def _drawn(names: Sequence[str], tables: Path, out: Path) -> list[list[str]]:
    return [["figures", *names, f"tables={tables}", f"out={out}"]] if names else []


def analyse(grid: Grid, cells: Sequence[Cell], folder: Path) -> list[str]:
    """Run the commands; returns those that failed."""
    failed = []
    with exclusively(folder / ".analysis.lock"):
        for command in commands(grid, cells, folder):
            if subprocess.run([sys.executable, "-m", "unified_rl.cli", *command], check=False).returncode:
                failed.append("unified-rl " + shlex.join(command))
    return failed


def _by_label(cells: Sequence[Cell], folder: Path) -> dict[str, list[str]]:
    """Label -> the folders of its iterative runs that have begun."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        run_dir = cell.run_dir(folder)
        if cell.command == "iterate" and (run_dir / "iterate.json").exists():
            found.setdefault(cell.label, []).append(str(run_dir))
    return found
