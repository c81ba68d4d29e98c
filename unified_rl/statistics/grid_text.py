"""A grid's tables as text for the terminal: per slice the arms with their numbers, then the comparisons."""

from __future__ import annotations

import numpy as np
import pandas as pd

from unified_rl.statistics.comparable import starts_in_words
from unified_rl.statistics.grid_cells import METRICS
from unified_rl.statistics.grid_file import matching_sentence
from unified_rl.statistics.grid_table import GridData, comparisons, lack
from unified_rl.statistics.grid_tokens import TO_LEVEL
from unified_rl.statistics.intervals import FEWEST_SEEDS
from unified_rl.statistics.page_family import ALPHA, HOLM_FAMILY
from unified_rl.statistics.pooling import num_starts

TITLES = {"greedy": "final", "best": "best by validation", "area": "mean over training", "avg": "avg@1"}


def format_tables(data: GridData, table: pd.DataFrame, contrasts: pd.DataFrame, effects: pd.DataFrame | None = None) -> str:
    """The summary, the comparisons and a factorial grid's effects as text, in percent with 95 % intervals."""
    title = data.grid.title or data.grid.name
    head = [title] if title else []
    head.append(matching_sentence(data.grid.matching))
    blocks = [
        _block(
            data,
            table[table["slice"] == name],
            contrasts,
            effects[effects["slice"] == name] if effects is not None else None,
            name,
        )
        for name in data.slices
    ]
    lacking = [f"  {cell.label}, seed {cell.seed} ({cell.id}): {lack(cell)}" for cell in data.cells if lack(cell)]
    foot = [
        f"In brackets: 95 % intervals over problems and seeds (over problems only where there are fewer than {FEWEST_SEEDS}); of "
        "tokens: the range.",
        starts_in_words(num_starts(cell.cell for cell in data.cells), len({cell.seed for cell in data.cells})),
        f"*: differs after Holm's correction at {100 * ALPHA:g} % {HOLM_FAMILY}.",
    ]
    return "\n\n".join(
        [
            "\n".join(head),
            *blocks,
            "\n".join(["Not complete:", *lacking]) if lacking else "All cells are complete.",
            "\n".join(filter(None, foot)),
        ]
    )


def _block(data: GridData, table: pd.DataFrame, contrasts: pd.DataFrame, effects: pd.DataFrame | None, name: str) -> str:
    k = table["k"].dropna()
    shown_k = int(k.iloc[0]) if len(k) else "K"
    titles = TITLES | {"maj": f"Maj@{shown_k}", "pass": f"Pass@{shown_k}", "cot_pass": f"CoT-Pass@{shown_k}"}
    metrics = [metric for metric in METRICS if metric in set(table["metric"])]
    level = f"tokens to {100 * data.levels[name]:.0f} %" if name in data.levels else "tokens to level"
    lines = [["", *(titles[metric] for metric in metrics), "trained tokens", level, "seeds"]]
    for label in data.labels:
        rows = table[table["label"] == label].set_index("metric")
        numbers = [_points(rows.loc[metric]) if metric in rows.index else "-" for metric in metrics]
        tokens = [_token_words(rows.loc[metric]) if metric in rows.index else "-" for metric in ("trained_tokens", TO_LEVEL)]
        seeds = rows["num_seeds"].dropna().astype(int)
        lines.append([label, *numbers, *tokens, str(seeds.max()) if len(seeds) else "-"])
    pairs = contrasts[contrasts["slice"] == name]
    for label, baseline in comparisons(data):
        rows = pairs[(pairs["label"] == label) & (pairs["baseline"] == baseline)]
        lines.append(_compared(f"{label} - {baseline}", rows, metrics))
    for effect, rows in effects.groupby("effect", sort=False) if effects is not None else ():
        lines.append(_compared(str(effect), rows, metrics))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    body = ["  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([f"{name} problems", *body])


def _compared(name: str, rows: pd.DataFrame, metrics: list[str]) -> list[str]:
    """A line of differences: its metrics, no tokens, its seeds."""
    by_metric, seeds = rows.set_index("metric"), rows["num_seeds"].dropna().astype(int)
    numbers = [_difference(by_metric.loc[metric]) if metric in by_metric.index else "-" for metric in metrics]
    return [name, *numbers, "", "", str(seeds.max()) if len(seeds) else "-"]


def _points(row: pd.Series) -> str:
    return f"{100 * row['estimate']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def _difference(row: pd.Series) -> str:
    if pd.isna(row["estimate"]):
        return "-"
    star = "*" if row["decision"] in ("above", "below") else ""
    return f"{100 * row['estimate']:+.1f}{star} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"


def _token_words(row: pd.Series) -> str:
    low, high = _tokens(row["low"]), _tokens(row["high"])
    return _tokens(row["estimate"]) if low == high else f"{_tokens(row['estimate'])} [{low}, {high}]"


def _tokens(value: float) -> str:
    if np.isinf(value):
        return "never"
    return f"{value / 1000:.0f}k" if value >= 10_000 else f"{value:.0f}"
