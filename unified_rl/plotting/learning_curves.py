"""Accuracy while training, one line per method (the form of the paper's Figure 5)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unified_rl.plotting import inputs, style
from unified_rl.plotting.output import save
from unified_rl.statistics.curve_words import accuracy_words, answers_sentence, begun

INPUTS = ("curves.csv",)
COLUMNS = ("label", "seed", "step", "slice", "split", "accuracy", "low", "high", "num_problems", "num_seeds", "status")
POOLED = "all"


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw learning_curves.pdf/.png/.md from curves.csv.

    Raises:
        DataError: the table is missing or has no numbers.
    """
    source = inputs.load(tables, INPUTS[0], COLUMNS)
    curves = inputs.with_numbers(source, "accuracy")
    curves = curves[curves["seed"] == POOLED]
    panels = list(curves.groupby(["split", "slice"], sort=False))
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH if len(panels) > 1 else style.COLUMN_WIDTH, 2.9), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, ((split, slice_name), panel) in zip(axes, panels, strict=True):
            _panel(axis, panel)
            axis.set_title(f"{slice_name} problems ({split}, n = {int(panel['num_problems'].max())})")
        axes[0].set_ylabel(f"{begun(accuracy_words(curves))} (%)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4 if len(panels) > 1 else 2)
        return save(figure, out, "learning_curves", _caption(curves, source))


def _panel(axis: Axes, panel: pd.DataFrame) -> None:
    looks = style.styles(panel["label"].unique())
    banded = len(looks) <= style.MOST_BANDS
    first, last = panel["step"].min(), panel["step"].max()
    for place, (label, look) in enumerate(looks.items(), 1):
        line = panel[panel["label"] == label].sort_values("step")
        name = inputs.legend_label(label, line["status"].iloc[0])
        if banded:
            axis.fill_between(line["step"], line["low"], line["high"], color=look.color, alpha=style.BAND_ALPHA, linewidth=0)
        every = max(1, len(line) // 8)  # a marker on every point would hide the line
        axis.plot(line["step"], line["accuracy"], markevery=every, label=name, **look.line())
        end = line.iloc[-1]
        side = last + (last - first) * 0.025 * place
        axis.plot([side, side], [end["low"], end["high"]], color=look.color, linewidth=1)
        axis.plot(side, end["accuracy"], color=look.color, marker=look.marker, markersize=0.7 * look.size)
    axis.set_xlabel("Training step")
    axis.margins(x=0.02)
    axis.set_xticks([tick for tick in axis.get_xticks() if first <= tick <= last])  # none under the whiskers
    style.percent_axis(axis.yaxis)


def _caption(curves: pd.DataFrame, source: inputs.Input) -> list[str]:
    banded = curves.groupby(["split", "slice"])["label"].nunique().max() <= style.MOST_BANDS
    return [
        f"**Learning curves.** {begun(accuracy_words(curves))} of the policy after each number of training steps; step 0",
        "is the SFT policy from which every method starts. Lines are means over seeds; whiskers on the right are the last step's",
        "intervals, side by",
        f"side{'' if banded else ' (those of the other steps, as bands, would hide each other; they are in the table)'}.",
        answers_sentence(curves),
        inputs.intervals_sentence("Bands" if banded else "Whiskers", curves, source),
        inputs.status_sentence(source),
        inputs.source_sentence(source),
    ]
