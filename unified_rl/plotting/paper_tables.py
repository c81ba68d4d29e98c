"""The paper's Tables 1 to 9 as Markdown, each number with how sure it is, and our own base models in the tables that they fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from unified_rl.plotting import inputs
from unified_rl.statistics import reference
from unified_rl.statistics.table_files import in_percent

#: Drawn from the paper's numbers alone where our table is missing.
INPUTS: tuple[str, ...] = ()
OPTIONAL_INPUTS = ("base_models.csv",)
NAME = "paper_tables"
TITLES = {
    1: "corpora, few-shot chain of thought",
    2: "base models, few-shot chain of thought",
    3: "base models, few-shot program of thought and informal-to-formal proving",
    4: "base models, language, reasoning and code",
    5: "instruction-tuned models",
    6: "code before mathematics, one stage or two",
    7: "the same, language, reasoning and code",
    8: "arXiv papers, few-shot chain of thought",
    9: "the same, informal-to-formal proving",
}
#: Tables that our base models are set beside: they ask base models as ours are asked.
_OURS_IN = (1, 2, 3, 6, 8)
MARKS = {"printed": "", "printed and pictured": "*", "released": "**"}
_COLUMNS = ("label", "benchmark", "style", "shots", "accuracy", "low", "high", "num_problems")
CAPTION = (
    "Numbers of DeepSeekMath (arXiv 2402.03300v3), in percent. No mark: read in the paper. `*`: also read off the picture of the "
    "table in the authors' repository. `**`: the authors' released results agree, and are exact. The paper gives one run each, no "
    "seeds and no intervals."
)


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Write paper_tables.md: the paper's tables, with rows of ours where base_models.csv is in `tables`.

    Raises:
        DataError: our table is malformed, or the paper's data are missing.
    """
    source = inputs.load(tables, OPTIONAL_INPUTS[0], _COLUMNS) if (Path(tables) / OPTIONAL_INPUTS[0]).exists() else None
    path = Path(out) / f"{NAME}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(markdown(None if source is None else source.table) + "\n", encoding="utf-8")
    return [path]


def markdown(ours: pd.DataFrame | None = None) -> str:
    """All nine tables. ours: base_models.csv."""
    parts = [CAPTION]
    if ours is not None:
        parts[0] += (
            " Rows of ours: greedy answers to our own worked examples, by our graders, with 95 % intervals over problems; a scale "
            "to read by, no comparison."
        )
    for number, title in TITLES.items():
        parts.append(f"## Table {number}: {title}\n\n{_table(reference.tables(number), ours if number in _OURS_IN else None)}")
    return "\n\n".join(parts)


def _table(paper: pd.DataFrame, ours: pd.DataFrame | None) -> str:
    columns = sorted(dict.fromkeys(zip(paper["benchmark"], paper["style"], strict=True)), key=_place)
    lines = [["model", "setting", *(f"{benchmark} ({style})" for benchmark, style in columns)]]
    lines.append(["---"] * len(lines[0]))
    for (model, size, setting), rows in paper.groupby(["model", "size", "setting"], sort=False):
        cells = {(row.benchmark, row.style): _shown(row) for row in rows.itertuples()}
        lines.append([f"{model} {size}".strip(), str(setting), *(cells.get(column, "-") for column in columns)])
    for label, rows in [] if ours is None else ours.groupby("label", sort=False):
        cells = {(row.benchmark, row.style): in_percent(row) for row in rows.itertuples()}
        shown = [cells.get(column, "-") for column in columns]
        if set(shown) != {"-"}:
            lines.append([f"ours: {label}".replace("|", r"\|"), "", *shown])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(row: Any) -> str:
    """A number of the paper's, its mark, and what else is known of it."""
    return f"{100 * row.accuracy:.1f}{MARKS[str(row.certainty)]}" + (f" ({row.note})" if row.note else "")


def _place(column: tuple[str, str]) -> tuple[str, int]:
    """Columns of one style stand together, in the paper's order."""
    benchmark, style = column
    return style, reference.BENCHMARKS.index(benchmark) if benchmark in reference.BENCHMARKS else 0
