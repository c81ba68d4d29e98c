"""Numbers of a shipped result, whichever of its tables holds them, and how the page writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from unified_rl.pages.results.markdown import wrapped
from unified_rl.pages.results.shipped import Shipped
from unified_rl.statistics.page_family import HOLM_FAMILY

#: Behind what stands after Holm's correction.
STAR = "\\*"
LEVEL_COLUMNS = ["label", "slice", "metric", "k", "estimate", "low", "high", "num_problems"]
#: Columns of results.csv, which has one per metric and is older than grid.csv.
_WIDE = ("greedy", "avg", "maj", "pass")


def levels(shipped: Shipped) -> pd.DataFrame:
    """Accuracies of labels: label, slice, metric, k, estimate, low, high (0..1), num_problems; from grid.csv or results.csv."""
    table = shipped.table("grid")
    if len(table):
        return table[table["estimate"].notna()]
    table = shipped.table("results")
    if table.empty:
        return pd.DataFrame(columns=LEVEL_COLUMNS)
    each = [
        table[["label", "slice", "k", "num_problems"]].assign(
            metric=metric, estimate=table[metric], low=table[f"{metric}_low"], high=table[f"{metric}_high"]
        )
        for metric in _WIDE
        if f"{metric}_low" in table
    ]
    return pd.concat(each, ignore_index=True)[LEVEL_COLUMNS].dropna(subset=["estimate"])


def differences(shipped: Shipped) -> pd.DataFrame:
    """Differences with numbers, from grid_contrasts.csv or contrasts.csv, `comparison` being "LABEL - BASELINE"."""
    for name in ("grid_contrasts", "contrasts"):
        table = shipped.table(name)
        if len(table):
            return table[table["low"].notna()].assign(comparison=table["label"] + " - " + table["baseline"])
    return pd.DataFrame(columns=["comparison", "label", "baseline", *LEVEL_COLUMNS[1:]])


def row_of(table: pd.DataFrame, **wanted: str) -> dict[str, Any] | None:
    """The first row whose columns have these values; None where there is none."""
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table.iloc[0].to_dict() if len(table) else None


def starred(row: Any, words: str) -> str:
    """An effect with its interval, as `points` or `nats` have it, with a star where it stands after Holm's correction."""
    effect, _, interval = words.partition(" ")
    return f"{effect}{STAR if row.get('decision') in ('above', 'below') else ''} {interval}"


def star_words(rows: pd.DataFrame, facts: Mapping[str, Any]) -> str:
    """What a star, and none, means below a table of comparisons; "" where they were not corrected. facts: of the tables."""
    if "comparisons" not in rows or rows["comparisons"].isna().all():
        return ""
    over = str(facts.get("holm") or HOLM_FAMILY).replace("of the page", "of the experiment")
    family = f"Holm's correction {over} ({int(rows['comparisons'].max())} tests)"
    if rows["decision"].isin(["above", "below"]).any():
        return wrapped(f"{STAR}: stands after {family}; without it an interval that leaves out 0 is a lead.")
    return wrapped(f"None of these stands after {family}; an interval that leaves out 0 is a lead.")


def points(row: Any) -> str:
    """A difference in percentage points with its interval."""
    return f"{100 * row['estimate']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"


def nats(row: Any) -> str:
    """A difference in nats with its interval."""
    return f"{row['estimate']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def percent(row: Any, unit: str = " %") -> str:
    """An accuracy in percent with its interval."""
    return f"{100 * row['estimate']:.0f}{unit} [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"


def p_words(value: float) -> str:
    """A p-value with three decimals."""
    return "-" if pd.isna(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def hours(seconds: float) -> str:
    """Seconds in minutes, or hours where they are many."""
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
