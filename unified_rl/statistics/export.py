"""Run directories -> one small file that can be shipped. `unified-rl export RUNS out=FILE.parquet`

The file holds the votes of every evaluated policy (see `statistics.counts`): about a hundredth of the samples' size, and enough
for every table and figure of Pass@K and Maj@K: `unified-rl tables FILE.parquet out=DIR`.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from unified_rl.statistics.counts import write_counts
from unified_rl.statistics.experiment import Cell, commits_of, read_experiment


def export(
    folders: Sequence[Path | str], out: Path | str, *, evaluation: str | None = None, runs_made_by: str = ""
) -> list[Cell]:
    """Write the counts of every cell of the experiment directories; return the cells.

    Args:
        evaluation: name of the evaluation to read where a run has several. runs_made_by: the command that made the runs, for the
            file's metadata.

    Raises:
        DataError: see `read_experiment`.
    """
    cells = read_experiment(folders, evaluation)
    line = ["unified-rl", "export", *(Path(folder).as_posix() for folder in folders), f"out={Path(out).as_posix()}"]
    write_counts(
        cells,
        out,
        {
            "command": shlex.join(line),
            "runs_made_by": runs_made_by,
            "commits": commits_of(cells),
        },
    )
    return cells
