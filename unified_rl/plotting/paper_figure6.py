"""The paper's Figure 6, iterative RL, and beside it the same from our own iterations where there are any."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unified_rl.plotting import inputs, style
from unified_rl.plotting.iterations import COLORS, CURVE_COLUMNS, MARKERS, POOLED
from unified_rl.plotting.output import save
from unified_rl.statistics import reference
from unified_rl.statistics.curve_words import accuracy_words
from unified_rl.statistics.intervals import FEWEST_SEEDS

#: Drawn from the paper's points alone where our table is missing.
INPUTS: tuple[str, ...] = ()
OPTIONAL_INPUTS = ("iteration_curves.csv",)
NAME = "paper_figure6"


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw paper_figure6.pdf/.png/.md: the paper's benchmarks below, our slices from iteration_curves.csv above if it is there.

    Raises:
        DataError: our table is malformed or has no numbers; or the paper's data are missing.
    """
    source = inputs.load(tables, OPTIONAL_INPUTS[0], CURVE_COLUMNS) if (Path(tables) / OPTIONAL_INPUTS[0]).exists() else None
    figure, ours = figure_of(source)
    paper = reference.SOURCE.format(figure=6)
    caption = [
        "**Iterative RL.**" if ours is None else "**Iterative RL, ours (upper panels) and the paper's.**",
        f"{'Both' if ours is None else 'Lower'} panels: {paper}: DeepSeekMath-Instruct 7B, one run, so no intervals. Iteration 1",
        "starts from iteration 0's policy of step 1,100; where an iteration begins, the one before it goes on with its old reward",
        "model.",
    ]
    if source is not None and ours is not None:
        options = source.provenance.get("iterate", {})
        seeds = " ".join(str(seed) for seed in source.provenance.get("seeds", []))
        few = int(ours["num_seeds"].max()) < FEWEST_SEEDS
        over = f"problems only (fewer than {FEWEST_SEEDS} training seeds)" if few else "problems and training seeds"
        caption += [
            f"Upper panels: {accuracy_words(ours)} on validation problems; iteration i + 1 starts from iteration i's policy",
            f"after {options.get('steps', '?')} steps.",
            f"Bands are 95 % intervals over {over}; seeds: {seeds}.",
            inputs.starts_sentence(source),
            inputs.status_sentence(source),
            inputs.source_sentence(source),
        ]
    return save(figure, out, NAME, caption)


def figure_of(source: inputs.Input | None) -> tuple[Figure, pd.DataFrame | None]:
    """The figure, and the rows of our table that it shows (None without a table)."""
    theirs = reference.learning_curves(6)
    theirs = theirs.assign(iteration=theirs["series"].str.extract(r"(\d+)$")[0].astype(int))
    ours = None if source is None else _pooled(source)
    rows = 1 if ours is None else 2
    slices = [] if ours is None else list(ours.groupby("slice", sort=False))
    benchmarks = list(theirs.groupby("benchmark", sort=False))
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, 0.7 + 2.1 * rows), layout="constrained")
        axes = figure.subplots(rows, max(len(slices), len(benchmarks)), squeeze=False)
        for axis, (name, part) in zip(axes[0], slices, strict=False):
            _lines(axis, part)
            axis.set_title(f"Ours: {name} problems (validation, n = {int(part['num_problems'].max())})")
        for axis, (name, part) in zip(axes[-1], benchmarks, strict=False):
            _lines(axis, part)
            axis.set_title(f"Paper: {name} (test, n = {int(part['num_problems'].max()):,})")
        for axis in axes.flat:
            axis.set_visible(axis.has_data())
        for row in axes:
            row[0].set_ylabel("Accuracy (%)")
        entries = _legend(axes.flat)
        figure.legend(entries.values(), entries, loc="outside lower center", ncols=len(entries))
    return figure, ours


def _pooled(source: inputs.Input) -> pd.DataFrame:
    curves = inputs.with_numbers(source, "accuracy")
    return curves[curves["seed"] == POOLED]


def _legend(axes: Iterable[Axes]) -> dict[str, Artist]:
    """Label -> handle over all panels, iterations in order."""
    found = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    return dict(sorted(found.items()))


def _lines(axis: Axes, part: pd.DataFrame) -> None:
    """One line per iteration; a band where there are intervals, a marker on some of the points."""
    for iteration, line in part.groupby("iteration"):
        line = line.sort_values("step")
        color, marker = COLORS[int(iteration) % len(COLORS)], MARKERS[int(iteration) % len(MARKERS)]
        if "low" in line:
            axis.fill_between(line["step"], line["low"], line["high"], color=color, alpha=style.BAND_ALPHA, linewidth=0)
        every = max(1, len(line) // 8)
        axis.plot(line["step"], line["accuracy"], label=f"iteration {iteration}", markevery=every, color=color, marker=marker)
    axis.set_xlabel("Training step")
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    style.percent_axis(axis.yaxis)
