"""Pass@K beside CoT-Pass@K of every policy against K: how much of what RL reaches is reached by right reasoning?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from unified_rl.plotting import inputs, style
from unified_rl.plotting.maj_pass import draw_line, finish_axis
from unified_rl.plotting.output import save

INPUTS = ("cot_pass.csv",)
COLUMNS = (
    *("label", "method", "slice", "split", "k", "metric", "estimate", "low", "high"),
    *("num_problems", "num_seeds", "num_samples", "temperature", "status"),
)
LINES: dict[str, tuple[str, style.LineStyle]] = {"pass": ("Pass@K", "-"), "cot_pass": ("CoT-Pass@K", (0, (3, 1.5)))}


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw cot_pass.pdf/.png/.md from cot_pass.csv: a row of panels per slice, a panel per policy.

    Raises:
        DataError: the table is missing or has no numbers.
    """
    source = inputs.load(tables, INPUTS[0], COLUMNS)
    table = inputs.with_numbers(source, "estimate")
    table = table[table["metric"].isin(LINES)]
    slices, labels = list(table.groupby(["split", "slice"], sort=False)), list(style.styles(table["label"].unique()))
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, 0.6 + 1.9 * len(slices)), layout="constrained")
        axes = figure.subplots(len(slices), len(labels), squeeze=False, sharex=True, sharey="row")
        for row, ((split, slice_name), part) in enumerate(slices):
            for axis, (label, look) in zip(axes[row], style.styles(labels).items(), strict=True):
                of_label = part[part["label"] == label]
                for metric, (name, linestyle) in LINES.items():
                    line = of_label[of_label["metric"] == metric]
                    draw_line(axis, line, replace(look, linestyle=linestyle), name, linestyle)
                finish_axis(axis, part["k"])
                axis.set_title(label)
            axes[row, 0].set_ylabel(f"{slice_name} problems ({split}, %)")
        for axis in axes[-1]:
            axis.set_xlabel("K")
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2)
        caption = [
            "**Pass@K and CoT-Pass@K.** Solid: chance that one of K sampled answers is right; broken: that one is right and so",
            "is every one of its steps, by the task's exact checker; both exact expectations over all K-subsets of the samples.",
            inputs.intervals_sentence("Bands", table, source),
            inputs.status_sentence(source),
            inputs.source_sentence(source),
        ]
        return save(figure, out, "cot_pass", caption)
