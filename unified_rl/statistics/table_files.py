"""Analysis tables as files: CSV whose first line is a comment with the table's provenance as JSON.

    # {"command": "unified-rl tables ...", "ties": "uniform", ...}
    label,method,seed,...

Read it with `read_table`, or anywhere else by skipping the first line (`pandas.read_csv(path, skiprows=1)`).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from unified_rl.base.errors import DataError
from unified_rl.base.files import replacing

#: Version of the tables. It rises when a column is removed, renamed or changes its meaning; new columns leave it.
SCHEMA = 1
MAKE_COMMAND = "unified-rl tables EXPERIMENT_DIR out=DIR"
#: Columns that hold words even where they look like numbers ("0" is a seed, beside "all"), and are empty rather than NaN.
TEXT_COLUMNS = (
    "label",
    "method",
    "seed",
    "seeds",
    "slice",
    "split",
    "metric",
    "status",
    "note",
    "run",
    "error",
    "mixed_code",
    "configuration",
    "baseline",
    "score",
    "part",
    "leader",
    "crossings",
    "decoding",
    "answers",
    "curve_answers",
)


def write_table(table: pd.DataFrame, path: Path | str, provenance: Mapping[str, Any]) -> None:
    """Write a table aside and rename it into place, so that a reader never sees half of one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# {json.dumps(dict(provenance), ensure_ascii=False)}\n")
        table.to_csv(file, index=False, float_format="%.10g", lineterminator="\n")


def read_table(path: Path | str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A table and its provenance.

    Raises:
        DataError: the file is missing, no table of ours, or of another schema; the message names the command that makes it.
    """
    path = Path(path)
    if not path.is_file():  # a pipe would never end
        what = "is no plain file" if path.exists() else "does not exist"
        raise DataError(
            f"{path} {what}; make it with: {MAKE_COMMAND.removesuffix('out=DIR')}{shlex.quote(f'out={path.parent}')}"
        )
    try:
        with path.open(encoding="utf-8") as file:
            first = file.readline()
        provenance = json.loads(first.removeprefix("#"))
        table = pd.read_csv(path, skiprows=1, dtype={name: str for name in TEXT_COLUMNS}, keep_default_na=True)
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path} is not an analysis table ({error}); make it again with: {MAKE_COMMAND}") from error
    if not isinstance(provenance, dict) or provenance.get("schema", SCHEMA) != SCHEMA:
        found = provenance.get("schema") if isinstance(provenance, dict) else None
        raise DataError(
            f"{path}: schema {found!r} is not {SCHEMA}, which this version reads; make it again with: {MAKE_COMMAND}"
        )
    words = [name for name in TEXT_COLUMNS if name in table]
    table[words] = table[words].fillna("")
    return table, provenance


def in_percent(row: Any) -> str:
    """The accuracy of a row of a table in percent, with its interval."""
    return f"{100 * row.accuracy:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]"
