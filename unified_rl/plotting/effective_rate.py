"""Accuracy against updates, and against KL moved: do two methods at several rates walk one path?"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from unified_rl.plotting import inputs, style
from unified_rl.plotting.output import save
from unified_rl.statistics.curve_words import accuracy_words, begun

INPUTS = ("effective_paths.csv",)
COLUMNS = ("label", "seed", "slice", "step", "kl", "accuracy", "num_seeds")
POOLED = "all"


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw effective_rate.pdf/.png/.md from effective_paths.csv: a row per slice, updates left, KL moved right.

    Raises:
        DataError: the table is missing or has no numbers.
    """
    source = inputs.load(tables, INPUTS[0], COLUMNS)
    table = inputs.with_numbers(source, "accuracy")
    looks = style.styles(table["label"].unique())
    slices = list(table.groupby("slice", sort=False))
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, 0.9 + 2.1 * len(slices)), layout="constrained")
        axes = figure.subplots(len(slices), 2, squeeze=False, sharey="row")
        for row, (name, part) in enumerate(slices):
            for axis, across, words in zip(
                axes[row], ("step", "kl"), ("Updates", "KL from the start (nats per token)"), strict=True
            ):
                for label, look in looks.items():
                    of_label = part[part["label"] == label]
                    for seed, line in of_label.groupby("seed", sort=False):
                        line = line.sort_values("step")
                        if seed == POOLED:
                            axis.plot(line[across], line["accuracy"], label=label, **look.line())
                        else:
                            axis.plot(line[across], line["accuracy"], color=look.color, linewidth=0.4, alpha=0.35)
                style.percent_axis(axis.yaxis)
                axis.set_xlabel(words if row == len(slices) - 1 else "")
            axes[row, 0].set_ylabel(f"{name} problems (%)")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        seeds = ", ".join(f"{label} {int(rows['num_seeds'].max())}" for label, rows in table.groupby("label", sort=False))
        caption = [
            f"**Accuracy against updates and against KL moved.** {begun(accuracy_words(table))}, on validation problems,",
            "along training; right: against the largest KL(policy || start) so far, per response token of the policy's own samples",
            "(k3), up to the last policy of which it is known. Thick: mean over seeds, of KL and of accuracy, at equal steps;",
            f"thin: each seed. Seeds: {seeds}. Paths that coincide on the right differ in nothing but how fast they are walked;",
            "differences there, with intervals, are in effective_rate.csv.",
            inputs.status_sentence(source),
            inputs.source_sentence(source),
        ]
        return save(figure, out, "effective_rate", caption)
