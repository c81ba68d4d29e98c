"""The paper's Figure 5, methods' accuracy while training, and beside it the same from our own runs where there are any."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unified_rl.plotting import inputs, style
from unified_rl.plotting.learning_curves import COLUMNS, POOLED
from unified_rl.plotting.output import save
from unified_rl.statistics import reference
from unified_rl.statistics.curve_words import accuracy_words, answers_sentence

#: Drawn from the paper's points alone where our table is missing.
INPUTS: tuple[str, ...] = ()
OPTIONAL_INPUTS = ("curves.csv",)
NAME = "paper_figure5"


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw paper_figure5.pdf/.png/.md: the paper's benchmarks below, our slices from curves.csv above if it is in `tables`.

    Raises:
        DataError: our table is malformed or has no numbers; or the paper's data are missing.
    """
    source = inputs.load(tables, OPTIONAL_INPUTS[0], COLUMNS) if (Path(tables) / OPTIONAL_INPUTS[0]).exists() else None
    figure, ours = figure_of(source)
    paper = reference.SOURCE.format(figure=5)
    caption = [
        "**Methods while training.**" if ours is None else "**Methods while training, ours (upper panels) and the paper's.**",
        f"{'Both' if ours is None else 'Lower'} panels: {paper}: DeepSeekMath-Instruct 1.3B, one run and one answer per question",
        "and checkpoint, so no intervals; one checkpoint's binomial standard error is 1.35 points on GSM8K and 0.64 on MATH. The",
        "paper has no curve of DPO or PPO.",
    ]
    if source is not None and ours is not None:
        caption += [
            f"Upper panels: {accuracy_words(ours)} of the methods that the paper shows, each from the same",
            "SFT policy.",
            answers_sentence(ours),
            inputs.intervals_sentence("Bands", ours, source),
            inputs.status_sentence(source),
            inputs.source_sentence(source),
        ]
    return save(figure, out, NAME, caption)


def figure_of(source: inputs.Input | None) -> tuple[Figure, pd.DataFrame | None]:
    """The figure, and the rows of our table that it shows (None: no table, or none of the paper's methods in it)."""
    theirs = reference.learning_curves(5)
    methods = list(theirs["series"].unique())
    ours = None if source is None else _ours(source, methods)
    looks = style.styles(methods)
    rows = 1 if ours is None else 2
    slices = [] if ours is None else list(ours.groupby(["split", "slice"], sort=False))
    benchmarks = list(theirs.groupby("benchmark", sort=False))
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, 0.7 + 2.1 * rows), layout="constrained")
        axes = figure.subplots(rows, max(len(slices), len(benchmarks)), squeeze=False)
        for axis, ((split, name), part) in zip(axes[0], slices, strict=False):
            _lines(axis, part, "label", "accuracy", looks)
            axis.set_title(f"Ours: {name} problems ({split}, n = {int(part['num_problems'].max())})")
        for axis, (name, part) in zip(axes[-1], benchmarks, strict=False):
            _lines(axis, part, "series", "accuracy", looks)
            axis.set_title(f"Paper: {name} (test, n = {int(part['num_problems'].max()):,})")
        for axis in axes.flat:
            axis.set_visible(axis.has_data())
        for row in axes:
            row[0].set_ylabel("Accuracy (%)")
        handles, labels = axes[-1, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(methods))
    return figure, ours


def _ours(source: inputs.Input, methods: list[str]) -> pd.DataFrame | None:
    curves = inputs.with_numbers(source, "accuracy")
    curves = curves[(curves["seed"] == POOLED) & curves["label"].isin(methods)]
    return None if curves.empty else curves


def _lines(axis: Axes, part: pd.DataFrame, by: str, value: str, looks: dict[str, style.Style]) -> None:
    """One line per method; a band where there are intervals, a marker on some of the points."""
    for name, look in looks.items():
        line = part[part[by] == name].sort_values("step")
        if line.empty:
            continue
        if "low" in line:
            axis.fill_between(line["step"], line["low"], line["high"], color=look.color, alpha=style.BAND_ALPHA, linewidth=0)
        axis.plot(line["step"], line[value], label=name, markevery=max(1, len(line) // 8), **look.line())
    axis.set_xlabel("Training step")
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    style.percent_axis(axis.yaxis)
