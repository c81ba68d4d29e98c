"""sizes.csv: what a grid is about, over sizes of the policy. `unified-rl tables RESULT RESULT ... out=DIR` of shipped results

RESULT is a folder of experiments/results, one per size, or another grid that has the same primary contrasts. A row per result,
slice and primary contrast of the first one:

    estimate, low, high    as in the result's own grid_contrasts.csv, with its seeds, starts, margin and conclusion
    sign                   + or -, of the estimate; told_apart: whether the interval leaves out 0
    same_sign              as at the first result: yes or no where both are told apart, else "cannot tell"
    order                  of the labels that the contrasts name, by their own estimates, best first; same_order: as at the first

An order of estimates is no test: where differences are within their intervals, it is chance's. Sizes have policies of their own, so
that nothing is paired between rows. What holds at every size is what all rows of a contrast have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unified_rl.base import files
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.statistics.grid_file import GridFacts, Primary, read_grid
from unified_rl.statistics.intervals import CONFIDENCE
from unified_rl.statistics.table_files import SCHEMA, read_table, write_table

TABLE = "sizes"
#: In a shipped result, and nowhere else: what it cost, and how many parameters its policy has.
SHIPPED = "cost.json"
YES, NO, CANNOT_TELL = "yes", "no", "cannot tell"
#: As they stand in the result's own table.
_TAKEN = ("estimate", "low", "high", "margin", "conclusion", "num_problems", "num_seeds", "num_starts", "decoding")
COLUMNS = [
    *("result", "parameters", "slice", "metric", "label", "baseline", *_TAKEN),
    *("sign", "told_apart", "same_sign", "order", "same_order"),
]


@dataclass(frozen=True)
class _Result:
    """A shipped result. parameters: of its policy's matrices. contrasts, summary: its grid_contrasts.csv and grid.csv."""

    name: str
    parameters: int
    grid: GridFacts
    contrasts: pd.DataFrame
    summary: pd.DataFrame


def write(folders: Sequence[Path], out: Path | None, command: str) -> pd.DataFrame:
    """Write sizes.csv into `out`; returns it.

    Raises:
        ConfigError: one result only, or no folder for the table. DataError: see `sizes`.
    """
    if len(folders) < 2 or out is None:
        raise ConfigError(
            "shipped results are compared over sizes: give two or more of their folders, and out=DIR for sizes.csv"
        )
    table = sizes(folders)
    facts = {"schema": SCHEMA, "table": TABLE, "command": command, "confidence": CONFIDENCE}
    write_table(table, out / f"{TABLE}.csv", facts | {"experiments": [folder.resolve().name for folder in folders]})
    return table


def sizes(folders: Sequence[Path]) -> pd.DataFrame:
    """The table, results in the order given.

    Raises:
        DataError: a folder is no shipped result, lacks a contrast of the first one, or was evaluated otherwise.
    """
    found = [_read(Path(folder)) for folder in folders]
    first, primaries = found[0], found[0].grid.primary
    if not primaries:
        raise DataError(f"{folders[0]} declares no primary contrast, and so says nothing that could hold at other sizes")
    slices = list(first.contrasts["slice"].unique())
    rows = [_row(one, first, primary, name) for primary in primaries for name in slices for one in found]
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(("num_problems", "num_seeds", "num_starts"), "Int64"))


def format_table(table: pd.DataFrame) -> str:
    """A line per contrast and result, in points."""
    lines = []
    for (name, label, baseline, metric), rows in table.groupby(["slice", "label", "baseline", "metric"], sort=False):
        lines.append(f"{label} - {baseline}, {metric}, {name} problems:")
        for row in rows.to_dict("records"):
            numbers = f"{100 * row['estimate']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
            starts = f"{row['num_starts']} starts"
            lines.append(
                f"  {row['result']:24}{row['parameters'] / 1e6:5.2f}M  {numbers:22}{starts:10}sign as at the first: "
                f"{row['same_sign']}; {row['order']} (order as at the first: {row['same_order']})"
            )
    return "\n".join([*lines, "[95 % intervals; an order of estimates is no test]"])


def _read(folder: Path) -> _Result:
    if not (folder / SHIPPED).is_file():
        raise DataError(f"{folder} is no shipped result (it has no {SHIPPED}); ship the grid: unified-rl results GRID_DIR")
    try:
        parameters = int(files.read_json(folder / SHIPPED)["parameters"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / SHIPPED} does not say how many parameters ({error}); ship the grid again") from error
    tables = [read_table(folder / name)[0] for name in ("grid_contrasts.csv", "grid.csv")]
    return _Result(folder.resolve().name, parameters, read_grid(folder), *tables)


def _row(one: _Result, first: _Result, primary: Primary, name: str) -> dict[str, Any]:
    ours, reference = (_contrast(result, primary, name) for result in (one, first))
    if ours["decoding"] != reference["decoding"]:
        raise DataError(
            f"{one.name} and {first.name} were evaluated in different ways ({ours['decoding']}; {reference['decoding']}), which is "
            "no difference of sizes; evaluate them alike"
        )
    labels = list(dict.fromkeys(label for each in first.grid.primary for label in (each.label, each.baseline)))
    order, at_first = (_order(result, labels, primary.metric, name) for result in (one, first))
    facts = {"result": one.name, "parameters": one.parameters, "slice": name, "metric": primary.metric}
    facts |= {"label": primary.label, "baseline": primary.baseline, **{column: ours[column] for column in _TAKEN}}
    facts |= {"sign": "+" if ours["estimate"] > 0 else "-", "told_apart": YES if _apart(ours) else NO}
    facts |= {"same_sign": _same_sign(ours, reference), "order": order, "same_order": YES if order == at_first else NO}
    return facts


def _contrast(result: _Result, primary: Primary, name: str) -> dict[str, Any]:
    """The one row of a result's table that is of this contrast."""
    rows = [row for row in result.contrasts.to_dict("records") if primary.is_of(row) and row["slice"] == name]
    if len(rows) != 1 or pd.isna(rows[0]["low"]):
        raise DataError(
            f"{result.name} has no interval of {primary.label} - {primary.baseline}, {primary.metric}, on {name}; leave it out, or "
            "run its grid to the end"
        )
    return rows[0]


def _order(result: _Result, labels: Sequence[str], metric: str, name: str) -> str:
    table = result.summary
    there = table[(table["metric"] == metric) & (table["slice"] == name) & table["label"].isin(labels)]
    return " > ".join(there.sort_values("estimate", ascending=False, kind="stable")["label"])


def _apart(row: dict[str, Any]) -> bool:
    return bool(row["low"] > 0 or row["high"] < 0)


def _same_sign(ours: dict[str, Any], reference: dict[str, Any]) -> str:
    if not (_apart(ours) and _apart(reference)):
        return CANNOT_TELL
    return YES if (ours["estimate"] > 0) == (reference["estimate"] > 0) else NO
