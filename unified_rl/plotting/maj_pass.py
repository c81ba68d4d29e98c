"""Maj@K and Pass@K of every policy against K: does a method add right answers, or move them up? (after the paper's Figure 7)"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from unified_rl.plotting import inputs, style
from unified_rl.plotting.output import save

INPUTS = ("pass_maj.csv",)
COLUMNS = (
    *("label", "method", "slice", "split", "k", "metric", "estimate", "low", "high"),
    *("num_problems", "num_seeds", "num_samples", "temperature", "status"),
)
METRICS = {"maj": "Maj@K (%)", "pass": "Pass@K (%)"}


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw maj_pass.pdf/.png/.md from pass_maj.csv: a row of panels for Maj@K, one for Pass@K, a column per slice.

    Raises:
        DataError: the table is missing or has no numbers.
    """
    source = inputs.load(tables, INPUTS[0], COLUMNS)
    table = inputs.with_numbers(source, "estimate")
    slices = list(table.groupby(["split", "slice"], sort=False))
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH if len(slices) > 1 else style.COLUMN_WIDTH, 4.6), layout="constrained")
        axes = figure.subplots(2, len(slices), squeeze=False, sharex=True)
        for column, ((split, slice_name), part) in enumerate(slices):
            for row, (metric, title) in enumerate(METRICS.items()):
                axis = axes[row, column]
                looks = style.styles(part["label"].unique())
                for place, (label, look) in enumerate(looks.items(), 1):
                    line = part[(part["label"] == label) & (part["metric"] == metric)]
                    beside = None if len(looks) <= style.MOST_BANDS else place
                    draw_line(axis, line, look, inputs.legend_label(label, line["status"].iloc[0]), whisker=beside)
                finish_axis(axis, part["k"])
                axis.set_ylabel(title if column == 0 else "")
            axes[0, column].set_title(f"{slice_name} problems ({split}, n = {int(part['num_problems'].max())})")
            axes[1, column].set_xlabel("K: sampled answers per problem")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4 if len(slices) > 1 else 2)
        return save(figure, out, "maj_pass", caption("Maj@K and Pass@K.", table, source))


def draw_line(
    axis: Axes,
    line: pd.DataFrame,
    look: style.Style,
    name: str,
    linestyle: style.LineStyle | None = None,
    whisker: int | None = None,
) -> None:
    """One policy's estimates against K, with their intervals as a band.

    Args:
        whisker: draw the interval at the largest K instead, at this place beside the others.
    """
    line = line.sort_values("k")
    if whisker is None:
        axis.fill_between(line["k"], line["low"], line["high"], color=look.color, alpha=style.BAND_ALPHA, linewidth=0)
    elif len(line):
        end, side = line.iloc[-1], line["k"].max() * 2 ** (0.13 * whisker)
        axis.plot([side, side], [end["low"], end["high"]], color=look.color, linewidth=1)
        axis.plot(side, end["estimate"], color=look.color, marker=look.marker, markersize=0.7 * look.size)
    look = look if linestyle is None else replace(look, linestyle=linestyle)
    axis.plot(line["k"], line["estimate"], label=name, **look.line())


def finish_axis(axis: Axes, ks: pd.Series) -> None:
    """K on a logarithmic axis that names every K; accuracy in percent."""
    axis.set_xscale("log", base=2)
    axis.set_xticks(sorted(ks.dropna().astype(int).unique()))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    style.percent_axis(axis.yaxis)


def caption(title: str, table: pd.DataFrame, source: inputs.Input) -> list[str]:
    """What Maj@K and Pass@K are here, and under which rules."""
    banded = table["label"].nunique() <= style.MOST_BANDS
    ties, silent = (source.provenance.get(rule, {}).get("meaning", "not recorded") for rule in ("ties", "no_answer"))
    temperatures = ", ".join(f"{value:g}" for value in sorted(table["temperature"].dropna().unique())) or "not recorded"
    samples = ", ".join(str(int(value)) for value in sorted(table["num_samples"].dropna().unique()))
    return [
        f"**{title}** Maj@K: chance that the most frequent of K sampled answers is right; Pass@K: that at least one is;",
        f"both exact expectations over all K-subsets of {samples} samples per problem at temperature {temperatures}.",
        f"Ties: {ties}. No answer: {silent}.",
        inputs.intervals_sentence("Bands" if banded else "Whiskers, at the largest K,", table, source),
        inputs.status_sentence(source),
        inputs.source_sentence(source),
    ]
