"""How often wrong answers have the form on which a judge errs, by policy: who has found it, beside the start."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from unified_rl.plotting import inputs, style
from unified_rl.plotting.output import save

INPUTS = ("wrong_forms.csv",)
COLUMNS = ("label", "baseline", "slice", "form", "measure", "estimate", "low", "high", "num_seeds")


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw wrong_forms.pdf/.png/.md from wrong_forms.csv: a panel per slice, a line per policy.

    Raises:
        DataError: the table is missing or has no numbers.
    """
    source = inputs.load(tables, INPUTS[0], COLUMNS)
    table = inputs.with_numbers(source, "estimate")
    levels = table[(table["measure"] == "of_wrong") & (table["baseline"].fillna("") == "")]
    slices, labels = list(levels.groupby("slice", sort=False)), list(dict.fromkeys(levels["label"]))
    looks, start = style.styles(labels), source.provenance.get("baseline")
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, 0.9 + 0.22 * len(labels)), layout="constrained")
        axes = figure.subplots(1, len(slices), squeeze=False, sharey=True)[0]
        for axis, (name, part) in zip(axes, slices, strict=True):
            for place, label in enumerate(labels):
                row = part[part["label"] == label]
                if row.empty:
                    continue
                color = looks[label].color
                axis.plot(row["low"].tolist() + row["high"].tolist(), [place, place], color=color, linewidth=1)
                axis.plot(row["estimate"], [place], color=color, marker=looks[label].marker, linestyle="")
            for value in part[part["label"] == start]["estimate"]:
                axis.axvline(value, color="#000000", linewidth=0.6)
            axis.set_title(f"{name} problems")
            axis.set_xlabel("Wrong answers of the form (%)")
            style.percent_axis(axis.xaxis)
        axes[0].set_yticks(range(len(labels)), labels)
        axes[0].invert_yaxis()
        return save(figure, out, "wrong_forms", _caption(table, source))


def _caption(table: pd.DataFrame, source: inputs.Input) -> list[str]:
    return [
        "**Who has found the form.** Of the wrong samples of the final evaluation the share that has the form on which the judge",
        f"errs, `{table['form'].iloc[0]}`; the vertical line is that of the policies from which arms start. Points are means over",
        f"seeds, lines 95 % intervals over seeds. Seeds: {int(table['num_seeds'].max())}.",
        inputs.starts_sentence(source),
        inputs.status_sentence(source),
        inputs.source_sentence(source),
    ]
