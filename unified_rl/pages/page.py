"""An experiment as one HTML page: runs, curves, results, figures, responses. `unified-rl page DIR` writes it, and so do runs and
grids while they go on.

It is one file that opens from the disk, without a server or a network. Links and pictures are relative to the page, so the folder
can be moved or zipped; with `--embed` the pictures are inside the file, which can then be sent alone. Everything that a user or a
run wrote is text. A run that failed is shown with its error, one that a grid has planned (or that is missing from labels x seeds)
as missing; one that cannot be read does not keep the others from being shown. A grid's page begins with its question and its
matching rule.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.pages import grid_parts, samples
from unified_rl.pages.curves import curves
from unified_rl.pages.document import data_element, document
from unified_rl.pages.experiment import FollowedExperiment, Look
from unified_rl.pages.html import address, as_table, link
from unified_rl.pages.runs_table import runs_table, summary
from unified_rl.statistics.table_files import MAKE_COMMAND, read_table

MEASURES = {"greedy": "Greedy %", "avg": "avg@1 %", "maj": "Maj@K %", "pass": "Pass@K %", "difference": "Greedy - SFT"}
FIGURES_COMMAND = "unified-rl figures tables=DIR out=DIR"
SECTIONS = {"runs": "Runs", "curves-of-runs": "Curves", "results": "Results", "figures": "Figures", "responses": "Responses"}
_LINKS = "".join(f'<a href="#{anchor}">{words}</a>' for anchor, words in SECTIONS.items())


@dataclass(frozen=True)
class Places:
    """What a page is made of beside the runs, and where it goes.

    tables, figures: folders, which need not exist. out: the page, to which links are relative. embed: put the pictures into it.
    """

    tables: Path
    figures: Path
    out: Path
    embed: bool = False


def places(folder: Path) -> Places:
    """Where an experiment has its tables, figures and page by default."""
    return Places(folder / "tables", folder / "figures", folder / "index.html")


def page(folder: Path, where: Places) -> str:
    """The page of an experiment as it stands.

    Raises:
        DataError: there is no such folder, or its grid.json is damaged.
    """
    followed = FollowedExperiment(folder)
    look = followed.look()
    while followed.behind:
        look = followed.look()
    return page_of(folder, look, where, every=0.0, going=False)


def page_of(folder: Path, look: Look, where: Places, *, every: float, going: bool) -> str:
    """The page of what a look has found.

    Args:
        every: seconds between two pages. going: whether there will be another one; the page then reloads itself.
    """
    grid, rows = look.grid, look.rows
    name = grid.title or grid.name or folder.resolve().name
    drawn = curves(rows, look.runs)
    responses = samples.choose(_responses(look, going))
    parts = [
        f"<h1>{escape(name)}</h1>",
        f'<p id="news">Written {time.strftime("%Y-%m-%d %H:%M:%S %Z")}.</p>',
        f"<nav>{_LINKS}</nav>",
        summary(rows),
        grid_parts.about(grid, unfolded=not going) if grid.cells else "",
        _heading("runs"),
        runs_table(rows, where.out),
        _heading("curves-of-runs"),
        _curves(bool(drawn["charts"])),
        _heading("results"),
        grid_parts.results(where.tables, where.out) if grid_parts.has_results(where.tables) else _results(where),
        _heading("figures"),
        *_figures(where.figures, where.out, where.embed),
        _heading("responses"),
        _browser(look, responses),
    ]
    data = [
        data_element(samples.embedded(_facts(look, responses, every, going)), id="facts"),
        data_element(samples.embedded(drawn), id="curves"),
        *(data_element(block, kind="samples") for block in responses.blocks),
    ]
    return document(name, parts, data)


def _heading(anchor: str) -> str:
    return f'<h2 id="{anchor}">{SECTIONS[anchor]}</h2>'


def _responses(look: Look, going: bool) -> Iterator[samples.Shown]:
    """Of all runs: what training logged, the latest first; then what evaluations sampled, once nothing is under way."""
    logged = [(step, place, text) for place, run in enumerate(look.runs) for step, text in run.samples]
    for step, place, text in sorted(logged, key=lambda one: (-one[0], one[1])):
        yield samples.Shown(place, str(step), text)
    if not going:
        room = max(0, samples.MOST_SAMPLES - len(logged)) // max(1, len(look.runs))
        for place, run in enumerate(look.runs):
            yield from samples.evaluated(place, run.path, room)


def _facts(look: Look, responses: samples.Chosen, every: float, going: bool) -> dict[str, Any]:
    """What the page's script has to know."""
    return {
        "going": going,
        "written": round(time.time(), 1),
        "every": every,
        "runs": [{"label": row.label, "seed": row.seed} for row in look.rows[: len(look.runs)]],
        "samples": responses.count,
        "block": samples.BLOCK,
        "places": list(responses.places),
        "verdicts": list(samples.VERDICTS),
        "terms": list(dict.fromkeys(term for run in look.runs for term in run.terms)),
    }


def _curves(any_drawn: bool) -> str:
    if not any_drawn:
        return '<p class="note">No steps yet.</p>'
    return (
        '<div id="key"></div><div id="charts"></div><details id="more"><summary>Further metrics</summary>'
        '<div class="further"></div></details><p class="note">Every step as it was measured, of long runs every n-th; nothing is '
        "smoothed. Point at a line to read it; drag to enlarge, double-click to see all.</p>"
    )


def _browser(look: Look, responses: samples.Chosen) -> str:
    if not responses.count:
        return '<p class="note">No responses yet (<code>logging.samples</code>, or an evaluation).</p>'
    choices = "".join(
        f'<label>{words} <select id="sample-{name}">{first}</select></label>'
        for name, words, first in (
            ("run", "Run", '<option value="">all</option>'),
            ("place", "Step or evaluation", '<option value="">all</option>'),
            ("verdict", "Verdict", '<option value="">all</option>'),
            ("term", "Colour by", ""),
        )
    )
    return (
        f'<p class="choices">{choices}<label>Containing <input id="sample-words"></label></p>'
        '<p class="choices"><button id="sample-before">before</button> <span id="sample-count"></span> '
        '<button id="sample-after">after</button></p><div id="sample-list"></div>'
        f'<p class="note prose">{_which(look, responses)} Blue tokens were made more likely by the chosen term of the gradient '
        "coefficient, orange ones less, relative to the response's largest; a bar ends a step. Point at a token to read it.</p>"
    )


def _which(look: Look, responses: samples.Chosen) -> str:
    """How many responses are here, of how many."""
    logged = sum(run.num_samples for run in look.runs)
    more = f" ({logged} were logged by training)" if logged > responses.count else ""
    return f"{responses.count} responses{more}: those of training with the latest first, then the greedy ones of evaluations."


def _results(where: Places) -> str:
    tables, out = where.tables, where.out
    path = tables / "results.csv"
    try:
        table, provenance = read_table(path)
    except DataError:
        return f'<p class="note">No results yet; make the tables with <code>{escape(MAKE_COMMAND)}</code>.</p>'
    shown = [name for name in MEASURES if name in table]
    header = ("Slice", "Method", *(MEASURES[name] for name in shown), "K", "Seeds", "Status")
    lines = []
    for row in table.to_dict("records"):
        numbers = "".join(f'<td class="number">{_interval(row, name)}</td>' for name in shown)
        k = "-" if pd.isna(row.get("k")) else str(int(row["k"]))
        slice_name = f"{row.get('slice', '')} ({row.get('split', '')})"
        first, last = (slice_name, row["label"]), (k, row.get("seeds") or "-", row.get("status", ""))
        cells = "".join(f"<td>{escape(str(word))}</td>" for word in first)
        lines.append(f"<tr>{cells}{numbers}{''.join(f'<td>{escape(str(word))}</td>' for word in last)}</tr>")
    level = f"{100 * provenance.get('confidence', 0.95):g}"
    links = ", ".join(link(found, out, found.name) for found in sorted(tables.glob("*.csv")))
    note = f"In brackets: {level} % intervals. Final step. All tables: {links}."
    return as_table(header, lines, sortable=True) + f'<p class="note">{note}</p>'


def _interval(row: dict[str, Any], name: str) -> str:
    if pd.isna(row[name]):
        return "-"
    sign = "+" if name == "difference" else ""
    value, low, high = (100 * row[f"{name}{suffix}"] for suffix in ("", "_low", "_high"))
    return f"{value:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


def _figures(figures: Path, out: Path, embed: bool) -> list[str]:
    found = [picture for picture in figures.rglob("*.png") if picture.is_file()]
    pictures = sorted(found, key=lambda picture: (picture.parent, picture.name))
    if not pictures:
        return [f'<p class="note">No figures yet; draw them with <code>{escape(FIGURES_COMMAND)}</code>.</p>']
    return [_figure(picture, picture.relative_to(figures), out, embed) for picture in pictures]


def _figure(picture: Path, name: Path, out: Path, embed: bool) -> str:
    """A picture with its caption; one of a single arm's, in a folder of its own, says which."""
    caption = picture.with_suffix(".md")
    words = _caption(caption.read_text(encoding="utf-8")) if caption.is_file() else escape(picture.stem)
    if len(name.parts) > 1:
        words = f"<strong>{escape(name.parent.as_posix().replace('_', ' '))}.</strong> {words}"
    source = f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}" if embed else address(picture, out)
    pdf = picture.with_suffix(".pdf")
    links = f" {link(pdf, out, 'PDF')}" if pdf.exists() and not embed else ""
    alt = escape(picture.stem.replace("_", " "), quote=True)
    image = f'<img src="{source}" alt="{alt}">'
    anchor = "-".join(name.with_suffix("").parts)
    return f'<figure id="{escape(anchor, quote=True)}">{image}<figcaption>{words}{links}</figcaption></figure>'


def _caption(markdown: str) -> str:
    """A caption file's Markdown, of which our captions use bold and code, as HTML."""
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escape(" ".join(markdown.split())))
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text)


def write(content: str, out: Path) -> None:
    """Aside, then renamed: a browser never sees half a page. Raises DataError: it cannot be written."""
    aside = files.aside_of(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(content, encoding="utf-8", errors="backslashreplace")  # half a character, as a run may write it
        aside.replace(out)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise DataError(f"{out} cannot be written ({error.strerror}); choose another with out=FILE") from error
