"""contrasts.csv: differences between named labels, paired by problem and seed. What `grid_table` compared, pair by pair.

A row per pair, slice and metric of the final policies (greedy accuracy, avg@1, and Maj@K and Pass@K at the largest K that all
have): label minus baseline, 95 % interval, a verdict, the paired test's p. `verdict` is "above 0", "below 0" or "includes 0".
Nothing is computed here: the numbers are those of grid_contrasts.csv, which has the curves' metrics and Holm's correction besides.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from unified_rl.base.errors import DataError
from unified_rl.statistics import variance_split

COLUMNS = [
    *("label", "baseline", "slice", "split", "metric", "k", "estimate", "low", "high", "verdict", "p"),
    *("num_problems", "num_seeds", "num_starts", *variance_split.COLUMNS, "note"),
]
FINAL = ("greedy", "avg", "maj", "pass", "cot_pass")


def contrasts(compared: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """The rows of a grid's comparisons that have numbers, for these pairs in this order.

    Args:
        compared: `grid_table.contrast_table`.

    Raises:
        DataError: a pair that could not be compared anywhere.
    """
    known = compared[compared["metric"].isin(FINAL) & compared["estimate"].notna()]
    blocks = []
    for label, baseline in pairs:
        rows = known[(known["label"] == label) & (known["baseline"] == baseline)]
        if rows.empty:
            raise DataError(
                f"{label!r} and {baseline!r} have no seed in common of which both are complete: they cannot be paired"
            )
        blocks.append(rows[[name for name in COLUMNS if name in rows]])  # older tables lack some
    return pd.concat(blocks) if blocks else pd.DataFrame(columns=COLUMNS)


def verdict(low: float, high: float) -> str:
    """Where an interval lies."""
    if low > 0:
        return "above 0"
    return "below 0" if high < 0 else "includes 0"


def format_contrasts(table: pd.DataFrame) -> str:
    """The table as text, in percentage points."""
    shown = table.copy()
    for name in ("estimate", "low", "high"):
        shown[name] = (100 * shown[name]).map("{:+.1f}".format)
    shown["difference"] = shown["estimate"] + " [" + shown["low"] + ", " + shown["high"] + "]"
    shown["metric"] = shown["metric"] + shown["k"].map(lambda k: "" if pd.isna(k) else f"@{k}")
    shown[variance_split.HEADING] = [variance_split.in_words(row) for row in table.to_dict("records")]
    behind = [name for name in ("num_seeds", "num_starts", variance_split.HEADING) if name in shown]
    columns = ["label", "baseline", "slice", "metric", "difference", "verdict", *behind]
    return shown[columns].to_string(index=False)


def pair_of(word: str) -> tuple[str, str]:
    """A pair as written on the command line. Raises DataError where it is not LABEL|BASELINE."""
    label, bar, baseline = word.partition("|")
    if not bar or not label or not baseline:
        raise DataError(f"{word!r} is not of the form LABEL|BASELINE")
    return label, baseline
