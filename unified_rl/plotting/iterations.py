"""Iterative RL: accuracy by step, one line per iteration with its control, and the reward model's drift (after Figure 6)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unified_rl.plotting import inputs, style
from unified_rl.plotting.output import save
from unified_rl.statistics.curve_words import accuracy_words, begun
from unified_rl.statistics.intervals import FEWEST_SEEDS

INPUTS = ("iteration_curves.csv", "iteration_drift.csv")
CURVE_COLUMNS = ("iteration", "step", "slice", "part", "seed", "accuracy", "low", "high", "num_problems", "num_seeds")
DRIFT_COLUMNS = ("iteration", "step", "seed", "reward", "correct")
POOLED = "all"
#: From dark to light, as iterations follow each other.
COLORS = style.ORDERED
CONTROL_LINE = (0, (3, 1.5))
MARKERS = ("o", "s", "^", "D", "v", "P")


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw iterations.pdf/.png/.md.

    Raises:
        DataError: a table is missing or has no numbers.
    """
    source = inputs.load(tables, INPUTS[0], CURVE_COLUMNS)
    curves = inputs.with_numbers(source, "accuracy")
    curves = curves[curves["seed"] == POOLED]
    drift = inputs.load(tables, INPUTS[1], DRIFT_COLUMNS).table
    drift = drift[drift["seed"] == POOLED]
    slices = list(curves["slice"].drop_duplicates())
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, 2.9), layout="constrained")
        axes = figure.subplots(1, len(slices) + 1, squeeze=False)[0]
        for axis, name in zip(axes, slices, strict=False):
            panel = curves[curves["slice"] == name]
            _accuracy(axis, panel)
            axis.set_title(f"{name} problems (validation, n = {int(panel['num_problems'].max())})")
        axes[0].set_ylabel(f"{begun(accuracy_words(curves))} (%)")
        _drift(axes[-1], drift)
        figure.legend(handles=_handles(curves), loc="outside lower center", ncols=4)
        return save(figure, out, "iterations", _caption(curves, source))


def _accuracy(axis: Axes, panel: pd.DataFrame) -> None:
    for iteration, line in panel.groupby("iteration"):
        color, marker = _look(int(iteration))
        line = line.sort_values("step")
        axis.fill_between(line["step"], line["low"], line["high"], color=color, alpha=style.BAND_ALPHA, linewidth=0)
        last = iteration == panel["iteration"].max()  # nothing starts from it, so that it is nobody's control
        main = line if last else line[line["part"] == "main"]
        control = line[line["part"] == "control"].head(0 if last else None)
        axis.plot(main["step"], main["accuracy"], color=color, marker=marker, markersize=3.5)
        joined = pd.concat([main.tail(1), control])  # the control begins where the next iteration does
        axis.plot(
            joined["step"], joined["accuracy"], color=color, marker=marker, markersize=3.5, linestyle=(0, (3, 1.5)), mfc="white"
        )
    axis.set_xlabel("Training step")
    style.percent_axis(axis.yaxis)


def _drift(axis: Axes, drift: pd.DataFrame) -> None:
    """Reward and accuracy of the training samples, every step as it was measured."""
    for iteration, line in drift.groupby("iteration"):
        color, _ = _look(int(iteration))
        line = line.sort_values("step")
        axis.plot(line["step"], line["reward"], color=color, linewidth=1.0)
        axis.plot(line["step"], line["correct"], color=color, linewidth=1.0, linestyle=(0, (1, 1)))
    axis.set_title("On the training samples (%)")
    axis.set_xlabel("Training step")
    style.percent_axis(axis.yaxis)


def _handles(curves: pd.DataFrame) -> list[Line2D]:
    looks = [(int(iteration), *_look(int(iteration))) for iteration in sorted(curves["iteration"].unique())]
    lines = [Line2D([], [], color=color, marker=marker, markersize=3.5, label=f"iteration {i}") for i, color, marker in looks]
    grey = "#555555"
    return [
        *lines,
        Line2D(
            [],
            [],
            color=grey,
            marker="o",
            mfc="white",
            markersize=3.5,
            linestyle=CONTROL_LINE,
            label="control: old reward model",
        ),
        Line2D([], [], color=grey, label="right panel: mean reward"),
        Line2D([], [], color=grey, linestyle=(0, (1, 1)), label="right panel: right answers"),
    ]


def _look(iteration: int) -> tuple[str, str]:
    return COLORS[iteration % len(COLORS)], MARKERS[iteration % len(MARKERS)]


def _caption(curves: pd.DataFrame, source: inputs.Input) -> list[str]:
    options = source.provenance.get("iterate", {})
    seeds = " ".join(str(seed) for seed in source.provenance.get("seeds", []))
    few = int(curves["num_seeds"].max()) < FEWEST_SEEDS
    over = f" only (fewer than {FEWEST_SEEDS} training seeds)" if few else " and training seeds"
    return [
        f"**Iterative RL.** {begun(accuracy_words(curves))} by training step. Iteration i + 1 starts from iteration i's policy",
        f"after {options.get('steps', '?')} steps; reference {options.get('reference', '?')}, reward model",
        f"{options.get('reward_model', '?')} (replayed share of its mix: {options.get('replay', '?')}). Dashed: the control,",
        "which goes on with the old reward model on the same prompts. Right: mean reward that the reward model gives to the",
        "training samples (solid) and the share of them that is right (dotted), step by step: the gap between the two is",
        "the reward model's drift.",
        f"Bands are 95 % intervals over problems{over}; seeds: {seeds}.",
        inputs.starts_sentence(source),
        inputs.status_sentence(source),
        inputs.source_sentence(source),
    ]
