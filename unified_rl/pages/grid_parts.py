"""The parts of an experiment's page that only a grid has: what it asks and by which rule, and its results from the grid's
tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.pages.html import as_table, link, paragraphs
from unified_rl.statistics import variance_split
from unified_rl.statistics.comparable import starts_in_words
from unified_rl.statistics.curve_words import accuracy_words
from unified_rl.statistics.grid_file import GridFacts, matching_sentence
from unified_rl.statistics.intervals import FEWEST_SEEDS
from unified_rl.statistics.page_family import HOLM_FAMILY
from unified_rl.statistics.table_files import read_table

TABLES = ("grid.csv", "grid_contrasts.csv")
EFFECTS = "grid_effects.csv"
READING_EFFECTS = (
    "In percentage points, on the same problems and seeds. A main effect is a level against the factor's first, averaged over the "
    "other factors; an interaction says how much larger the first factor's effect is at the second's level than at its first."
)
#: Metric -> title and what it is, for readers who see the page alone.
METRICS = {
    "greedy": ("Final %", "greedy accuracy on test problems after the last step"),
    "best": ("Best %", "{curve} on validation problems of the checkpoint that the other validation problems choose"),
    "area": ("Mean over training %", "{curve} on validation problems, averaged over the training steps"),
    "avg": ("avg@1 %", "share of right answers among samples"),
    "maj": ("Maj@{k} %", "how often the most frequent of {k} sampled answers is right"),
    "pass": ("Pass@{k} %", "how often at least one of {k} sampled answers is right"),
    "cot_pass": ("CoT-Pass@{k} %", "how often at least one of {k} sampled answers is right with every step right"),
}
#: Of these, the ones that are read off the learning curves.
CURVE_METRICS = ("best", "area")
TOKENS = {
    "trained_tokens": ("Tokens trained on", "response tokens that the run learned from"),
    "trained_to_level": (
        "Tokens to {level}",
        "tokens trained on until validation accuracy was first there; never: not within the run",
    ),
}


def about(grid: GridFacts, *, unfolded: bool) -> str:
    """The question, and how the arms are made comparable; folded up where a reader wants to see what goes on."""
    facts = [f"Preset {grid.preset}" if grid.preset else "", f"seeds {_words(grid.seeds)}" if grid.seeds else ""]
    line = ", ".join(filter(None, facts))
    parts = [
        f"<details{' open' if unfolded else ''}><summary>What it asks, and how the arms are compared</summary>",
        f'<p class="note">{escape(grid.name)}{". " + escape(line) if line else ""}.</p>',
    ]
    if grid.hypothesis:
        parts += ["<h2>What it asks</h2>", paragraphs("\n\n".join(filter(None, [grid.of_its_words, grid.hypothesis])))]
    tuning = f" Learning rates: {grid.tuning.rstrip('.')}." if grid.tuning else ""
    parts += ["<h2>How the arms are compared</h2>", paragraphs(matching_sentence(grid.matching) + tuning), "</details>"]
    return "\n".join(parts)


def has_results(tables: Path) -> bool:
    """Whether the grid's tables are there."""
    return all((tables / name).exists() for name in TABLES)


def results(tables: Path, out: Path) -> str:
    """The arms and their differences, slice by slice, and how to read them."""
    (summary, facts), (contrasts, _) = (read_table(tables / name) for name in TABLES)
    names = [name for name in summary["slice"].unique() if name]
    blocks = [_slice(name, summary[summary["slice"] == name], contrasts[contrasts["slice"] == name], facts) for name in names]
    if (tables / EFFECTS).exists():
        blocks += _effects(read_table(tables / EFFECTS)[0], summary, facts)
    links = ", ".join(link(found, out, found.name) for found in sorted(tables.glob("*.csv")))
    return "\n".join([*blocks, _reading(summary, facts), f'<p class="note">All tables: {links}.</p>'])


def _slice(name: str, summary: pd.DataFrame, contrasts: pd.DataFrame, facts: Mapping[str, Any]) -> str:
    metrics = [metric for metric in METRICS if metric in set(summary["metric"])]
    titles = [_title(metric, summary, facts, name) for metric in (*metrics, *TOKENS)]
    arms = [_arm(label, rows.set_index("metric"), metrics) for label, rows in summary.groupby("label", sort=False)]
    header = ("Arm", *titles, "Seeds", "Status")
    problems = summary[summary["metric"] == "greedy"]["num_problems"].dropna()
    fewer = summary[summary["metric"] == "pass"]["num_problems"].dropna()
    apart = f", Maj@K and Pass@K of {int(fewer.max())}" if len(fewer) and len(problems) and fewer.max() < problems.max() else ""
    size = f" ({int(problems.max())} test problems{apart})" if len(problems) else ""
    parts = [
        f"<h3>{escape(name)} problems{size}</h3>",
        as_table(header, arms, numbers=range(1, len(titles) + 1), sortable=True),
    ]
    pairs = contrasts.groupby(["label", "baseline"], sort=False)
    lines = [_pair(label, baseline, rows.set_index("metric"), metrics) for (label, baseline), rows in pairs]
    if lines:
        parts.append(f'<p class="note">Differences on the same {escape(name)} problems and seeds, in percentage points:</p>')
        points = [title.removesuffix(" %") for title in titles[: len(metrics)]]
        parts.append(as_table(("Difference", *points, "Seeds"), lines, numbers=range(1, len(points) + 1), sortable=True))
    return "\n".join(parts)


def _effects(effects: pd.DataFrame, summary: pd.DataFrame, facts: Mapping[str, Any]) -> list[str]:
    """What each factor of a factorial grid does, slice by slice."""
    parts = ["<h3>Effects of the factors</h3>", f'<p class="note prose">{READING_EFFECTS}</p>']
    for name, rows in effects.groupby("slice", sort=False):
        metrics = [metric for metric in METRICS if metric in set(rows["metric"])]
        titles = [_title(metric, summary, facts, str(name)).removesuffix(" %") for metric in metrics]
        lines = [
            _named(str(effect), found.set_index("metric"), metrics) for effect, found in rows.groupby("effect", sort=False)
        ]
        parts.append(as_table((f"Effect, {name} problems", *titles, "Seeds"), lines, numbers=range(1, len(titles) + 1)))
    return parts


def _title(metric: str, summary: pd.DataFrame, facts: Mapping[str, Any], name: str) -> str:
    k = summary[summary["metric"] == metric]["k"].dropna()
    level = facts.get("levels", {}).get(name)
    words = (METRICS | TOKENS)[metric][0]
    return words.format(k=int(k.iloc[0]) if len(k) else "K", level="the level" if level is None else f"{100 * level:.0f} %")


def _arm(label: str, rows: pd.DataFrame, metrics: list[str]) -> str:
    numbers = [_accuracy(rows.loc[metric]) if metric in rows.index else "-" for metric in metrics]
    tokens = [_tokens(rows.loc[metric]) if metric in rows.index else "-" for metric in TOKENS]
    cells = "".join(f'<td class="number">{number}</td>' for number in (*numbers, *tokens))
    status = str(rows["status"].iloc[0]).partition(";")[0]  # which seeds, and why: in the table of runs
    return f"<tr><td>{escape(str(label))}</td>{cells}<td>{_seeds(rows)}</td><td>{escape(status)}</td></tr>"


def _pair(label: str, baseline: str, rows: pd.DataFrame, metrics: list[str]) -> str:
    return _named(f"{label} − {baseline}", rows, metrics)


def _named(name: str, rows: pd.DataFrame, metrics: list[str]) -> str:
    numbers = [_difference(rows.loc[metric]) if metric in rows.index else "-" for metric in metrics]
    cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
    return f"<tr><td>{escape(name)}</td>{cells}<td>{_seeds(rows)}</td></tr>"


def _accuracy(row: pd.Series) -> str:
    return f'{100 * row["estimate"]:.1f} <span class="interval">[{100 * row["low"]:.1f}, {100 * row["high"]:.1f}]</span>'


def _difference(row: pd.Series) -> str:
    if pd.isna(row["estimate"]):
        return "-"
    bounds = f'<span class="interval">[{100 * row["low"]:+.1f}, {100 * row["high"]:+.1f}]</span>'
    number = f"{100 * row['estimate']:+.1f}"
    if row["decision"] in ("above", "below"):
        number = f'<span class="{row["decision"]}">{number}*</span>'
    return f"{number} {bounds}"


def _tokens(row: pd.Series) -> str:
    middle, low, high = (_count(row[name]) for name in ("estimate", "low", "high"))
    return middle if low == high else f'{middle} <span class="interval">[{low}, {high}]</span>'


def _count(value: float) -> str:
    if np.isinf(value):
        return "never"
    return f"{value / 1000:,.0f}k" if value >= 10_000 else f"{value:.0f}"


def _seeds(rows: pd.DataFrame) -> str:
    """How many, from how many starts, and what the variance of the first metric is made of; older tables say less."""
    seeds = rows["num_seeds"].dropna()
    if not len(seeds):
        return "-"
    starts = rows["num_starts"].dropna() if "num_starts" in rows else seeds[:0]
    parts = next((words for row in rows.to_dict("records") if (words := variance_split.in_words(row)) != "-"), "")
    said = [f"{int(starts.max())} {'start' if starts.max() == 1 else 'starts'}" if len(starts) else "", parts]
    more = ", ".join(filter(None, said))
    return f"{int(seeds.max())}" + (f' <span class="interval">({more})</span>' if more else "")


def _reading(summary: pd.DataFrame, facts: Mapping[str, Any]) -> str:
    """What each column is, in a sentence."""
    shown = set(summary["metric"])
    k = summary["k"].dropna()
    found = {**METRICS, **TOKENS}
    of_curves = summary[summary["metric"].isin(CURVE_METRICS)]
    words = {"k": int(k.iloc[0]) if len(k) else "K", "level": "the level", "curve": accuracy_words(of_curves)}
    meanings = "; ".join(
        f"<strong>{escape(title.format(**words).removesuffix(' %'))}</strong>: {escape(meaning.format(**words))}"
        for metric, (title, meaning) in found.items()
        if metric in shown
    )
    level = f"{100 * facts.get('confidence', 0.95):g}"
    gain = f" The level is {100 * facts['level_gain']:g} points above the start." if facts.get("level_gain") is not None else ""
    start = f"{escape(str(facts.get('baseline', '')))} is what every arm is compared with. " if facts.get("baseline") else ""
    starts = starts_in_words(int(facts.get("num_starts") or 0), len(facts.get("seeds", [])))
    return (
        f'<p class="note prose">How to read it. {start}{meanings}. In brackets: {level} % intervals over problems and training '
        f"seeds (over problems only where there are fewer than {FEWEST_SEEDS}); for tokens, the range over seeds. Beside the "
        f"seeds: starts, and {variance_split.READING}. {starts}{gain} A "
        f"coloured difference with * remains after Holm's correction {HOLM_FAMILY}.</p>"
    )


def _words(seeds: tuple[int, ...]) -> str:
    return " ".join(str(seed) for seed in seeds)
