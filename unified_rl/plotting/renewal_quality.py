"""What a renewed reward model gained, against how good the one before it was: when does renewal help?"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from unified_rl.plotting import inputs, style
from unified_rl.plotting.output import save
from unified_rl.statistics.curve_words import accuracy_words, begun

INPUTS = ("renewals.csv", "renewal_quality.csv")
GAIN_COLUMNS = ("label", "baseline", "slice", "estimate", "low", "high", "num_problems", "num_seeds")
QUALITY_COLUMNS = ("label", "iteration", "within_auc", "within_auc_low", "within_auc_high")


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw renewal_quality.pdf/.png/.md: a panel per slice, a point per arm.

    Raises:
        DataError: a table is missing or has no numbers.
    """
    source = inputs.load(tables, INPUTS[0], GAIN_COLUMNS)
    gains = inputs.with_numbers(source, "estimate")
    gains = gains[gains["label"] == gains["baseline"]]
    quality = inputs.with_numbers(inputs.load(tables, INPUTS[1], QUALITY_COLUMNS), "within_auc")
    first = quality[quality["iteration"] == 0].set_index("label")
    looks, slices = style.styles(gains["label"].unique()), list(gains.groupby("slice", sort=False))
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, 3.2), layout="constrained")
        axes = figure.subplots(1, len(slices), squeeze=False, sharey=True)[0]
        for axis, (name, part) in zip(axes, slices, strict=True):
            axis.axhline(0, color="#000000", linewidth=0.6)
            for row in part.to_dict("records"):
                if row["label"] not in first.index:
                    continue
                at, look = first.loc[row["label"]], looks[row["label"]]
                axis.plot([at["within_auc"]] * 2, [row["low"], row["high"]], color=look.color, linewidth=1)
                axis.plot([at["within_auc_low"], at["within_auc_high"]], [row["estimate"]] * 2, color=look.color, linewidth=0.5)
                axis.plot(
                    at["within_auc"], row["estimate"], label=row["label"], color=look.color, marker=look.marker, linestyle=""
                )
            axis.set_title(f"{name} problems (validation, n = {int(part['num_problems'].max())})")
            axis.set_xlabel("initial reward model: AUC within a problem")
            style.percent_axis(axis.yaxis, signed=True)
        axes[0].set_ylabel("Gain of the first renewal (points)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        caption = [
            "**What a renewal gained, against the reward model before it.**",
            f"{begun(accuracy_words(gains))} of the iteration with the renewed reward model minus that of its control,",
            "which goes on with the old one; vertical: 95 % intervals over problems and",
            f"seeds; horizontal: range over seeds. Seeds: {int(gains['num_seeds'].max())}. AUC within a problem: of the initial",
            "reward model on held-out responses, among those to one problem; 0.5 is chance.",
            inputs.starts_sentence(source),
            inputs.status_sentence(source),
            inputs.source_sentence(source),
        ]
        return save(figure, out, "renewal_quality", caption)
