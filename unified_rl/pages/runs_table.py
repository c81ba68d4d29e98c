"""The page's table of runs: where each stands, its pace, the numbers of its last step, its files, its error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from unified_rl.pages.followed_run import Standing
from unified_rl.pages.html import as_table, link, number_cell
from unified_rl.pages.words import duration, number, pace

RUN_FILES = ("config.yaml", "metrics.jsonl", "curve.jsonl")
#: Heading -> name among a standing's numbers, and what it is.
NUMBERS = {
    "Reward": ("reward", "mean reward of the last step"),
    "Right": ("correct", "share of right answers among the last step's responses"),
    "KL": ("kl", "KL to the reference (k3), nats per token"),
    "Length": ("length", "mean length of a response, tokens"),
    "Entropy": ("entropy", "entropy of the next token, mean, nats"),
    "log p": ("logp", "mean log-probability of the tokens trained on"),
}


def summary(rows: Sequence[Standing]) -> str:
    """How many runs stand where."""
    counts = ", ".join(f"{number} {escape(state)}" for state, number in Counter(row.state for row in rows).items())
    return f'<p>{len(rows)} runs: {counts}. <a href="#runs">Each of them</a>, with its files.</p>'


def runs_table(rows: Sequence[Standing], out: Path) -> str:
    """A line per run and hole; what needs a reader comes first. Columns of numbers that no run has are left out."""
    shown = {title: name for title, (name, _) in NUMBERS.items() if any(name in row.numbers for row in rows)}
    pace_shown = any(row.rate or row.left is not None for row in rows)
    numeric = [*(("Rate", "ETA") if pace_shown else ()), *shown]
    header = ("Run", "Label", "Seed", "State", "Step", *numeric, "Evaluations", "Files", "Error")
    lines = [_line(row, out, shown.values(), pace_shown) for row in sorted(rows, key=lambda row: not row.bad)]
    meanings = "".join(f"<strong>{escape(title)}</strong>: {escape(NUMBERS[title][1])}. " for title in shown)
    note = f'<p class="note prose">{meanings}A heading sorts by its column.</p>'
    return as_table(header, lines, numbers=range(5, 5 + len(numeric)), sortable=True) + note


def _line(row: Standing, out: Path, names: Iterable[str], pace_shown: bool) -> str:
    run = link(row.path, out, row.path.name) if row.path else escape(row.id) or "-"
    step = f"{row.step} of {row.steps}" if row.step is not None and row.steps else ""  # of no steps: a start policy
    words = "".join(f"<td>{escape(word)}</td>" for word in (row.label, row.seed, _state(row)))
    left = "" if row.left is None else duration(row.left)
    paces = [number_cell(pace(row.rate, row.unit), row.rate or None), number_cell(left, row.left)]
    cells = [
        f"<td>{run}</td>{words}",
        f'<td data-v="{row.step if step else ""}">{escape(step)}</td>',
        *(paces if pace_shown else ()),
        *(number_cell(number(row.numbers.get(name)), row.numbers.get(name)) for name in names),
        f"<td>{escape(row.evaluations)}</td><td class=files>{_files(row, out)}</td>",
        f'<td class="error">{escape(row.error)}</td>',
    ]
    return f"<tr{' class=bad' if row.bad else ''}>{''.join(cells)}</tr>"


def _state(row: Standing) -> str:
    return f"{row.state}: {row.work}" if row.work else row.state


def _files(row: Standing, out: Path) -> str:
    """Links to what a reader of the run's numbers wants to see."""
    own = {name: row.path / name for name in RUN_FILES} if row.path else {}
    found = [link(path, out, name.partition(".")[0]) for name, path in own.items() if path.exists()]
    return ", ".join([*found, *([link(row.log, out, "log")] if row.log else [])])
