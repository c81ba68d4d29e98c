"""One result as a section of the page: its question, what it is made of, its answers, its tables, its picture, its reading."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from unified_rl.pages.results.answers import Answer, answers
from unified_rl.pages.results.markdown import link_to, picture, table, wrapped
from unified_rl.pages.results.numbers import (
    differences,
    hours,
    levels,
    p_words,
    percent,
    points,
    row_of,
    star_words,
    starred,
)
from unified_rl.pages.results.of_forms import of_forms
from unified_rl.pages.results.of_pretraining import of_pretraining, starts_of_pretraining
from unified_rl.pages.results.prose import reading
from unified_rl.pages.results.shipped import GAINS, Shipped
from unified_rl.statistics.comparable import starts_in_words
from unified_rl.statistics.evidence import in_world
from unified_rl.statistics.grid_file import matching_sentence

#: Columns of the tables, in their order; K is the largest that all have.
TITLES = {
    "avg": "mean accuracy",
    "greedy": "greedy",
    "area": "over training",
    "maj": "Maj@{k}",
    "pass": "Pass@{k}",
    "cot_pass": "CoT-Pass@{k}",
}
OF_LEVELS = ("avg", "maj", "pass", "cot_pass")
PICTURES = ("cot_pass", "effective_rate", "wrong_forms", "renewal_quality", "learning_curves", "iterations", "paper_figure6")


def section(shipped: Shipped, base: Path) -> str:
    """The section in Markdown. base: the folder of the page, to which links are relative."""
    found = answers(shipped)
    blocks = [f"### {shipped.name}", *_question(shipped), _made_of(shipped, base)]
    if found:
        blocks += [answers_table(found), _margins(found)]
    blocks += [_levels(shipped), _differences(shipped), of_forms(shipped)]
    blocks += [of_pretraining(shipped), _renewals(shipped)]
    blocks += [_picture(shipped, base), reading(shipped)[0]]
    return "\n\n".join(filter(None, blocks))


def answers_table(found: Sequence[Answer], experiment: bool = False) -> str:
    """Primary contrasts as a table. experiment: with a column that links to the section."""
    head = ["contrast", "metric", "slice", "difference, points", "margin", "starts", "problems", "p (Holm)", "conclusion"]
    rows = []
    for one in found:
        effect = points({"estimate": one.estimate, "low": one.low, "high": one.high})
        wide = "" if one.half_width <= one.margin else f" (half-width {100 * one.half_width:.1f}, wider than the margin)"
        row = [one.comparison, one.metric, one.slice or "-", effect, f"{100 * one.margin:g}", str(one.starts)]
        row += [f"{one.problems:,}" if one.problems else "-", p_words(one.p_holm), f"**{one.conclusion}**{wide}"]
        rows.append(([f"[{one.experiment}](#{one.experiment})"] if experiment else []) + row)
    return table((["experiment"] if experiment else []) + head, rows)


def _question(shipped: Shipped) -> list[str]:
    """Of the ablation's docstring the question and the hypothesis, and of what world they are."""
    question, *rest = (" ".join(text.split()) for text in shipped.grid.hypothesis.strip().split("\n\n"))
    hypothesis = [text for text in rest if text.startswith("Hypothesis")]
    about = shipped.grid.of_its_words
    return [wrapped(f"**{question}**") if question else "", *map(wrapped, hypothesis), wrapped(f"*{about}*") if about else ""]


def _made_of(shipped: Shipped, base: Path) -> str:
    """Command, seeds, starts, problems, cost, commit."""
    facts, grid = shipped.facts, shipped.grid
    seeds = " ".join(str(seed) for seed in facts.get("seeds", [])) or "not recorded"
    commits = ", ".join(commit[:12] for commit in facts.get("commits", [])) or "not recorded"
    said = [
        f"Seeds: {seeds}.",
        starts_of_pretraining(shipped) or starts_in_words(shipped.starts, len(facts.get("seeds", []))),
        _problems(shipped),
        matching_sentence(grid.matching) if grid.name else "",
        _cost(shipped),
        f"Code: {commits}.",
        f"Evaluated: {facts['decoding']}." if facts.get("decoding") else "",
        f"Tables, captions, figures: [{shipped.folder.as_posix()}]({link_to(shipped.folder, base)}/).",
    ]
    preset = f" preset={grid.preset}" if grid.preset not in ("", "default") else ""
    line = shlex.join(grid.line or (grid.name,))
    command = f"    unified-rl grid {line}{preset}\n\n" if grid.name else ""
    return command + wrapped(" ".join(filter(None, said)))


def _problems(shipped: Shipped) -> str:
    """How many problems the numbers are over: means, and what takes many samples."""
    rows = levels(shipped).dropna(subset=["num_problems"])
    means, coverage = (rows[rows["metric"].isin(names)]["num_problems"].max() for names in (("avg", "greedy"), ("maj", "pass")))
    if pd.isna(means):
        return ""
    apart = "" if pd.isna(coverage) or coverage == means else f"; Maj@K and Pass@K on {int(coverage):,} of them"
    return f"Problems per slice: {int(means):,}{apart}."


def _cost(shipped: Shipped) -> str:
    took, priced = (shipped.cost.get(name) for name in ("took_core_seconds", "priced_core_seconds"))
    if not took:
        return ""
    copied = shipped.cost.get("copied")
    besides = f"; {copied} of {shipped.cost['cells']} cells are another grid's, and not in these" if copied else ""
    clock = " by the clock, beside other work or not" if shipped.cost.get("by_the_clock", 1) else ""
    return f"Cost: {hours(took)} of one core{clock}{f', priced at {hours(priced)} before it began' if priced else ''}{besides}."


def _margins(found: Sequence[Answer]) -> str:
    """Why the margins are what they are, each reason once."""
    reasons = dict.fromkeys(one.reason for one in found if one.reason)
    return wrapped("Margins, declared before the run: " + "; ".join(reasons) + ".") if reasons else ""


def _titles(rows: pd.DataFrame) -> dict[str, str]:
    """Metric -> its title, of those that are there."""
    k = rows["k"].dropna()
    words = str(int(k.max())) if len(k) else "K"
    return {metric: title.format(k=words) for metric, title in TITLES.items() if metric in set(rows["metric"])}


def _levels(shipped: Shipped) -> str:
    """Accuracy of every label on every slice."""
    rows = levels(shipped)
    titles = {metric: title for metric, title in _titles(rows).items() if metric in OF_LEVELS}
    if not titles:
        return ""
    columns = [(name, metric) for name in dict.fromkeys(rows["slice"]) for metric in titles]
    body = []
    for label in dict.fromkeys(rows["label"]):
        found = [row_of(rows, label=label, slice=name, metric=metric) for name, metric in columns]
        body.append([label, *(percent(row, unit="") if row else "-" for row in found)])
    return table(["%", *(f"{in_world(name, shipped.world)}: {titles[metric]}" for name, metric in columns)], body)


def _differences(shipped: Shipped) -> str:
    """The planned comparisons by every metric, a row per slice; a star where Holm's correction leaves a difference."""
    rows = differences(shipped)
    titles = _titles(rows) if len(rows) else {}
    body = []
    for comparison in _comparisons(shipped, rows):
        for name in dict.fromkeys(rows["slice"]):
            found = [row_of(rows, comparison=comparison, slice=name, metric=metric) for metric in titles]
            if any(found):
                effects = [starred(row, points(row)) if row else "-" for row in found]
                body.append([comparison, in_world(name, shipped.world), *effects])
    if not body:
        return ""
    shown = rows[rows["comparison"].isin([row[0] for row in body]) & rows["metric"].isin(list(titles))]
    made = table(["difference, points", "slice", *titles.values()], body)
    return "\n\n".join(filter(None, [made, star_words(shown, shipped.facts)]))


def _comparisons(shipped: Shipped, rows: pd.DataFrame) -> list[str]:
    """Those that were planned; where no plan was shipped, those that were made."""
    planned = [" - ".join(pair) for pair in dict.fromkeys(shipped.grid.contrasts)]
    return planned or list(dict.fromkeys(rows["comparison"]))


def _renewals(shipped: Shipped) -> str:
    """Of iterative runs: each iteration over its control."""
    arms = shipped.arms or ({"-": shipped} if len(shipped.table(GAINS)) else {})
    rows = [
        [label, str(int(row["iteration"])), in_world(row["slice"], shipped.world), points(row), f"{int(row['num_problems']):,}"]
        for label, arm in arms.items()
        for row in arm.table(GAINS).to_dict("records")
    ]
    head = ["arm", "iteration over its control", "slice", "greedy, validation, points", "problems"]
    return "\n\n".join(filter(None, [table(head, rows) if rows else "", _gains_compared(shipped)]))


def _gains_compared(shipped: Shipped) -> str:
    """How much more one arm's first renewal gained than another's."""
    found = shipped.table("renewals")
    if found.empty:
        return ""
    compared = found[found["label"] != found["baseline"]]
    rows = [
        [f"{row['label']} - {row['baseline']}", in_world(row["slice"], shipped.world), starred(row, points(row))]
        for row in compared.to_dict("records")
    ]
    made = table(["difference of gains", "slice", "points"], rows) if rows else ""
    return "\n\n".join(filter(None, [made, star_words(compared, shipped.facts)]))


def _picture(shipped: Shipped, base: Path) -> str:
    of_samples = bool(shipped.grid.primary) and {one.metric for one in shipped.grid.primary} <= {"pass", "maj"}
    names = ("maj_pass", *PICTURES) if of_samples else PICTURES
    path = next((found for name in names if (found := shipped.figure(name))), None)
    return picture(path, shipped.grid.title or shipped.name, base) if path else ""
