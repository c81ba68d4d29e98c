"""Gradient given to a prompt against its pass rate: measured on rollouts, beside the theoretical curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unified_rl.plotting import inputs, style
from unified_rl.plotting.made_by import load
from unified_rl.plotting.output import save

INPUTS = ("pass_rate.csv",)
MADE_BY = "unified-rl pass-rate run=RUN out=DIR"
COLUMNS = ("label", "quantity", "kind", "p", "value", "low", "high", "num_prompts")
NUM_COLUMNS = 4
LOOKS = {
    "weight": style.Style("#0072B2", "o"),
    "mass": style.Style("#D55E00", "s", (0, (5, 1.5))),
}
WORDS = {"weight": "weight on grad p", "mass": "mean |GC|"}
LIMIT: dict[str, Any] = {"color": "0.5", "linestyle": (0, (1, 1.2)), "linewidth": 1.2}
HIGHEST = 1.35  # of a panel, in multiples of what was measured: limits go to infinity


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw pass_rate.pdf/.png/.md from pass_rate.csv: a panel per method; methods with the same numbers share one.

    Raises:
        DataError: the table is missing or has no numbers.
    """
    source = load(tables, INPUTS[0], COLUMNS, MADE_BY)
    panels = shared_panels(inputs.with_numbers(source, "value"))
    columns = min(NUM_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, 0.75 + 1.6 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
        for axis, (labels, part) in zip(axes.flat, panels, strict=False):
            _panel(axis, part)
            axis.set_title(", ".join(labels))
        for axis in list(axes.flat)[len(panels) :]:
            axis.set_visible(False)
        for column in range(columns):
            last = max(row for row in range(rows) if row * columns + column < len(panels))
            axes[last, column].tick_params(labelbottom=True)
            axes[last, column].set_xlabel("Pass rate p (%)")
        entries: dict[str, Artist] = {}
        for axis in axes.flat:
            entries |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
        figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=3)
        return save(figure, out, "pass_rate", _caption(source))


def shared_panels(table: pd.DataFrame) -> list[tuple[list[str], pd.DataFrame]]:
    """Labels with their rows; labels with the same numbers (on the same rollouts) together."""
    found: list[tuple[list[str], pd.DataFrame]] = []
    for label, part in table.groupby("label", sort=False):
        part = part.drop(columns="label").reset_index(drop=True)
        same = [labels for labels, other in found if other.equals(part)]
        if same:
            same[0].append(str(label))
        else:
            found.append(([str(label)], part))
    return found


def _panel(axis: Axes, part: pd.DataFrame) -> None:
    limit = part[(part["kind"] == "limit") & (part["quantity"] == "weight")]
    axis.plot(limit["p"], limit["value"], **LIMIT, label=f"{WORDS['weight']}, theory, limit")
    for quantity, look in LOOKS.items():
        rows = part[part["quantity"] == quantity]
        theory, measured = rows[rows["kind"] == "exact"], rows[rows["kind"] == "measured"]
        axis.plot(theory["p"], theory["value"], color=look.color, linestyle=look.linestyle, label=f"{WORDS[quantity]}, theory")
        axis.errorbar(
            measured["p"], measured["value"], yerr=[measured["value"] - measured["low"], measured["high"] - measured["value"]],
            color=look.color, marker=look.marker, markersize=3.2, linestyle="none", elinewidth=0.9,
            label=f"{WORDS[quantity]}, measured",
        )  # fmt: skip
    measured = part[part["kind"] == "measured"]
    top = max(measured["value"].max(), measured["high"].max()) * HIGHEST or 1.0
    axis.set_ylim(min(0.0, 1.1 * measured["low"].min()) - 0.03 * top, top)
    axis.set_xlim(0, 1)
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1])
    style.percent_axis(axis.xaxis)


def _caption(source: inputs.Input) -> list[str]:
    facts = source.provenance
    theory = [label for label, kind in facts.get("supervision", {}).items() if kind != "process"]
    without = [label for label in facts.get("coefficients", {}) if label not in set(_with_theory(source.table)) & set(theory)]
    return [
        "**Gradient that a prompt receives, by its pass rate p.** Weight on grad p: mean coefficient of the prompt's right",
        "responses minus that of its wrong ones (a response's coefficient is the mean over its tokens, all terms together); if it",
        "depends on a response only through its being right, this is w(p) in E[the prompt's gradient] = w(p) grad p. Mean |GC|:",
        "over all its responses. Points: means over the prompts of a bin of p, with",
        f"{100 * facts.get('confidence', 0.95):g} % t-intervals over prompts; p is the share of right ones among the prompt's",
        f"{facts.get('samples', '?')} responses, and the groups of {facts.get('group_size', '?')} are parts of these.",
        f"{facts.get('mixed_prompts', '?')} of {facts.get('prompts', '?')} prompts ({facts.get('split', '?')}) have right and",
        "wrong responses; the others have no weight and are left out. Lines: expectation of the same numbers by formula, for",
        "rewards of 0 and 1 and without KL; dotted: w(p) without bound on samples and group size (GRPO, DAPO: 1/sqrt(p (1 - p))).",
        f"No curve for {', '.join(without)}: coefficients there depend on more than the verdict." if without else "",
        "DAPO's source would replace groups whose rewards agree; here its coefficient alone is measured. Methods with the same",
        f"numbers share a panel. Policy: {facts.get('policy', '?')}; reference: {facts.get('reference', '?')}; PPO's value",
        f"model: {facts.get('values', '?')}. Temperature {facts.get('temperature', '?')}, seed {facts.get('seed', '?')}.",
        f"Source: {source.path.name}; code commit {', '.join(c[:12] for c in facts.get('commits', [])) or 'not recorded'}; made",
        f"by `{facts.get('command', '?')}`.",
    ]


def _with_theory(table: pd.DataFrame) -> list[str]:
    return list(table.loc[table["kind"] == "exact", "label"].unique())
