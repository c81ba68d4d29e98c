"""Analysis tables as figures read them, and the sentences about them that every caption needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unified_rl.base.errors import DataError
from unified_rl.base.terminal import shown
from unified_rl.statistics import variance_split
from unified_rl.statistics.comparable import starts_in_words
from unified_rl.statistics.grid_file import NOT_STATED, matching_sentence
from unified_rl.statistics.intervals import FEWEST_SEEDS
from unified_rl.statistics.table_files import MAKE_COMMAND, TEXT_COLUMNS, read_table


@dataclass(frozen=True)
class Input:
    """A table (rows with a status of their own included), its file and its provenance."""

    table: pd.DataFrame
    path: Path
    provenance: dict[str, Any]


def load(tables: Path | str, name: str, columns: tuple[str, ...]) -> Input:
    """Read one table.

    Args:
        tables: folder of analysis tables. name: file name. columns: what the figure needs.

    Raises:
        DataError: the file is missing, malformed or lacks a column; the message names it and the command that makes it.
    """
    path = Path(tables) / name
    table, provenance = read_table(path)
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}; make it again with: {MAKE_COMMAND}")
    words = [column for column in TEXT_COLUMNS if column in table]
    return Input(table.assign(**{column: table[column].map(shown) for column in words}), path, provenance)


def with_numbers(source: Input, column: str) -> pd.DataFrame:
    """The rows that have a number in `column`.

    Raises:
        DataError: there are none, so there is nothing to draw.
    """
    table = source.table[source.table[column].notna()]
    if table.empty:
        raise DataError(
            f"{source.path} has no row with a number in {column!r}: nothing to draw yet; runs.csv beside it says why"
        )
    return table


def intervals_sentence(drawn_as: str, table: pd.DataFrame, source: Input, measure: str = "") -> str:
    """What the intervals are over, which seeds, how many problems.

    Args:
        drawn_as: "Bands" or "Bars". table: the rows that were drawn. measure: whose variance is told of, where a row has several.
    """
    counts = table.groupby("label", sort=False)["num_seeds"].max().astype(int)
    level = f"{drawn_as} are {100 * source.provenance.get('confidence', 0.95):g} % intervals over problems"
    seeds = " ".join(str(seed) for seed in source.provenance.get("seeds", []))
    if (counts < FEWEST_SEEDS).all() and counts.max() > 1:
        text = (
            f"{level} only, for these very policies: {counts.max()} training seeds per method (seeds: {seeds}) are too few to "
            "speak of others."
        )
    elif (counts == 1).all():
        text = (
            f"{level} only, because there is one training seed per method (seeds: {seeds}); other training seeds may differ "
            "by more than they show."
        )
    else:
        fewer = [
            f"{label} {count}" + (" (over problems only)" if count < FEWEST_SEEDS else "") for label, count in counts.items()
        ]
        fewer = [words for words, count in zip(fewer, counts, strict=True) if count < counts.max()]
        exceptions = f"; except {', '.join(fewer)}" if fewer else ""
        text = f"{level} and training seeds, crossed; {counts.max()} seeds per method (seeds: {seeds}){exceptions}."
    problems = table.groupby("slice", sort=False)["num_problems"].max().astype(int)
    text = " ".join(filter(None, [text, starts_sentence(source), variance_sentence(table, measure)]))
    return text + " Problems: " + ", ".join(f"{name} {count}" for name, count in problems.items()) + "."


def variance_sentence(table: pd.DataFrame, measure: str = "") -> str:
    """What the variance of the estimates is made of, over the rows of a table; "" where nothing says."""
    prefix = f"{measure}_" if measure else ""
    words = dict(zip(variance_split.COLUMNS, ("problems", "seeds", "starts"), strict=True))
    found = {words[name]: 100 * table[prefix + name].dropna() for name in words if prefix + name in table}
    shares = [f"{part.min():.0f} to {part.max():.0f} % from {name}" for name, part in found.items() if len(part)]
    return f"Of the variance{f' of {measure}' if measure else ''} come {', '.join(shares)}." if shares else ""


def starts_sentence(source: Input) -> str:
    """How many independent starts are behind the numbers; "" for one seed, and for a table that does not say."""
    facts = source.provenance
    return starts_in_words(int(facts.get("num_starts") or 0), len(facts.get("seeds", [])))


def status_sentence(source: Input) -> str:
    """What is unfinished or missing; empty if nothing is."""
    lacking = source.provenance.get("unfinished", {})
    return "Incomplete: " + "; ".join(f"{cell}: {status}" for cell, status in lacking.items()) + "." if lacking else ""


def source_sentence(source: Input) -> str:
    """By which rule the policies are comparable, and where the numbers come from."""
    facts = source.provenance
    matching = matching_sentence(str(facts.get("matching", NOT_STATED)))
    commits = ", ".join(commit[:12] for commit in facts.get("commits", [])) or "not recorded"
    mixed = "; ".join(f"{cell}: {words}" for cell, words in facts.get("mixed_code", {}).items())
    more_than_one = f" More than one code made {mixed}." if mixed else ""
    experiments = ", ".join(facts.get("experiments", [])) or "not recorded"
    evaluated = f" Evaluated: {facts['decoding']}." if facts.get("decoding") else ""
    return (
        f"{matching} Source: {source.path.name} of experiment {experiments}; code commit {commits}; made by "
        f"`{facts.get('command', '?')}`.{evaluated}{more_than_one}"
    )


def legend_label(label: str, status: str) -> str:
    """A label, marked where seeds of it are missing or unfinished."""
    return label if status == "complete" else f"{label} ({status.split(';')[0]})"
