"""The final policies: a dot plot with intervals, and the same numbers as Markdown and LaTeX tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unified_rl.plotting import inputs, style
from unified_rl.plotting.latex import tabular, text
from unified_rl.plotting.output import save
from unified_rl.statistics import variance_split

INPUTS = ("results.csv",)
MEASURES = ("greedy", "maj", "pass", "difference")
COLUMNS = (
    *("label", "slice", "split", "k", "num_problems", "num_seeds", "temperature", "status"),
    *(f"{name}{suffix}" for name in MEASURES for suffix in ("", "_low", "_high")),
)


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw results_table.pdf/.png/.md from results.csv, and write results_table.tex and results_table_markdown.md.

    Raises:
        DataError: the table is missing or has no numbers.
    """
    source = inputs.load(tables, INPUTS[0], COLUMNS)
    table = inputs.with_numbers(source, "greedy")
    slices = list(table.groupby(["split", "slice"], sort=False))
    height = sum(0.55 + 0.19 * len(part) for _, part in slices) + 0.35
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, height), layout="constrained")
        heights = [len(part) + 2 for _, part in slices]
        shape = (len(slices), len(MEASURES))
        axes = figure.subplots(*shape, squeeze=False, sharey="row", sharex="col", height_ratios=heights)
        for row, ((split, slice_name), part) in enumerate(slices):
            for axis, measure in zip(axes[row], MEASURES, strict=True):
                _dots(axis, part, measure)
                axis.set_title(_title(measure, part))
            axes[row, 0].set_ylabel(f"{slice_name} ({split},\nn = {int(part['num_problems'].max())})")
        for axis, measure in zip(axes[-1], MEASURES, strict=True):
            axis.set_xlabel("points" if measure == "difference" else "%")
        paths = save(figure, out, "results_table", _caption(table, source))
    return [*paths, *_write_tables(source.table, Path(out))]


def _dots(axis: Axes, part: pd.DataFrame, measure: str) -> None:
    names = list(style.styles(part["label"]))
    by_label = part.set_index("label")
    looks = style.styles(names)
    for place, name in enumerate(names):
        value, low, high = (by_label.at[name, f"{measure}{suffix}"] for suffix in ("", "_low", "_high"))
        if np.isfinite(value):
            axis.plot([low, high], [place, place], color=looks[name].color, linewidth=1.2)
            axis.plot(value, place, color=looks[name].color, marker=looks[name].marker, markersize=1.2 * looks[name].size)
    axis.set_yticks(range(len(names)), [inputs.legend_label(name, by_label.at[name, "status"]) for name in names])
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    style.percent_axis(axis.xaxis, signed=measure == "difference")
    if measure == "difference":
        axis.axvline(0, color="0.4", linewidth=0.8)


def _title(measure: str, part: pd.DataFrame) -> str:
    k = part["k"].dropna()
    shown = int(k.iloc[0]) if len(k) else "K"
    titles = {"greedy": "Greedy accuracy", "maj": f"Maj@{shown}", "pass": f"Pass@{shown}", "difference": "Greedy - SFT"}
    return titles[measure]


def _write_tables(table: pd.DataFrame, out: Path) -> list[Path]:
    """The rows as Markdown and LaTeX, unfinished ones included."""
    rows = [_words(row) for row in table.to_dict("records")]
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([row[column] for column in columns] for row in rows)]
    markdown = out / "results_table_markdown.md"
    markdown.write_text("".join(f"| {' | '.join(line)} |\n" for line in lines), encoding="utf-8")
    latex = out / "results_table.tex"
    cells = [[text(word) for word in line] for line in (columns, *lines[2:])]
    latex.write_text(tabular(f"ll{'c' * (len(columns) - 3)}l", cells[0], cells[1:]) + "\n", encoding="utf-8")
    return [markdown, latex]


def _words(row: dict) -> dict[str, str]:
    numbers = {}
    for measure, title in zip(MEASURES, ("Greedy %", "Maj@K %", "Pass@K %", "Greedy - SFT"), strict=True):
        sign = "+" if measure == "difference" else ""
        value, low, high = (100 * row[f"{measure}{suffix}"] for suffix in ("", "_low", "_high"))
        numbers[title] = f"{value:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]" if np.isfinite(value) else "-"
    k = str(int(row["k"])) if np.isfinite(row["k"]) else "-"
    counts = {title: row.get(name) for title, name in (("Seeds", "num_seeds"), ("Starts", "num_starts"))}
    behind = {title: "-" if pd.isna(count) else f"{count:.0f}" for title, count in counts.items()}
    behind["Variance %"] = variance_split.in_words(row, "greedy_")
    return {"Slice": row["slice"], "Method": row["label"], **numbers, "K": k, **behind, "Status": row["status"]}


def _fewer_problems(table: pd.DataFrame) -> str:
    """Of how many problems Maj@K and Pass@K are, where not of all."""
    if "k_problems" not in table:
        return ""
    fewer = table[table["k_problems"].notna() & (table["k_problems"] != table["num_problems"])]
    counts = fewer.groupby("slice", sort=False)["k_problems"].max().astype(int)
    named = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"Maj@K and Pass@K are of the first of them, which have samples enough: {named}." if named else ""


def _caption(table: pd.DataFrame, source: inputs.Input) -> list[str]:
    ties = source.provenance.get("ties", {}).get("meaning", "not recorded")
    temperatures = ", ".join(f"{value:g}" for value in sorted(table["temperature"].dropna().unique())) or "not recorded"
    return [
        "**Final policies.** Accuracy after the last training step; last column: the paired difference of greedy accuracy",
        f"to the SFT policy on the same problems. Maj@K and Pass@K at temperature {temperatures}; ties: {ties}.",
        inputs.intervals_sentence("Bars", table, source, "greedy"),
        _fewer_problems(table),
        inputs.status_sentence(source),
        inputs.source_sentence(source),
    ]
