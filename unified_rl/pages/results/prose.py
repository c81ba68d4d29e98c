"""What a person says of a result: `reading.md` beside its tables, whose numbers are fields that the tables fill.

    <!-- tables 1a2b3c4d -->
    DPO ends below RFT, by {DPO - RFT | avg | main} on main problems, from {SFT | avg | main}.

| field | what it becomes |
|---|---|
| `{LABEL - BASELINE | METRIC | SLICE}` | the difference in points with its interval, from grid_contrasts.csv or contrasts.csv |
| `{LABEL | METRIC | SLICE}` | the accuracy in percent with its interval, from grid.csv or results.csv |
| `{TABLE.csv | COLUMN=VALUE | ... | COLUMN}` | a number of a row: accuracies, and losses in nats, with intervals |

The first line names the tables that it was written for (`Shipped.digest`): a reading of other tables is left out, since its words
may be false of them. A result's number that is no field is refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from unified_rl.base.errors import DataError
from unified_rl.pages.results.markdown import wrapped
from unified_rl.pages.results.numbers import differences, levels, nats, percent, points, row_of
from unified_rl.pages.results.shipped import READING, Shipped

FIELD = re.compile(r"\{([^{}]+)\}")
FIRST_LINE = "<!-- tables {digest} -->"
#: A measured number: a decimal, a percentage, a number of points or an interval. (Code, and K in Pass@64, are none.)
NUMBER = re.compile(r"[+\-\u2212]?\d+\.\d+|\d+ ?%|\d+ points|\[[+\-\u2212]?\d")
_CODE = re.compile(r"`[^`]*`")
#: Numbers of these columns are accuracies, written in percent.
SHARES = ("accuracy", "estimate", "greedy", "avg", "maj", "pass", "auc", "mean_reward", "share_correct")


def reading(shipped: Shipped) -> tuple[str, str]:
    """The text with its fields filled, and why there is none: ("", "") where nobody wrote one.

    Raises:
        DataError: a field that no row of a table fills, or a number that is no field; names file and place.
    """
    path = shipped.folder / READING
    if not path.exists():
        return "", ""
    first, _, body = path.read_text(encoding="utf-8").partition("\n")
    wanted = FIRST_LINE.format(digest=shipped.digest)
    if first.strip() != wanted:
        return "", f"{path} is of other tables, and left out: read these, and make its first line {wanted}"
    return "\n\n".join(_wrapped(_filled_block(shipped, block, path)) for block in re.split(r"\n\s*\n", body.strip())), ""


def _filled_block(shipped: Shipped, block: str, path: Path) -> str:
    """A paragraph or a list with its fields filled; where it stands is told by how it begins."""
    where = f"{path}, in {block[:30]!r}"
    loose = NUMBER.search(_CODE.sub("", FIELD.sub("", block)))
    if loose:
        raise DataError(f"{where}: {loose[0]!r} is no field; write it as {{LABEL - BASELINE | METRIC | SLICE}} or the like")
    return FIELD.sub(lambda match: filled(shipped, " ".join(match[1].split()), where), block)


def _wrapped(block: str) -> str:
    """Lines of the repository's width; items of a list, which begin with "- ", each by itself."""
    items = re.split(r"\n(?=- )", block)
    return "\n".join(wrapped(" ".join(item.split()), "  " if item.startswith("- ") else "") for item in items)


def filled(shipped: Shipped, field: str, where: str) -> str:
    """What a field becomes. where: file and place, for messages."""
    parts = [part.strip() for part in field.split(" | ")]
    if parts[0].endswith(".csv"):
        return _value(shipped, parts, where)
    if len(parts) != 3:
        raise DataError(f"{where}: {{{field}}} is none of the fields; see unified_rl/pages/results/prose.py")
    name, metric, slice_name = parts
    row = row_of(differences(shipped), comparison=name, metric=metric, slice=slice_name)
    if row is not None:
        return points(row)
    found = row_of(levels(shipped), label=name, metric=metric, slice=slice_name)
    if found is None:
        raise DataError(f"{where}: no table of {shipped.folder} has {name} by {metric} on {slice_name}")
    return percent(found)


def _value(shipped: Shipped, parts: list[str], where: str) -> str:
    file, *conditions, column = parts
    rows = shipped.table(file.removesuffix(".csv"))
    if rows.empty:
        raise DataError(f"{where}: {shipped.folder / file} is not there, or empty")
    for condition in conditions:
        name, _, value = condition.partition("=")
        if name not in rows:
            raise DataError(f"{where}: {file} has no column {name!r} (it has {', '.join(rows.columns)})")
        rows = rows[rows[name].map(_word) == value]
    if len(rows) != 1 or column not in rows:
        raise DataError(f"{where}: {len(rows)} rows of {file} are so; name one row, and a column of it")
    row = rows.iloc[0]
    ends = ("low", "high") if column in ("estimate", "accuracy") else (f"{column}_low", f"{column}_high")
    if set(ends) <= set(rows.columns):
        if str(row.get("metric")).endswith("loss"):
            return nats(row)
        return percent({"estimate": row[column], "low": row[ends[0]], "high": row[ends[1]]})
    return f"{100 * row[column]:.0f} %" if column in SHARES else _word(row[column])


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
