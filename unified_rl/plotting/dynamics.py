"""What training did, step by step: reward, KL to the reference, entropy, length, truncation, clipping, gradient norm."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unified_rl.base.errors import DataError
from unified_rl.plotting import inputs, style
from unified_rl.plotting.output import save

INPUTS = ("dynamics.csv",)
COLUMNS = ("label", "seed", "step", "num_seeds", "status")
POOLED = "all"
#: Column -> title of its panel, and whether it is a share (shown in percent).
PANELS = {
    "reward": ("Mean reward", False),
    "false_positive": ("Wrong answers accepted, %", True),
    "false_negative": ("Right answers rejected, %", True),
    "wrong_of_form": ("Wrong answers of the form, %", True),
    "kl": ("KL to the reference (k3), nats/token", False),
    "entropy": ("Entropy, nats/token", False),
    "length": ("Response length, tokens", False),
    "truncated": ("Truncated responses, %", True),
    "clip_fraction": ("Clipped tokens, %", True),
    "grad_norm": ("Gradient norm before clipping", False),
}
#: How the column of one of several rewards begins; its name follows.
NAMED = "reward_"
LOGARITHMIC = frozenset({"kl"})  # it grows by orders of magnitude
NUM_COLUMNS = 3
LONGEST_OF_FOUR = 18  # characters of a label, where a legend has four columns


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw dynamics.pdf/.png/.md from dynamics.csv: a panel per quantity that any run has.

    Raises:
        DataError: the table is missing or has no numbers.
    """
    source = inputs.load(tables, INPUTS[0], COLUMNS)
    table = inputs.with_numbers(source, "step")
    table = table[table["seed"] == POOLED]
    shown = [name for name in (*PANELS, *_named(table)) if name in table and table[name].notna().any()]
    flat = [name for name in shown if table[name].dropna().eq(0).all()]  # a line at 0 shows nothing: the caption says it
    shown = [name for name in shown if name not in flat]
    if not shown:
        raise DataError(f"{source.path} has none of {', '.join(PANELS)}: nothing to draw")
    columns = min(NUM_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, 0.6 + 1.75 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for axis, name in zip(axes.flat, shown, strict=False):
            _panel(axis, table, name)
        for axis in list(axes.flat)[len(shown) :]:
            axis.set_visible(False)
        entries: dict[str, Artist] = {}
        for axis in axes.flat:
            entries |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
        columns = 4 if max(map(len, entries)) <= LONGEST_OF_FOUR else 2
        figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns)
        return save(figure, out, "dynamics", _caption(table, source, flat))


def _named(table: pd.DataFrame) -> list[str]:
    """The columns of several rewards, each under its name."""
    return [name for name in table if name.startswith(NAMED) and not name.endswith("_sd")]


def _title(name: str) -> tuple[str, bool]:
    """The title of a column's panel, and whether it is a share."""
    return PANELS.get(name, (f"Mean reward: {name.removeprefix(NAMED)}", False))


def _panel(axis: Axes, table: pd.DataFrame, name: str) -> None:
    title, share = _title(name)
    looks = style.styles(table["label"].unique())
    for label, look in looks.items():
        line = table[(table["label"] == label) & table[name].notna()].sort_values("step")
        if line.empty:
            continue
        if name in LOGARITHMIC:
            line = line[line[name] > style.LEAST_KL]
        elif len(looks) <= style.MOST_BANDS:
            low, high = line[name] - line[f"{name}_sd"], line[name] + line[f"{name}_sd"]
            low = low.clip(lower=0) if share else low
            axis.fill_between(line["step"], low, high, color=look.color, alpha=style.BAND_ALPHA, linewidth=0)
        every = max(1, len(line) // 5)
        shown = inputs.legend_label(label, line["status"].iloc[0])
        axis.plot(line["step"], line[name], label=shown, markevery=every, **look.line() | {"linewidth": 1.0})
    axis.set_title(title)
    axis.set_xlabel("Training step")
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if share:
        style.percent_axis(axis.yaxis)
    if name in LOGARITHMIC and axis.has_data():
        axis.set_yscale("log")


def _caption(table: pd.DataFrame, source: inputs.Input, flat: list[str]) -> list[str]:
    seeds = " ".join(str(seed) for seed in source.provenance.get("seeds", []))
    most = int(table["num_seeds"].max())
    banded = table["label"].nunique() <= style.MOST_BANDS
    sd = "one standard deviation of the seeds to either side"
    spread = (
        f"bands are {sd} (none on the logarithmic axis)" if banded else f"{sd} is in the table: so many bands hide each other"
    )
    over = (
        f"Lines are means over up to {most} seeds ({seeds}); {spread}" if most > 1 else f"One training seed ({seeds}): no bands"
    )
    zero = [_title(name)[0].split(",")[0] for name in flat]
    return [
        "**Training dynamics.** Means over the responses that each step trains on: the policy's own for online methods, stored",
        "samples or demonstrations for offline ones (their reward, length and truncation are then those of the data; SFT has no",
        "reward: 0).",
        f"{over}. Every step as it was measured, nothing is smoothed; KL is on a logarithmic axis. A method without a",
        "reference policy has no KL.",
        inputs.starts_sentence(source),
        f"Zero at every step, and not drawn: {', '.join(zero)}." if zero else "",
        inputs.status_sentence(source),
        inputs.source_sentence(source),
    ]
