"""Run directories -> one small file that can be shipped. `python -m unified_rl.statistics.export RUNS --out FILE.parquet`

The file holds the votes of every evaluated policy (see `statistics.counts`): about a hundredth of the samples' size, and enough
for every table and figure of Pass@K and Maj@K: `python -m unified_rl.statistics.tables FILE.parquet --out DIR`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from unified_rl.errors import UnifiedRLError
from unified_rl.statistics.counts import write_counts
from unified_rl.statistics.experiment import COMPLETE, Cell, read_experiment


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
    listed = " ".join(Path(folder).as_posix() for folder in folders)
    write_counts(
        cells,
        out,
        {
            "command": f"python -m unified_rl.statistics.export {listed} --out {Path(out).as_posix()}",
            "runs_made_by": runs_made_by,
            "commits": sorted({cell.commit for cell in cells if cell.commit}),
        },
    )
    return cells


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m unified_rl.statistics.export", description="Run directories -> one small file of counts."
    )
    parser.add_argument("runs", nargs="+", type=Path, help="directory with runs at or below it")
    parser.add_argument("--out", type=Path, required=True, help="the Parquet file to write")
    parser.add_argument("--evaluation", help="name of the evaluation to use where a run has several of its last step")
    parser.add_argument("--runs-made-by", default="", help="the command that made the runs, to be kept in the file")
    options = parser.parse_args(argv)
    try:
        cells = export(options.runs, options.out, evaluation=options.evaluation, runs_made_by=options.runs_made_by)
    except UnifiedRLError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for cell in cells:
        slices = ", ".join(f"{split}/{name} {len(scores.problem_ids)}" for (name, split), scores in cell.scores.items())
        status = "" if cell.evaluation_status == COMPLETE else f"  {cell.evaluation_status}"
        print(f"{cell.label}, seed {cell.seed}: {slices or 'no problems'}{status}")
    print(f"{options.out}: {options.out.stat().st_size / 1024:.0f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
