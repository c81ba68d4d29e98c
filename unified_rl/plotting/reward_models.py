"""Reward models on the tiny world, where an exact step checker knows the truth: label quality, calibration, discrimination, use.

`unified-rl figures reward_models tables=DIR out=DIR` draws it from the reward_models.csv of
`statistics.reward_models`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from unified_rl.base.errors import DataError
from unified_rl.plotting import inputs, style
from unified_rl.plotting.output import save

INPUTS = ("reward_models.csv",)
COLUMNS = ("measure", "subject", "kind", "reduction", "n", "k", "bin", "predicted", "estimate", "low", "high", "num_problems")
MAKE_COMMAND = "unified-rl reward-models"

LABELS = {
    "hard": style.Style("#0072B2", "o"),
    "soft": style.Style("#E69F00", "s", (0, (4, 1.5))),
}
LABEL_WORDS = {"hard": "hard: any completion is right", "soft": "soft: at least half of them are"}
MODELS = (
    style.Style("#009E73", "D", (0, (6, 1.5))),
    style.Style("#D55E00", "^"),
    style.Style("#CC79A7", "P", (0, (4, 1, 1, 1))),
    style.Style("#56B4E9", "v", (0, (2, 1))),
    style.Style("#882255", "h"),
)
CHANCE = style.Style("#767676", "x", (0, (1.5, 1.2)))
PERFECT = style.Style("#000000", "", (0, (4, 1.5)))


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw reward_models.pdf/.png/.md from reward_models.csv.

    Raises:
        DataError: the table is missing or lacks a column.
    """
    if not (Path(tables) / INPUTS[0]).exists():
        raise DataError(f"{Path(tables) / INPUTS[0]} does not exist; make it with: {MAKE_COMMAND}")
    source = inputs.load(tables, INPUTS[0], COLUMNS)
    table = source.table
    models = list(source.provenance["models"])
    looks = {model: MODELS[place % len(MODELS)] for place, model in enumerate(models)}
    with style.sheet():
        figure = Figure(figsize=(style.FULL_WIDTH, 5.3), layout="constrained")
        axes = figure.subplots(2, 2)
        draw_labels(axes[0, 0], table)
        draw_reliability(axes[0, 1], table, looks)
        draw_discrimination(axes[1, 0], table, looks)
        draw_best_of_k(axes[1, 1], table, looks)
        return save(figure, out, "reward_models", caption(table, source))


def draw_labels(axis: Axes, table: pd.DataFrame) -> None:
    """Accuracy of Math-Shepherd labels against the number of completions."""
    part = table[table["measure"] == "label_accuracy"]
    for subject, look in LABELS.items():
        _band(axis, part[part["subject"] == subject].sort_values("n"), "n", look, LABEL_WORDS[subject])
    _log2_axis(axis, part["n"])
    axis.set_title("(a) Step labels from completions")
    axis.set_xlabel("N: completions per step")
    axis.set_ylabel("Labels that agree with the\nexact step checker (%)")
    axis.legend(loc="lower left")


def draw_reliability(axis: Axes, table: pd.DataFrame, looks: dict[str, style.Style]) -> None:
    """Observed against predicted, in bins of equal counts."""
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=1)
    part = table[table["measure"] == "reliability"]
    errors = table[table["measure"] == "ece"].set_index("subject")["estimate"]
    for model, look in looks.items():
        line = part[part["subject"] == model].sort_values("bin")
        axis.errorbar(
            line["predicted"], line["estimate"], yerr=_bars(line), label=f"{model} (ECE {100 * errors[model]:.1f} %)",
            elinewidth=0.7, **look.line(),
        )  # fmt: skip
    axis.set_title("(b) Calibration")
    axis.set_xlabel("Predicted chance of being right (%)")
    axis.set_ylabel("Share that is right (%)")
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    style.percent_axis(axis.xaxis)
    style.percent_axis(axis.yaxis)
    axis.legend(loc="upper left")


def draw_discrimination(axis: Axes, table: pd.DataFrame, looks: dict[str, style.Style]) -> None:
    """AUC per step, per answer, and per answer within a problem."""
    groups = (("step_auc", "steps"), ("answer_auc", "answers"), ("answer_auc_within", "answers to\none problem"))
    width = 0.8 / len(looks)
    for place, (model, look) in enumerate(looks.items()):
        rows = [headline(table, measure, model) for measure, _ in groups]
        at = np.arange(len(groups)) + (place - (len(looks) - 1) / 2) * width
        shown = [(x, row) for x, row in zip(at, rows, strict=True) if row is not None]
        if not shown:  # nothing was right, or nothing wrong
            continue
        axis.errorbar(
            [x for x, _ in shown],
            [row["estimate"] for _, row in shown],
            yerr=_bars(pd.DataFrame([row for _, row in shown])),
            **{**look.line(), "linestyle": "none"},
            elinewidth=0.9,
            label=model,
        )
    axis.axhline(0.5, color="0.6", linewidth=0.8)
    axis.set_ylim(0.3, 1)
    axis.set_xticks(range(len(groups)), [words for _, words in groups])
    axis.set_xlim(-0.5, len(groups) - 0.5)
    axis.set_title("(c) Telling right from wrong")
    axis.set_ylabel("AUC (%); 50 is blind")
    style.percent_axis(axis.yaxis)
    if axis.get_legend_handles_labels()[0]:  # no model has an AUC where no answer is right
        axis.legend(loc="upper right")


def draw_best_of_k(axis: Axes, table: pd.DataFrame, looks: dict[str, style.Style]) -> None:
    """Accuracy of the response that the model scores highest among K."""
    part = table[table["measure"] == "best_of_k"]
    for model, look in looks.items():
        _band(axis, _headline_rows(part, model).sort_values("k"), "k", look, model)
    for subject, look in (("any of them", CHANCE), ("a right one if there is one", PERFECT)):
        line = part[part["subject"] == subject].sort_values("k")
        axis.plot(line["k"], line["estimate"], label=subject, **look.line())
    _log2_axis(axis, part["k"])
    axis.set_title("(d) Choosing the best of K responses")
    axis.set_xlabel("K: responses to choose from")
    axis.set_ylabel("Accuracy (%)")
    axis.set_ylim(0, 1)
    axis.legend(loc="upper left")


def headline(table: pd.DataFrame, measure: str, model: str) -> dict[str, Any] | None:
    """A model's row of a measure; where there is one per reduction, that of the minimum (of an outcome model: the last)."""
    rows = _headline_rows(table[table["measure"] == measure], model)
    return rows.iloc[0].to_dict() if len(rows) else None


def _headline_rows(part: pd.DataFrame, model: str) -> pd.DataFrame:
    rows = part[part["subject"] == model]
    return rows[rows["reduction"] == "min"] if (rows["reduction"] == "min").any() else rows


def _band(axis: Axes, line: pd.DataFrame, x: str, look: style.Style, name: str) -> None:
    axis.fill_between(line[x], line["low"], line["high"], color=look.color, alpha=style.BAND_ALPHA, linewidth=0)
    axis.plot(line[x], line["estimate"], label=name, **look.line())


def _bars(line: pd.DataFrame) -> list[pd.Series]:
    return [line["estimate"] - line["low"], line["high"] - line["estimate"]]


def _log2_axis(axis: Axes, values: pd.Series) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xticks(sorted(values.dropna().astype(int).unique()))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    style.percent_axis(axis.yaxis)


def caption(table: pd.DataFrame, source: inputs.Input) -> list[str]:
    """What each panel shows, over what."""
    facts = source.provenance
    trained = "; ".join(f"{model}: {_trained(card)}" for model, card in facts["models"].items())
    return [
        "**Reward models against the exact step checker.**",
        f"Held-out problems ({facts['split']}, {facts['problems']} of task {facts['task']}), {facts['samples_per_problem']}",
        f"responses each at temperature {facts['temperature']:g}. (a) Math-Shepherd's estimate of a step: right if any of N",
        "completions from there reaches the answer (hard), or if at least half do (soft); last steps left out, which need no",
        "estimate. (b) Predicted chance against the share that is right, in ten bins of equal counts: steps by the exact checker",
        "for process models, answers by the rule for outcome models. (c) Chance that a right one scores above a wrong one; a",
        "process model scores an answer by its worst step. (d) Accuracy of the highest-scored of K responses, exact over all",
        f"K-subsets. Models: {trained}.",
        f"Bars and bands are {100 * facts['confidence']:g} % intervals over problems; there is one training run per model, and",
        "others may differ by more than they show.",
        f"Source: {source.path.name}; code commit {', '.join(c[:12] for c in facts.get('commits', [])) or 'not recorded'}; made by",
        f"`{facts['command']}`.",
    ]


def _trained(card: dict[str, Any]) -> str:
    labels = {
        "shepherd_hard": "hard step labels",
        "shepherd_soft": "soft step labels",
        "exact": "the exact checker's step labels",
        "outcome": "the rule's verdict on the answer",
    }[card["labels"]]
    return f"{card['kind']} model trained on {labels}"
