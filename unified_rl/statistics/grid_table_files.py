"""The tables of a grid as CSV files, each with a first line that says what it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from unified_rl.statistics.experiment import commits_of, mixed_code_of
from unified_rl.statistics.grid_file import experiment_name, matching_of
from unified_rl.statistics.grid_table import GridData, cells_table, compared, lack, summary
from unified_rl.statistics.intervals import CONFIDENCE
from unified_rl.statistics.page_family import HOLM_FAMILY
from unified_rl.statistics.pooling import num_starts
from unified_rl.statistics.table_files import SCHEMA, write_table


def write_tables(out: Path | str, data: GridData, facts: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Write the tables into `out` as CSV and return them. facts: for the provenance line, see `provenance_of`."""
    contrasts, effects = compared(data)
    tables = {"cells": cells_table(data), "grid": summary(data), "grid_contrasts": contrasts}
    if len(effects):
        tables["grid_effects"] = effects
    for name, table in tables.items():
        write_table(table, Path(out) / f"{name}.csv", {"table": name, **facts})
    return tables


def provenance_of(data: GridData, folders: Sequence[Path | str]) -> dict[str, Any]:
    """What a table's first line says of the grid that it is made of."""
    grid = data.grid
    return {
        "schema": SCHEMA,
        **{name: getattr(grid, name) for name in ("name", "title", "preset", "tuning") if getattr(grid, name)},
        "matching": grid.matching if grid.name else matching_of(folders),
        "baseline": grid.baseline,
        "contrasts": [list(pair) for pair in grid.contrasts],
        "experiments": [experiment_name(folder) for folder in folders],
        "commits": commits_of(cell.cell for cell in data.cells),
        "mixed_code": mixed_code_of(cell.cell for cell in data.cells),
        "seeds": sorted({cell.seed for cell in data.cells if not cell.cell.is_baseline}),
        "num_starts": num_starts(cell.cell for cell in data.cells),
        "confidence": CONFIDENCE,
        "holm": HOLM_FAMILY,
        "primary": [asdict(one) for one in grid.primary],
        "decoding": data.decoding,
        "levels": data.levels,
        "unfinished": {f"{cell.label}, seed {cell.seed}": short for cell in data.cells if (short := lack(cell))},
    }
