"""The paper's Figure 7 and the same panels from our own runs: Maj@K and Pass@K before and after RL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unified_rl.plotting import inputs, style
from unified_rl.plotting.maj_pass import COLUMNS, caption, draw_line, finish_axis
from unified_rl.plotting.output import save
from unified_rl.plotting.sft_vs_rl import LINES, choose_pair
from unified_rl.statistics import reference

INPUTS = ("pass_maj.csv",)
NAME = "paper_figure7"


def draw(tables: Path | str, out: Path | str, label: str | None = None) -> list[Path]:
    """Draw paper_figure7.pdf/.png/.md: our slices from pass_maj.csv above, the paper's benchmarks below.

    Args:
        label: the method to set against the SFT policy, as in `sft_vs_rl`.

    Raises:
        DataError: the table is missing, or lacks the SFT policy or the method; or the paper's data are missing.
    """
    source = inputs.load(tables, INPUTS[0], COLUMNS)
    figure, shown, after = figure_of(source, label)
    paper = reference.SOURCE.format(figure=7)
    note = (
        f"Lower panels: {paper}: one model each, no intervals, at temperature 0.7; {reference.BEFORE} before RL, {reference.AFTER} "
        "after."
    )
    title = f"Before and after RL, ours (upper panels: {shown['label'].iloc[0]} and {after}) and the paper's."
    return save(figure, out, NAME, [*caption(title, shown, source), note])


def figure_of(source: inputs.Input, label: str | None = None) -> tuple[Figure, pd.DataFrame, str]:
    """The figure, the rows of our table that it shows, and the method chosen."""
    ours, (before, after) = choose_pair(source, label)
    theirs = reference.maj_and_pass()
    slices = list(ours.groupby(["split", "slice"], sort=False))
    benchmarks = list(theirs.groupby("benchmark", sort=False))
    looks = style.styles([before, after])
    policies = {before: reference.BEFORE, after: reference.AFTER}
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, 5.2), layout="constrained")
        columns = max(len(slices), len(benchmarks))
        axes = figure.subplots(2, columns, squeeze=False)
        for axis, ((split, name), part) in zip(axes[0], slices, strict=False):
            for policy, published in policies.items():
                _draw_pair(axis, part[part["label"] == policy], looks[policy], f"{policy} (paper: {published})")
            _finish(axis, part, f"Ours: {name} problems ({split}, n = {int(part['num_problems'].max())})")
        for axis, (name, part) in zip(axes[1], benchmarks, strict=False):
            for policy, published in policies.items():
                _draw_pair(axis, part[part["policy"] == published], looks[policy], "")
            _finish(axis, part, f"Paper: {name} (n = {int(part['num_problems'].max()):,})")
        for axis in axes.flat:
            axis.set_visible(axis.has_data())
        for row in axes:
            row[0].set_ylabel("Accuracy (%)")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure, ours, after


def _draw_pair(axis: Axes, lines: pd.DataFrame, look: style.Style, name: str) -> None:
    """Pass@K and Maj@K of one policy; a band where there are intervals."""
    for metric, (words, linestyle) in LINES.items():
        line = lines[lines["metric"] == metric].sort_values("k")
        label = f"{words}, {name}" if name else "_"
        if "low" in line:
            draw_line(axis, line, look, label, linestyle)
        else:
            axis.plot(line["k"], line["estimate"], label=label, **replace(look, linestyle=linestyle).line())


def _finish(axis: Axes, part: pd.DataFrame, title: str) -> None:
    finish_axis(axis, part["k"])
    axis.set_title(title)
    axis.set_xlabel("K: sampled answers per problem")
