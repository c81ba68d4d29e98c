"""A shipped result: a folder of `experiments/results` with a grid's plan, its tables and figures, and what it cost.

    NAME/grid.json          the plan, as `unified-rl grid` wrote it        NAME/*.csv          its tables
    NAME/cost.json          what it was priced at, and what it took        NAME/figures/       pictures and their captions
    NAME/ARM/*.csv          tables of an arm of iterative runs             NAME/reading.md     what a person says of it (`prose`)

`unified-rl results GRID_DIR` ships one. Older folders lack some of these.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.statistics.grid_file import GridFacts, read_grid
from unified_rl.statistics.table_files import read_table

COST, READING, FIGURES = "cost.json", "reading.md", "figures"
GAINS = "iteration_gains"
#: Of these tables one at least makes a folder a result, and the first that is there says what it is made of.
MAIN_TABLES = ("grid", "grid_contrasts", "contrasts", "results", GAINS, "pretraining")


@dataclass(frozen=True)
class Shipped:
    """One folder. arms: folders of arms of iterative runs, by the label that their tables state."""

    folder: Path
    arms: dict[str, Shipped] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def grid(self) -> GridFacts:
        return read_grid(self.folder)

    @cached_property
    def cost(self) -> dict[str, Any]:
        """What `grids.shipping` noted; {} in folders from before."""
        path = self.folder / COST
        try:
            return files.read_json(path) if path.exists() else {}
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is not readable ({error}); ship the grid again: unified-rl results GRID_DIR") from error

    @cached_property
    def _read(self) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
        return {path.stem: read_table(path) for path in sorted(self.folder.glob("*.csv"))}

    def table(self, name: str) -> pd.DataFrame:
        """A table by its file's stem; empty where it was not shipped."""
        return self._read[name][0] if name in self._read else pd.DataFrame()

    @property
    def facts(self) -> dict[str, Any]:
        """What the tables say they are made of."""
        found = next((self._read[name][1] for name in MAIN_TABLES if name in self._read), None)
        return found if found is not None else next((arm.facts for arm in self.arms.values()), {})

    @property
    def world(self) -> str:
        """The words that took its ablation to another world than its file's; "" where none did."""
        return " ".join(self.grid.world)

    @property
    def start_scores(self) -> frozenset[tuple[str, ...]]:
        """Seed, slice and accuracies of the policies that its arms start from: results that agree in all have the same policies."""
        cells = self.table("cells")
        if not {"label", "seed", "slice", "greedy", "avg"} <= set(cells.columns):
            return frozenset()
        rows = cells[cells["label"] == self.grid.baseline][["seed", "slice", "greedy", "avg"]].dropna()
        return frozenset(tuple(map(str, row)) for row in rows.itertuples(index=False))

    @property
    def starts(self) -> int:
        """How many start policies its seeds have; 1 in tables from before they were counted."""
        return int(self.facts.get("num_starts") or 1)

    @property
    def digest(self) -> str:
        """Eight digits that change with any table: what a reading says it is of."""
        found = hashlib.sha256()
        for path in sorted(self.folder.rglob("*.csv")):
            found.update(path.relative_to(self.folder).as_posix().encode() + path.read_bytes())
        return found.hexdigest()[:8]

    def figure(self, name: str) -> Path | None:
        """A picture by its stem, in the folder's figures or in those of its first arm that has it."""
        return next(iter(sorted((self.folder / FIGURES).rglob(f"{name}.png"), key=lambda path: len(path.parts))), None)


def read_shipped(root: Path) -> list[Shipped]:
    """Every result in a folder: those whose every seed has a start of its own first, then by name.

    Raises:
        DataError: there is no such folder, or a file in it is not readable.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root} here; run the command in the repository, or name it with shipped=DIR")
    found = [_one(path) for path in sorted(root.iterdir()) if path.is_dir()]
    results = [one for one in found if one.arms or any((one.folder / f"{name}.csv").exists() for name in MAIN_TABLES)]
    return sorted(results, key=lambda one: (one.starts == 1, one.name))


def _one(folder: Path) -> Shipped:
    places = sorted(path for path in folder.iterdir() if (path / f"{GAINS}.csv").exists())
    arms = [Shipped(place) for place in places]
    return Shipped(folder, {str(arm.facts.get("label") or arm.name): arm for arm in arms})
