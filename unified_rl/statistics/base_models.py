"""Evaluations of base models -> base_models.csv, and the paper's rows beside them. `unified-rl tables OUT [OUT ...] out=DIR`

    base_models.csv    a row per model, benchmark and style: accuracy of the greedy answers with a 95 % interval over problems
    paper_tables.csv   the paper's rows of base models (Tables 1 to 4, 6 to 9), of the same benchmarks and styles: no intervals

The paper's numbers are of other models, other worked examples and other graders: a scale to read ours by, not a comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from unified_rl.base.errors import DataError
from unified_rl.records import reading
from unified_rl.statistics import comparable, reference
from unified_rl.statistics.intervals import CONFIDENCE, mean_interval
from unified_rl.statistics.table_files import SCHEMA, in_percent, write_table

TABLE, PAPER = "base_models.csv", "paper_tables.csv"
COLUMNS = [
    *("label", "benchmark", "style", "shots", "shots_by", "examples", "split", "slice", "accuracy", "low", "high"),
    *("num_problems", "decoding", "evaluation", "model", "note"),
]


def write(folders: Sequence[Path], out: Path, command: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write both tables into `out`; returns them.

    Raises:
        DataError: a folder is not that of a base model, holds no complete evaluation with greedy answers, or two of them call
            different models by one label.
    """
    ours = base_models(folders)
    paper = published(ours)
    facts = {"schema": SCHEMA, "command": command, "confidence": CONFIDENCE, "experiments": [folder.name for folder in folders]}
    write_table(ours, out / TABLE, {"table": "base_models", **facts})
    write_table(paper, out / PAPER, {"table": "paper_tables", **facts})
    return ours, paper


def base_models(folders: Sequence[Path]) -> pd.DataFrame:
    """A row per model, benchmark and style, in the order of the folders and of the paper's columns. Raises as `write`."""
    rows: list[dict[str, Any]] = []
    contents: dict[str, str] = {}
    for folder in folders:
        model = reading.read_base_model(folder)
        if contents.setdefault(model["label"], model["content"]) != model["content"]:
            raise DataError(f"{folder} calls another model {model['label']!r} too; evaluate one of them with label=NAME")
        found = [row for path in reading.list_evaluations(folder) for row in _rows(path, model)]
        if not found:
            raise DataError(f"{folder} holds no complete evaluation with greedy answers; evaluate the model first")
        rows += sorted(found, key=lambda row: (_place(row["benchmark"]), row["benchmark"], row["style"], row["evaluation"]))
    return pd.DataFrame(rows, columns=COLUMNS)


def published(ours: pd.DataFrame) -> pd.DataFrame:
    """The paper's rows of base models, of the benchmarks and styles that a table of ours has."""
    table = reference.tables(*reference.OF_BASE_MODELS)
    wanted = set(zip(ours["benchmark"], ours["style"], strict=True))
    there = [pair in wanted for pair in zip(table["benchmark"], table["style"], strict=True)]
    return table[there].reset_index(drop=True)


def format_tables(ours: pd.DataFrame, paper: pd.DataFrame) -> str:
    """Both tables as text for the terminal: a line per model, a column per benchmark and style, in percent."""
    columns = list(dict.fromkeys(zip(ours["benchmark"], ours["style"], strict=True)))
    lines = [["", *(f"{benchmark} ({style})" for benchmark, style in columns)]]
    for label, rows in ours.groupby("label", sort=False):
        cells = {(row.benchmark, row.style): in_percent(row) for row in rows.itertuples()}
        lines.append([str(label), *(cells.get(column, "-") for column in columns)])
    for (number, model, size, setting), rows in paper.groupby(["table", "model", "size", "setting"], sort=False):
        cells = {(row.benchmark, row.style): f"{100 * row.accuracy:.1f}" for row in rows.itertuples()}
        words = " ".join(filter(None, [str(model), str(size)])) + (f", {setting}" if setting else "")
        lines.append([f"paper, Table {number}: {words}", *(cells.get(column, "-") for column in columns)])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    shots = "; ".join(dict.fromkeys(f"{row.benchmark} ({row.style}): {row.shots}, {row.shots_by}" for row in ours.itertuples()))
    foot = (
        "[ours: greedy answers, 95 % interval over problems; worked examples are ours, their number: "
        f"{shots}. The paper's: other models, examples and graders; one run each]"
    )
    return "\n".join([*text, "", foot])


def _rows(path: Path, model: dict[str, str]) -> list[dict[str, Any]]:
    """A row per slice and split of one evaluation's greedy answers; [] where it is unfinished or has none."""
    meta = reading.read_evaluation_meta(path)
    if not meta["complete"]:
        return []
    samples, _ = reading.read_evaluation(path)
    greedy = samples[samples["mode"] == "greedy"]
    said = meta.get("shots")
    shots = said if isinstance(said, dict) else {}
    rows = []
    for (name, split), answers in greedy.groupby(["slice", "split"], sort=False):
        interval = mean_interval((answers["verdict"] == "correct").to_numpy(dtype=float))
        rows.append(
            {
                "label": model["label"],
                "benchmark": str(meta.get("task") or "unknown"),
                "style": str(meta.get("style") or "unknown"),
                "shots": shots.get("count"),
                "shots_by": str(shots.get("chosen_by", "")),
                "examples": str(shots.get("examples", "")),
                "split": split,
                "slice": name,
                **{"accuracy": interval.estimate, "low": interval.low, "high": interval.high},
                "num_problems": interval.num_problems,
                "decoding": comparable.decoding_words(comparable.protocol(meta)),
                "evaluation": path.name,
                "model": model["path"],
                "note": interval.note,
            }
        )
    return rows


def _place(benchmark: str) -> int:
    order = reference.BENCHMARKS
    return order.index(benchmark) if benchmark in order else len(order)
