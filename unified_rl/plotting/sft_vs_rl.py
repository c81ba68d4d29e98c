"""Maj@K and Pass@K of the SFT policy and of one RL method in one panel per slice (the form of the paper's Figure 7)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from unified_rl.base.errors import DataError
from unified_rl.plotting import inputs, style
from unified_rl.plotting.maj_pass import COLUMNS, caption, draw_line, finish_axis
from unified_rl.plotting.output import save

INPUTS = ("pass_maj.csv",)
BASELINE_METHOD = "sft_policy"
#: The paper's RL model is GRPO; with process supervision, as its released model. Otherwise the first of these that was run.
PREFERRED = ("GRPO+PS", "GRPO+OS", "PPO", "Online RFT")
LINES: dict[str, tuple[str, style.LineStyle]] = {"pass": ("Pass@K", "-"), "maj": ("Maj@K", (0, (3, 1.2)))}


def draw(tables: Path | str, out: Path | str, label: str | None = None) -> list[Path]:
    """Draw sft_vs_rl.pdf/.png/.md from pass_maj.csv.

    Args:
        label: the method to set against the SFT policy; None for the first of `PREFERRED` (else any) that has numbers.

    Raises:
        DataError: the table is missing, or lacks the SFT policy or the method.
    """
    source = inputs.load(tables, INPUTS[0], COLUMNS)
    table, pair = choose_pair(source, label)
    looks = style.styles(pair)
    slices = list(table.groupby(["split", "slice"], sort=False))
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH if len(slices) > 1 else style.COLUMN_WIDTH, 2.9), layout="constrained")
        axes = figure.subplots(1, len(slices), squeeze=False)[0]
        for axis, ((split, slice_name), part) in zip(axes, slices, strict=True):
            for name in pair:
                for metric, (words, linestyle) in LINES.items():
                    line = part[(part["label"] == name) & (part["metric"] == metric)]
                    if len(line):
                        shown = inputs.legend_label(name, line["status"].iloc[0])
                        draw_line(axis, line, looks[name], f"{words}, {shown}", linestyle)
            finish_axis(axis, part["k"])
            axis.set_title(f"{slice_name} problems ({split}, n = {int(part['num_problems'].max())})")
            axis.set_xlabel("K: sampled answers per problem")
        axes[0].set_ylabel("Accuracy (%)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4 if len(slices) > 1 else 2)
        return save(figure, out, "sft_vs_rl", caption(f"{pair[0]} and {pair[1]}: Maj@K and Pass@K.", table, source))


def choose_pair(source: inputs.Input, label: str | None = None) -> tuple[pd.DataFrame, list[str]]:
    """The rows of the SFT policy and of one method, and their two labels, the SFT policy's first. label: see `draw`."""
    table = inputs.with_numbers(source, "estimate")
    baseline = table.loc[table["method"] == BASELINE_METHOD, "label"].unique()
    others = [name for name in table["label"].unique() if name not in baseline]
    chosen = label or next((name for name in PREFERRED if name in others), others[0] if others else None)
    if not len(baseline) or chosen not in others:
        raise DataError(
            f"{source.path} has samples of {', '.join(table['label'].unique())}; this figure needs the SFT policy and "
            f"{chosen or 'an RL method'}: evaluate both (the first is a run of method=sft trainer.steps=0), and make the "
            "tables again"
        )
    pair = [baseline[0], chosen]
    return table[table["label"].isin(pair)], pair
