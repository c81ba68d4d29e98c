"""Paired differences between policies, one row per pair; coloured is what stands after the correction for many comparisons."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unified_rl.plotting import inputs, style
from unified_rl.plotting.output import save
from unified_rl.statistics.intervals import FEWEST_SEEDS

INPUTS = ("contrasts.csv",)
COLUMNS = ("label", "baseline", "slice", "metric", "k", "estimate", "low", "high", "verdict", "num_problems", "num_seeds")
METRICS = {"greedy": "greedy", "avg": "avg@1", "maj": "Maj@{k}", "pass": "Pass@{k}", "cot_pass": "CoT-Pass@{k}"}
#: The table of a grid's planned comparisons, which has Holm's decisions.
OPTIONAL_INPUTS = ("grid_contrasts.csv",)
KEY = ["label", "baseline", "slice", "metric"]
COLORS = {"above": "#0072B2", "below": "#D55E00"}
GREY = "#8A8A8A"
ROW_HEIGHT = 0.24  # inches


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw contrasts.pdf/.png/.md: a panel per slice and metric (greedy or CoT-Pass@K, and Pass@K), a row per pair.

    Raises:
        DataError: the table is missing or has no numbers.
    """
    source = inputs.load(tables, INPUTS[0], COLUMNS)
    table, corrected = _decided(inputs.with_numbers(source, "estimate"), Path(tables) / OPTIONAL_INPUTS[0])
    there = set(table["metric"])  # where right reasoning is what is asked, it stands beside Pass@K
    metrics = [name for name in (("pass", "cot_pass") if "cot_pass" in there else ("greedy", "pass")) if name in there]
    slices = list(table["slice"].drop_duplicates())
    pairs = list(dict.fromkeys(zip(table["label"], table["baseline"], strict=True)))
    columns = [(slice_name, metric) for metric in metrics for slice_name in slices]
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, 1.1 + ROW_HEIGHT * len(pairs)), layout="constrained")
        axes = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
        for axis, (slice_name, metric) in zip(axes, columns, strict=True):
            part = table[(table["slice"] == slice_name) & (table["metric"] == metric)]
            _panel(axis, part, pairs)
            axis.set_title(f"{_name(metric, part)}, {slice_name}")
        axes[0].set_yticks(range(len(pairs)), [f"{label}  minus  {baseline}" for label, baseline in pairs])
        axes[0].invert_yaxis()
        figure.supxlabel("Difference in accuracy (percentage points)", fontsize="medium")
        return save(figure, out, "contrasts", _caption(table, source, corrected))


def _decided(table: pd.DataFrame, planned: Path) -> tuple[pd.DataFrame, bool]:
    """The rows with what is decided of each: "above", "below" or anything else; and whether that is after a correction."""
    if planned.exists():
        decisions = inputs.load(planned.parent, planned.name, (*KEY, "decision")).table[[*KEY, "decision"]]
        found = table.merge(decisions, on=KEY, how="left")
        if found["decision"].notna().any():
            return found, True
    return table.assign(decision=table["verdict"].map({"above 0": "above", "below 0": "below"})), False


def _name(metric: str, part: pd.DataFrame) -> str:
    k = part["k"].dropna()
    return METRICS[metric].format(k=int(k.iloc[0]) if len(k) else "K")


def _panel(axis: Axes, part: pd.DataFrame, pairs: list[tuple[str, str]]) -> None:
    axis.axvline(0, color="#000000", linewidth=0.6)
    for row in part.to_dict("records"):
        place, color = pairs.index((row["label"], row["baseline"])), COLORS.get(row["decision"], GREY)
        axis.plot([row["low"], row["high"]], [place, place], color=color, linewidth=1.6)
        axis.plot(row["estimate"], place, marker="o", markersize=4, color=color)
    style.percent_axis(axis.xaxis, signed=True)
    axis.grid(axis="y", visible=False)


def _caption(table: pd.DataFrame, source: inputs.Input, corrected: bool) -> list[str]:
    seeds = sorted(set(table["num_seeds"].astype(int)))
    problems = ", ".join(f"{name} {count}" for name, count in table.groupby("slice", sort=False)["num_problems"].max().items())
    over = f"problems and {seeds[-1]} training seeds, crossed"
    if seeds[-1] < FEWEST_SEEDS:
        over = f"problems only ({'one training seed' if seeds == [1] else 'two training seeds, too few to speak of others'})"
    colours = (
        "Blue (above 0) and orange (below) stand after Holm's correction over the planned comparisons; grey do not, or "
        "were not planned, also where their interval leaves 0 out."
        if corrected
        else "Blue: the interval lies above 0; orange: below; grey: it includes 0. Not corrected for the number of comparisons."
    )
    named = " ".join(str(seed) for seed in source.provenance.get("seeds", [])) or "not recorded"
    return [
        f"**Paired differences.** Accuracy of one policy minus another's on the same problems and seeds. {colours}",
        f"Bars are 95 % intervals over {over} (seeds: {named}), each by itself. Problems: {problems}.",
        inputs.starts_sentence(source),
        inputs.variance_sentence(table),
        inputs.status_sentence(source),
        inputs.source_sentence(source),
    ]
