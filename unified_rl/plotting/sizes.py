"""The primary contrasts of a grid over sizes of the policy: do sign and order survive?"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unified_rl.plotting import inputs, style
from unified_rl.plotting.output import save

INPUTS = ("sizes.csv",)
COLUMNS = (
    *("result", "parameters", "slice", "metric", "label", "baseline", "estimate", "low", "high", "margin"),
    *("num_problems", "num_starts", "same_sign"),
)
#: Between the contrasts of one result, which stand side by side.
_APART = 0.16


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw sizes.pdf/.png/.md from sizes.csv: a panel per slice, a place per result, a line per contrast.

    Raises:
        DataError: the table is missing or has no numbers.
    """
    source = inputs.load(tables, INPUTS[0], COLUMNS)
    table = inputs.with_numbers(source, "estimate")
    table = table.assign(contrast=[f"{row.label} - {row.baseline}, {row.metric}" for row in table.itertuples()])
    looks, slices = style.styles(table["contrast"].unique()), list(table.groupby("slice", sort=False))
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, 3.4), layout="constrained")
        axes = figure.subplots(1, len(slices), squeeze=False, sharey=True)[0]
        for axis, (name, part) in zip(axes, slices, strict=True):
            _panel(axis, part, looks)
            axis.set_title(f"{name} problems (test, n = {int(part['num_problems'].max()):,})")
            style.percent_axis(axis.yaxis, signed=True)
        axes[0].set_ylabel("Difference (points)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        return save(figure, out, "sizes", _caption(table, source))


def _panel(axis: Axes, part: pd.DataFrame, looks: dict[str, style.Style]) -> None:
    axis.axhline(0, color="#000000", linewidth=0.6)
    margin = float(part["margin"].max())
    axis.axhspan(-margin, margin, color="#000000", alpha=style.BAND_ALPHA / 2, linewidth=0)
    results = list(part.groupby("result", sort=False))
    for turn, (contrast, look) in enumerate(looks.items()):
        rows = part[part["contrast"] == contrast]
        places = [place + _APART * (turn - (len(looks) - 1) / 2) for place in range(len(rows))]
        axis.vlines(places, rows["low"], rows["high"], color=look.color, linewidth=1)
        axis.plot(places, rows["estimate"], label=contrast, **look.line())
    words = [f"{rows['parameters'].iloc[0] / 1e6:.2g}M\n{int(rows['num_starts'].min())} starts" for _, rows in results]
    axis.set_xticks(range(len(results)), words)


def _caption(table: pd.DataFrame, source: inputs.Input) -> list[str]:
    pairs = table.groupby(["slice", "contrast"], sort=False)["same_sign"]
    signs = [f"{name}, {contrast}: {', '.join(words.iloc[1:])}" for (name, contrast), words in pairs]
    results = ", ".join(table["result"].unique())
    return [
        "**Differences over sizes of the policy.** Bars: each result's own 95 % intervals over problems and seeds; nothing is",
        f"paired between results, which are, from left to right, {results}; above the starts: parameters of the policy's",
        f"matrices. Grey: the margin, {100 * table['margin'].max():g} points to either side. Sign as at the first result, where",
        f"both intervals leave out 0: {'; '.join(signs)}.",
        f"Source: {source.path.name}, made by `{source.provenance.get('command', '?')}`.",
    ]
