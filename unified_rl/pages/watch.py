"""`unified-rl watch`: a run or a grid in the terminal, as it goes on. It only reads, so it may run on another machine.

Where there is no terminal, or nothing is going on, one picture of it is printed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from unified_rl.base.terminal import shown
from unified_rl.pages.experiment import FollowedExperiment, Look
from unified_rl.pages.followed_run import Standing
from unified_rl.pages.words import duration, number, pace

#: A run under way that has written nothing for so long may have been ended.
SILENT_SECONDS = 120.0
NUMBERS = {
    "reward": "reward",
    "right": "correct",
    "KL": "kl",
    "length": "length",
    "entropy": "entropy",
    "log p": "logp",
}
_LONGEST_ERROR = 300
_STATES = {"running": "green", "evaluating": "green", "starting": "green", "finished": "bold", "evaluated": "bold"}


def watch(folder: Path, every: float, console: Console | None = None) -> None:
    """Show a folder until nothing goes on in it any more, or until Ctrl-C.

    Args:
        every: seconds between two looks. console: where; by default the terminal.

    Raises:
        DataError: there is no such folder, or its grid.json is damaged.
    """
    console = console or Console()
    followed = FollowedExperiment(folder)
    look = followed.look(samples=False)
    while followed.behind_in_numbers:
        look = followed.look(samples=False)
    if not console.is_terminal or not _going(look):
        console.print(picture(folder, look), soft_wrap=not console.is_terminal)
        return
    try:
        with Live(picture(folder, look, console.height), console=console, auto_refresh=False, vertical_overflow="crop") as live:
            while _going(look):
                time.sleep(every)
                look = followed.look(samples=False)
                live.update(picture(folder, look, console.height), refresh=True)
    except KeyboardInterrupt:  # how one stops looking
        return


def picture(folder: Path, look: Look, height: int | None = None) -> Group:
    """What there is, as text: a line of counts and a table.

    Args:
        height: lines of the terminal: runs that do not fit are counted; those under way and those that failed come first.
    """
    rows = sorted(look.rows, key=lambda row: (not row.going, not row.bad))
    room = len(rows) if height is None else max(1, height - 6)
    parts: list[Text | Table] = [Text(_counts(folder, look), style="bold"), _table(rows[:room])]
    if len(rows) > room:
        parts.append(Text(f"and {len(rows) - room} more"))
    return Group(*parts)


def _going(look: Look) -> bool:
    """Whether more is to come: something is under way, or a grid has cells that nobody has begun."""
    planned = bool(look.grid.cells) and any(row.path is None and not row.log for row in look.rows)
    return look.going or planned or not look.rows


def _counts(folder: Path, look: Look) -> str:
    states = ", ".join(f"{number} {state}" for state, number in Counter(row.state for row in look.rows).items())
    title = f"{look.grid.title or look.grid.name or folder}: "
    return shown(title + (states or "no run yet")).replace("\n", " ")


def _table(rows: Sequence[Standing]) -> Table:
    """A line per run. Columns of numbers that no run has are left out."""
    numbers = {title: name for title, name in NUMBERS.items() if any(name in row.numbers for row in rows)}
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("run", overflow="ellipsis", no_wrap=True)
    table.add_column("state", overflow="fold")
    paced = any(row.rate or row.left is not None for row in rows)
    for title in ("step", *(("pace", "left") if paced else ()), *numbers):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        step = f"{row.step}/{row.steps}" if row.step is not None and row.steps else ""
        left = "" if row.left is None else duration(row.left)
        paces = [Text(pace(row.rate, row.unit)), Text(left)] if paced else []
        values = [Text(number(row.numbers.get(name))) for name in numbers.values()]
        table.add_row(_plain(row.name or f"{row.label}, seed {row.seed}"), _state(row), Text(step), *paces, *values)
    return table


def _state(row: Standing) -> Text:
    """The state, what is under way, for how long nothing has been written, or why it failed."""
    words = f"{row.state}: {row.work}" if row.work else row.state
    if row.age is not None and row.age > SILENT_SECONDS:
        return _plain(f"{words}, silent for {duration(row.age)}", "yellow")
    if row.error:
        return _plain(f"{words}: {row.error[:_LONGEST_ERROR]}", "red")
    return _plain(words, "red" if row.bad else _STATES.get(row.state, ""))


def _plain(words: str, style: str = "") -> Text:
    """Words that a run wrote, as text: neither markup nor what a terminal would obey."""
    return Text(" ".join(shown(words).split()), style=style)
