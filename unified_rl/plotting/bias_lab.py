"""The figures of the bias laboratory: one per question, a panel per quantity; and all rows against all objectives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unified_rl.plotting import inputs, style
from unified_rl.plotting.made_by import load
from unified_rl.plotting.output import save

MADE_BY = "unified-rl bias-lab out=DIR"
COLUMNS = ("panel", "label", "x", "value")
ROW_COLUMNS = ("label", "claims", "objective", "cosine", "noise")
PER_ROW = 3


@dataclass(frozen=True)
class Look:
    """How a question is drawn: the words of its axes, their scales, and what its caption says."""

    x: str
    y: str
    caption: str
    x_scale: str = "linear"
    y_scale: str = "linear"


_BIAS = (
    "Bias: the distance of the expected gradient from grad p over the length of grad p. Noise: variance over squared length."
)
LOOKS = {
    "weight": Look(
        "Success rate p", "Weight on grad p", "What each estimator multiplies grad p by, for advantages of rewards alone.", "logit",
        "log",
    ),
    "group_size": Look("Group size G", "", "Bias of direction, and noise times G: that of equally many responses.", "log"),
    "length": Look("Length |o|", "Push per token, relative", "Mean push on a response's tokens over that of constant_length."),
    "aggregation": Look("Success rate p", "1 - cosine with grad p", "Bias of direction that averaging alone makes.", "logit"),
    "kl": Look("Distance of the reference", "Cosine", "What a KL term follows in expectation, all rewards being 0."),
    "staleness": Look("Distance of the sampler", "", _BIAS),
    "temperature": Look("Temperature of the sampler", "", _BIAS),
    "top_p": Look("top_p of the sampler", "", _BIAS),
    "truncation": Look("Share of truncated responses", "1 - cosine with grad p", "Bias of direction that each treatment makes."),
    "dialects": Look("Distance of the sampler", "", "GRPO as each project has it by default, one update, no recipes."),
}  # fmt: skip


def draw_one(question: str, tables: Path | str, out: Path | str) -> list[Path]:
    """Draw bias_QUESTION.pdf/.png/.md from its table.

    Raises:
        DataError: the table is missing or has no numbers.
    """
    if question == "rows":
        return _draw_rows(tables, out)
    look = LOOKS[question]
    source = load(tables, f"bias_{question}.csv", COLUMNS, MADE_BY)
    table = inputs.with_numbers(source, "value")
    panels = [(str(name), part) for name, part in table.groupby("panel", sort=False)]
    looks = style.styles(dict.fromkeys(table["label"]))
    columns = min(PER_ROW, len(panels))
    rows = -(-len(panels) // columns)
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, 1.1 + 1.8 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=bool(look.y))
        for axis, (name, part) in zip(axes.flat, panels, strict=False):
            _panel(axis, name, part, look, looks)
        for axis in list(axes.flat)[len(panels) :]:
            axis.set_visible(False)
        entries: dict[str, Artist] = {}
        for axis in axes.flat:
            entries |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
        figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=4)
        return save(figure, out, f"bias_{question}", _caption(source, look.caption))


def _panel(axis: Axes, name: str, part: pd.DataFrame, look: Look, looks: dict[str, style.Style]) -> None:
    for label, line in part.groupby("label", sort=False):
        axis.plot(line["x"], line["value"], label=str(label), **looks[str(label)].line())
    axis.set_title(name)
    axis.set_xlabel(look.x)
    axis.set_ylabel(look.y)
    axis.set_xscale(look.x_scale)
    axis.set_yscale(look.y_scale)
    if look.x_scale == "logit":
        axis.set_xticks([0.01, 0.1, 0.5, 0.9, 0.99], ["0.01", "0.1", "0.5", "0.9", "0.99"], minor=False)
        axis.xaxis.set_minor_formatter("")
    if look.x_scale == "log":
        ticks = sorted(set(part["x"]))
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
        axis.xaxis.set_minor_formatter("")


def _draw_rows(tables: Path | str, out: Path | str) -> list[Path]:
    source = load(tables, "bias_rows.csv", ROW_COLUMNS, MADE_BY)
    table = inputs.with_numbers(source, "cosine")
    cosines = table.pivot_table(index="label", columns="objective", values="cosine", sort=False)
    claims = table.drop_duplicates("label").set_index("label")["claims"]
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, 0.9 + 0.155 * len(cosines)), layout="constrained")
        axis = figure.subplots()
        axis.grid(False)
        image = axis.imshow(cosines, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
        axis.set_xticks(range(len(cosines.columns)), [str(name) for name in cosines.columns])
        axis.set_yticks(range(len(cosines)), [str(label) for label in cosines.index], fontsize=6)
        for row, (label, values) in enumerate(cosines.iterrows()):
            for column, (objective, value) in enumerate(values.items()):
                claimed = claims[label] == objective
                weight, color = "bold" if claimed else "normal", "white" if abs(value) > 0.7 else "black"
                place = {"ha": "center", "va": "center"}
                axis.text(column, row, f"{value:.3f}", fontsize=6, weight=weight, color=color, **place)  # type: ignore[arg-type]
        figure.colorbar(image, ax=axis, label="Cosine with the objective's gradient", shrink=0.5)
        said = "Cosine of every row's expected gradient with that of each objective; bold: the one that it claims."
        return save(figure, out, "bias_rows", _caption(source, said))


def _caption(source: inputs.Input, said: str) -> list[str]:
    facts = source.provenance
    return [
        f"**{said}** Exact expectations over all groups of {facts.get('group', '?')} responses (where the axis is not G) on a",
        f"problem of at most three tokens, success rate {facts.get('success', '?')}; no sampling, no intervals.",
        f"Source: {source.path.name}; code commit {', '.join(c[:12] for c in facts.get('commits', [])) or 'not recorded'}; made by",
        f"`{facts.get('command', '?')}`.",
    ]
