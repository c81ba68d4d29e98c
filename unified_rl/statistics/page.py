"""An experiment as one HTML page: runs, results, figures, captions. `unified-rl page DIR` writes it.

It opens from the disk, without a server or scripts. Links and pictures are relative to the page, so the folder can be moved or
zipped; with `--embed` the pictures are inside the file, which can then be sent alone. Everything that a user or a run wrote is
escaped. A run that failed is shown with its error, one that a grid has planned (or that is missing from labels x seeds) as
missing; one that cannot be read does not keep the others from being shown. A grid's page begins with its question and its
matching rule.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from unified_rl.base.errors import DataError
from unified_rl.records import reading as run_reading
from unified_rl.statistics import grid_page
from unified_rl.statistics.experiment import BASELINE_METHOD, MISSING
from unified_rl.statistics.grid_file import GridFacts, PlannedCell, read_grid
from unified_rl.statistics.page_parts import STYLE, address, as_table, link
from unified_rl.statistics.table_files import MAKE_COMMAND, read_table

MEASURES = {"greedy": "Greedy %", "avg": "avg@1 %", "maj": "Maj@K %", "pass": "Pass@K %", "difference": "Greedy - SFT"}
RUN_FILES = ("config.yaml", "metrics.jsonl", "curve.jsonl")
FIGURES_COMMAND = "unified-rl figures tables=DIR out=DIR"
Found = TypeVar("Found")


@dataclass(frozen=True)
class RunFacts:
    """A row of the page: one run, or a hole where one should be.

    path: None for a hole. log: of the process that made it. id: of a hole that a grid has planned.
    """

    path: Path | None
    label: str
    method: str
    seed: str
    state: str
    progress: str = ""
    evaluations: str = ""
    error: str = ""
    log: Path | None = None
    id: str = ""

    @property
    def bad(self) -> bool:
        return self.state not in ("finished", "running", "evaluated", "not started")


# --------------------------------------------------------------------------------------------------------------------------------
# What there is


def read_runs(folder: Path, grid: GridFacts) -> list[RunFacts]:
    """Every run at or below a folder, what the grid (or labels x seeds) lacks, and what failed before it began.

    Raises:
        DataError: there is no such folder.
    """
    paths = [path for path in run_reading.list_runs(folder) if "artifacts" not in path.relative_to(folder).parts]
    logs = {log.stem: log for log in sorted((folder / "logs").glob("*.log"))}
    found = [row for path in paths if (row := _read_run(path, logs.get(path.name))) is not None]
    known = {path.name for path in paths} | {cell.id for cell in grid.cells}
    stillborn = [
        RunFacts(None, name, "", "", "failed before it began", error=_last_line(log), log=log)
        for name, log in logs.items()
        if name not in known
    ]
    return [*found, *(_planned(grid, found, logs) if grid.cells else _holes(found)), *stillborn]


def _planned(grid: GridFacts, found: Sequence[RunFacts], logs: dict[str, Path]) -> list[RunFacts]:
    """The cells that a grid has planned and that have no run."""
    present = {row.path.name for row in found if row.path}
    return [_missing_cell(cell, logs.get(cell.id)) for cell in grid.cells if cell.id not in present]


def _missing_cell(cell: PlannedCell, log: Path | None) -> RunFacts:
    state = MISSING if log is None else "failed before it began"
    return RunFacts(
        None, cell.label, "", str(cell.seed), state, error="" if log is None else _last_line(log), log=log, id=cell.id
    )


def _read_run(path: Path, log: Path | None) -> RunFacts | None:
    """None where a folder holds no configuration and no evaluation. What can be read is shown, whatever else is broken."""
    errors: list[str] = []
    config = _tried(errors, lambda: run_reading.read_config(path), None)
    status = _tried(errors, lambda: run_reading.read_status(path), None) or {}
    metas: list[dict[str, Any]] = _tried(
        errors, lambda: [run_reading.read_evaluation_meta(found) for found in run_reading.list_evaluations(path)], []
    )
    if config is None and not metas and not errors:
        return None
    facts = config or (metas[0] if metas else {})
    method = BASELINE_METHOD if status.get("steps") == 0 else str(facts.get("method") or "unknown")
    state = "unreadable" if errors else str(status.get("state", "not started" if config is not None else "evaluated"))
    progress = f"{status['step']} of {status['steps']}" if "step" in status and "steps" in status else ""
    unfinished = sum(not meta["complete"] for meta in metas)
    evaluations = f"{len(metas)}" + (f" ({unfinished} unfinished)" if unfinished else "") if metas else ""
    label, seed = str(facts.get("label") or (method if facts else path.name)), str(facts.get("seed", ""))
    error = "; ".join([*errors, *([str(status["error"])] if status.get("error") else [])])
    return RunFacts(path, label, method, seed, state, progress, evaluations, error, log)


def _metas(path: Path) -> list[dict[str, Any]]:
    return [run_reading.read_evaluation_meta(found) for found in run_reading.list_evaluations(path)]


def _tried(errors: list[str], read: Callable[[], Found], otherwise: Found) -> Found:
    """What `read` gives, or `otherwise` and a message among the errors."""
    try:
        return read()
    except DataError as error:
        errors.append(str(error))
        return otherwise


def _holes(rows: Sequence[RunFacts]) -> list[RunFacts]:
    holes = []
    for parent in dict.fromkeys(row.path.parent for row in rows if row.path):
        here = [row for row in rows if row.path and row.path.parent == parent and row.method != BASELINE_METHOD and row.seed]
        present = {(row.label, row.seed) for row in here}
        for label, method in {row.label: row.method for row in here}.items():
            seeds = [seed for seed in dict.fromkeys(row.seed for row in here) if (label, seed) not in present]
            holes += [RunFacts(None, label, method, seed, MISSING) for seed in seeds]
    return holes


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "no output"


# --------------------------------------------------------------------------------------------------------------------------------
# The page


def page(folder: Path, tables: Path, figures: Path, out: Path, embed: bool = False) -> str:
    """The page as HTML.

    Args:
        folder: of the experiment. tables, figures: folders of tables and figures, which need not exist. out: the file it will
            be, to which links are relative. embed: put the pictures into the page.
    """
    grid = read_grid(folder)
    rows = read_runs(folder, grid)
    name = escape(grid.title or grid.name or folder.resolve().name)
    parts = [
        grid_page.about(grid) if grid.cells else f"<h1>{name}</h1>",
        _summary(rows),
        "<h2>Results</h2>",
        grid_page.results(tables, out) if grid_page.has_results(tables) else _results(tables, out),
        "<h2>Figures</h2>",
        *_figures(figures, out, embed),
        '<h2 id="runs">Runs</h2>',
        _runs(rows, out),
    ]
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{name}</title><style>{STYLE}</style>'
    )
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _summary(rows: Sequence[RunFacts]) -> str:
    counts = ", ".join(f"{number} {escape(state)}" for state, number in Counter(row.state for row in rows).items())
    return f'<p>{len(rows)} runs: {counts}. <a href="#runs">Each of them</a>, with its files.</p>'


def _runs(rows: Sequence[RunFacts], out: Path) -> str:
    header = ("Run", "Label", "Seed", "State", "Step", "Evaluations", "Files", "Error")
    lines = []
    for row in sorted(rows, key=lambda row: not row.bad):  # what needs a reader comes first
        run = link(row.path, out, row.path.name) if row.path else escape(row.id) or "-"
        words = [escape(word) for word in (row.label, row.seed, row.state, row.progress, row.evaluations)]
        cells = "".join(f"<td>{cell}</td>" for cell in (run, *words, _files(row, out)))
        lines.append(f'<tr{" class=bad" if row.bad else ""}>{cells}<td class="error">{escape(row.error)}</td></tr>')
    return as_table(header, lines)


def _files(row: RunFacts, out: Path) -> str:
    """Links to what a reader of the run's numbers wants to see."""
    own = {name: row.path / name for name in RUN_FILES} if row.path else {}
    found = [link(path, out, name.partition(".")[0]) for name, path in own.items() if path.exists()]
    return ", ".join([*found, *([link(row.log, out, "log")] if row.log else [])])


def _results(tables: Path, out: Path) -> str:
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
    return as_table(header, lines) + f'<p class="note">{note}</p>'


def _interval(row: dict[str, Any], name: str) -> str:
    if pd.isna(row[name]):
        return "-"
    sign = "+" if name == "difference" else ""
    value, low, high = (100 * row[f"{name}{suffix}"] for suffix in ("", "_low", "_high"))
    return f"{value:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


def _figures(figures: Path, out: Path, embed: bool) -> list[str]:
    pictures = sorted(figures.rglob("*.png"), key=lambda picture: (picture.parent, picture.name))
    if not pictures:
        return [f'<p class="note">No figures yet; draw them with <code>{escape(FIGURES_COMMAND)}</code>.</p>']
    return [_figure(picture, picture.relative_to(figures), out, embed) for picture in pictures]


def _figure(picture: Path, name: Path, out: Path, embed: bool) -> str:
    """A picture with its caption; one of a single arm's, in a folder of its own, says which."""
    caption = picture.with_suffix(".md")
    words = _caption(caption.read_text(encoding="utf-8")) if caption.exists() else escape(picture.stem)
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
    """Aside, then renamed: a browser never sees half a page."""
    aside = out.with_name(f".{out.name}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(content, encoding="utf-8")
        aside.replace(out)
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror}); choose another with out=FILE") from error
