"""The coefficient microscope: every method's coefficient on every token of the same responses, split by named term."""

from __future__ import annotations

import html
import json
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from unified_rl.base import terminal
from unified_rl.plotting import inputs, style
from unified_rl.plotting.made_by import load
from unified_rl.plotting.output import save

INPUTS = ("microscope.csv",)
MADE_BY = "unified-rl microscope run=RUN out=DIR"
COLUMNS = (
    "method",
    "label",
    "response",
    "token_index",
    "token",
    "term",
    "value",
    "reward",
    "verdict",
    "step_end",
    "step_reward",
)
SHOWN = 4  # responses
LINE = 46  # tokens beside each other
MOST_LINES = 3  # of one response
LONGEST_NAME = 40  # characters beside a row
COLORS = "RdBu"  # red to blue by way of white: colour-blind readers tell the ends apart
RANGE = 1.25  # where the colours would end: short of the darkest ones, on which lines cannot be seen
ROW, HEAD = 0.135, 0.62  # inches: a term, and what stands above the terms of a line
VERDICTS = {"correct": "right answer", "incorrect": "wrong answer", "unparsable": "no readable answer", "timeout": "not graded"}


@dataclass(frozen=True)
class Row:
    """One line of the heat map: a term, the methods in which it has these values, and its largest magnitude."""

    name: str
    labels: list[str]
    values: dict[tuple[int, int], float]
    scale: float


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Draw microscope.pdf/.png/.md from microscope.csv.

    Raises:
        DataError: the table is missing or has no numbers.
    """
    source = load(tables, INPUTS[0], COLUMNS, MADE_BY)
    table = inputs.with_numbers(source, "value")
    shown = choose(table)
    rows = merged_rows(table)
    tokens = table.drop_duplicates(["response", "token_index"]).sort_values(["response", "token_index"])
    lines = [(response, start) for response in shown for start in _starts(tokens[tokens["response"] == response])]
    with style.sheet():
        prompt = textwrap.shorten(f"Prompt: {_one_line(source.provenance.get('question', '?'))}", 330, placeholder=" ...")
        prompt = textwrap.fill(prompt.replace("$", r"\$"), 116)
        above = 0.2 + 0.13 * (prompt.count("\n") + 1)
        height = len(lines) * (HEAD + ROW * len(rows)) + 0.65 + above
        figure = Figure(figsize=(style.FULL_WIDTH, height))
        axes = figure.subplots(len(lines), 1, squeeze=False)[:, 0]
        figure.text(0.015, 1 - 0.1 / height, prompt, va="top")
        top, bottom = 1 - (above + HEAD - 0.08) / height, 0.6 / height
        width = int(tokens[tokens["response"].isin(shown)].groupby("response").size().clip(upper=LINE).max())
        gap = HEAD / (ROW * len(rows))
        left = (0.2 + 0.048 * max(28, *(len(row.name) for row in rows))) / style.FULL_WIDTH
        figure.subplots_adjust(left=left, right=0.935, top=top, bottom=bottom, hspace=gap)
        for number, (axis, (response, start)) in enumerate(zip(axes, lines, strict=True)):
            part = tokens[(tokens["response"] == response) & tokens["token_index"].between(start, start + LINE - 1)]
            _heat(axis, part, rows, width)
            _text(axis, part, start)
            if start == 0:
                _title(axis, part)
            if number == 0:
                axis.text(1.01, 1.03, "largest\n|value|", transform=axis.transAxes, fontsize=7, va="bottom")
        _color_bar(figure, height)
        return save(figure, out, "microscope", _caption(source, shown, rows, tokens))


def choose(table: pd.DataFrame) -> list[int]:
    """Up to `SHOWN` responses, as many above the mean reward as not as far as there are, in the order of their sampling."""
    facts = table.drop_duplicates("response").sort_values("response")
    better = facts["reward"] > facts["reward"].mean()
    right, wrong = list(facts.loc[better, "response"]), list(facts.loc[~better, "response"])
    few = min(len(right), max(SHOWN // 2, SHOWN - len(wrong)))
    return sorted(int(response) for response in [*right[:few], *wrong[: SHOWN - few]])


def merged_rows(table: pd.DataFrame) -> list[Row]:
    """One row per term; methods whose term is the same number on every token share it."""
    found: list[tuple[list[str], str, dict[tuple[int, int], float]]] = []
    for (_, label, term), part in table.groupby(["method", "label", "term"], sort=False):
        values = dict(zip(zip(part["response"], part["token_index"], strict=True), part["value"], strict=True))
        same = [entry for entry in found if entry[1] == term and entry[2] == values]
        if same:
            same[0][0].append(str(label))
        else:
            found.append(([str(label)], str(term), values))
    return [Row(_name(labels, term), labels, values, max(map(abs, values.values()))) for labels, term, values in found]


def _name(labels: list[str], term: str) -> str:
    """Labels and term; many labels cut (the caption has them in full)."""
    for kept in range(len(labels), 0, -1):
        more = [f"+{len(labels) - kept}"] if kept < len(labels) else []
        name = f"{', '.join([*labels[:kept], *more])}: {term}"
        if len(name) <= LONGEST_NAME:
            break
    return name


def _starts(tokens: pd.DataFrame) -> list[int]:
    """First token of each line of a response."""
    return list(range(0, int(tokens["token_index"].max()) + 1, LINE))[:MOST_LINES]


def _heat(axis: Axes, part: pd.DataFrame, rows: list[Row], width: int) -> None:
    keys = list(zip(part["response"], part["token_index"], strict=True))
    grid = np.full((len(rows), len(keys)), np.nan)
    for place, row in enumerate(rows):
        for column, key in enumerate(keys):
            if key in row.values:
                grid[place, column] = row.values[key] / row.scale if row.scale else 0.0
    looks = colormaps[COLORS].with_extremes(bad="0.8")
    axis.pcolormesh(np.ma.masked_invalid(grid), cmap=looks, vmin=-RANGE, vmax=RANGE, edgecolors="0.85", linewidth=0.25)
    axis.set_xlim(0, width)
    axis.set_ylim(len(rows), 0)
    axis.set_yticks(np.arange(len(rows)) + 0.5, [row.name for row in rows], fontsize=7)
    for place, row in enumerate(rows):
        axis.text(1.01 * width, place + 0.5, f"{row.scale:.2g}", fontsize=7, va="center")
    axis.set_xticks([])
    axis.tick_params(length=0)
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _text(axis: Axes, part: pd.DataFrame, start: int) -> None:
    """The tokens above the columns; a line after each step, with its verdict."""
    for row in part.to_dict("records"):
        place = row["token_index"] - start
        token = _visible(row["token"])
        axis.text(place + 0.5, -0.2, token, rotation=90 if len(token) > 1 else 0, ha="center", va="bottom", fontsize=7)
        if row["step_end"]:
            axis.axvline(place + 1, color="black", linewidth=1.1, ymax=1.0)
            mark = "" if pd.isna(row["step_reward"]) else ("\u2713" if row["step_reward"] > 0 else "\u2717")
            axis.annotate(
                mark, (place + 1, 0), xytext=(0, 24), textcoords="offset points", ha="right", va="bottom", fontsize=9, weight="bold"
            )  # fmt: skip


def _title(axis: Axes, part: pd.DataFrame) -> None:
    first = part.iloc[0]
    judged = f"{first['verdict']}" if isinstance(first["verdict"], str) else ""  # a dump has none
    verdict = ", ".join(filter(None, (VERDICTS.get(judged, judged), f"reward {first['reward']:g}")))
    place = blended_transform_factory(axis.figure.transFigure, axis.transAxes)
    # In points above the rows, however many there are.
    for words, weight, above in ((f"Response {int(first['response']) + 1}", "bold", 15), (verdict, "normal", 3)):
        axis.annotate(
            words, (0.011, 1), xycoords=place, xytext=(0, above), textcoords="offset points", weight=weight, va="bottom"
        )


def _color_bar(figure: Figure, height: float) -> None:
    axis = figure.add_axes((0.32, 0.3 / height, 0.5, 0.1 / height))
    bar = figure.colorbar(ScalarMappable(Normalize(-RANGE, RANGE), COLORS), cax=axis, orientation="horizontal")
    axis.set_xlim(-1, 1)
    bar.set_ticks([-1, 0, 1], labels=["-largest |value|: made less likely", "0", "+largest |value|: made more likely"])
    bar.outline.set_linewidth(0.5)


def _visible(token: str) -> str:
    """A token as it can be seen: spaces and line breaks as signs, long ones cut, dollar signs not taken for maths."""
    shown = json.loads(token).replace("\n", "\u21b5").replace(" ", "\u2423").replace("\t", "\u21e5")
    shown = terminal.shown(shown)
    shown = shown if len(shown) <= 6 else shown[:5] + "\u2026"
    return shown.replace("$", r"\$")


def _caption(source: inputs.Input, shown: list[int], rows: list[Row], tokens: pd.DataFrame) -> list[str]:
    facts = source.provenance
    total = int(facts.get("group_size", tokens["response"].nunique()))
    cut = [
        response for response in shown if tokens.loc[tokens["response"] == response, "token_index"].max() >= LINE * MOST_LINES
    ]
    cut_names = [f"{row.name} stands for {', '.join(row.labels)}" for row in rows if ", +" in row.name]
    return [
        *(_of_a_dump(facts) if "rollouts" in facts else _of_a_policy(facts)),
        f"{len(shown)} of the group's {total} responses are shown; all {total} enter the group's statistics.",
        f"{'; '.join(cut_names)}." if cut_names else "",
        f"First {LINE * MOST_LINES} tokens of response {', '.join(str(response + 1) for response in cut)}." if cut else "",
        f"Source: {source.path.name}; code commit {', '.join(c[:12] for c in facts.get('commits', [])) or 'not recorded'};",
        f"made by {_code(facts.get('command', '?'))}.",
    ]


def _of_a_policy(facts: dict[str, Any]) -> list[str]:
    said = {name: _markdown(facts.get(name, "?")) for name in ("prompt_id", "gold", "policy", "reference", "values")}
    return [
        "**The coefficient microscope.** The gradient coefficient GC(q, o, t) of every method on every token of the same",
        f"responses to one prompt ({said['prompt_id']}; answer {said['gold']}), split by named term. Blue: the",
        "update makes the token more likely; red: less; white: left alone; each row is scaled to its largest magnitude, printed",
        "at its end. Methods with the same numbers share a row. Black lines end a step; a tick or a cross above them is the exact",
        "step checker's verdict, where there is one. DPO: right and wrong responses paired in order; a response without a partner",
        "is grey, and its GC contains |o|.",
        f"Policy: {said['policy']}; reference: {said['reference']}; PPO's value model:",
        f"{said['values']}. Sampled at temperature {facts.get('temperature', '?')}, seed {facts.get('seed', '?')}; one",
        "update per rollout, so importance weights are 1 and nothing is clipped. SFT, RFT and DPO would take their data from",
        "elsewhere; here they are asked about these responses.",
    ]


def _of_a_dump(facts: dict[str, Any]) -> list[str]:
    prompt = _markdown(_one_line(facts.get("prompt_id", "?"))[:60])
    return [
        "**Dumped rollouts under the microscope.** What a loss did to every token of the responses to one prompt",
        f"({prompt}), beside another loss: the push (ascent on the token's log-prob; blue:",
        "more likely, red: less), the response's weight in the mean over the step's batch, and the coefficient's factors; the push",
        "is the weight times the sum of their products. Each row is scaled to its largest magnitude, printed at its end. Losses",
        f"with the same numbers share a row. Rollouts: {_markdown(facts['rollouts'])}.",
    ]


def _one_line(text: object) -> str:
    return terminal.shown(" ".join(str(text).split()))


def _markdown(text: object) -> str:
    """Text that others wrote, as itself in Markdown: no tag, link, picture or code."""
    return "".join(f"\\{char}" if char in "[]`\\" else html.escape(char, quote=False) for char in _one_line(text))


def _code(text: object) -> str:
    """Between more backticks than stand beside each other in it, so that nothing in it ends the code."""
    shown = _one_line(text)
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence, space = "`" * (longest + 1), " " * bool(longest)
    return f"{fence}{space}{shown}{space}{fence}"
