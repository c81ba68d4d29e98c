"""Votes of evaluated policies as one small Parquet file: everything that Pass@K, Maj@K and their intervals need, and no texts.

One row per policy and problem:

    label, method, seed              the policy          slice, split, problem_id         the problem
    num_samples                      samples drawn       num_correct, num_no_answer       of them
    class_counts                     samples per answer, by place; correct_class: the right answer's place, -1 if never sampled
    greedy                           1 or 0, null without a greedy answer

The file's metadata hold the schema's version, how the file was made, and every cell of the experiment with its state, so that
an unfinished or missing one is still visible. `read_counts` gives the cells back as `read_experiment` does, so that every
table and figure can be made from the file. `unified-rl export` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

from unified_rl.base.errors import DataError
from unified_rl.base.files import replacing
from unified_rl.records import reading as run_reading
from unified_rl.statistics import comparable
from unified_rl.statistics.experiment import Cell, Scores, read_experiment

SCHEMA = 1
#: The default run's votes, shipped with the repository.
SHIPPED = Path(__file__).with_name("results") / "tiny_world.parquet"
MAKE_COMMAND = "unified-rl export RUNS out=FILE.parquet"
_KEY = b"unified_rl.counts"
COLUMNS = pa.schema(
    [
        ("label", pa.string()),
        ("method", pa.string()),
        ("seed", pa.int32()),
        ("slice", pa.string()),
        ("split", pa.string()),
        ("problem_id", pa.string()),
        ("num_samples", pa.int32()),
        ("num_correct", pa.int32()),
        ("num_no_answer", pa.int32()),
        ("class_counts", pa.list_(pa.int32())),
        ("correct_class", pa.int32()),
        ("greedy", pa.int8()),
    ]
)
_CELL_FACTS = (
    "label",
    "method",
    "seed",
    "state",
    "step",
    "steps",
    "error",
    "commit",
    "mixed_code",
    "evaluation",
    "configuration",
)


@dataclass(frozen=True)
class StoredCell(Cell):
    """A cell read back from a counts file: its scores are at hand, its curve is not kept."""

    stored: dict[tuple[str, str], Scores] = field(default_factory=dict, repr=False)

    @property
    def scores(self) -> dict[tuple[str, str], Scores]:
        return self.stored

    @property
    def curve(self) -> pd.DataFrame:
        return pd.DataFrame(columns=list(run_reading.CURVE_COLUMNS))


def read_cells(sources: Sequence[Path | str], evaluation: str | None = None) -> tuple[list[Cell], dict[str, Any]]:
    """Cells of experiment directories, or of one counts file; and the facts of the file (empty for directories).

    Raises:
        DataError: see `read_experiment` and `read_counts`; or directories and a file mixed.
    """
    files = [Path(source) for source in sources if Path(source).is_file()]
    if not files:
        return read_experiment(sources, evaluation), {}
    if len(sources) > 1:
        raise DataError(f"{files[0]} is a file of counts and is read alone; leave the other {len(sources) - 1} out")
    return read_counts(files[0])


def write_counts(cells: Sequence[Cell], path: Path | str, facts: Mapping[str, Any]) -> None:
    """Write a counts file aside and rename it into place. facts: how it was made, for its metadata."""
    rows = [row for cell in cells for key, scores in cell.scores.items() for row in _rows(cell, key, scores)]
    table = pa.Table.from_pylist(rows, schema=COLUMNS)
    described = {"schema": SCHEMA, **facts, "cells": [_describe(cell) for cell in cells]}
    table = table.replace_schema_metadata({_KEY: json.dumps(described, ensure_ascii=False).encode()})
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        parquet.write_table(table, aside, compression="zstd")


def read_counts(path: Path | str) -> tuple[list[Cell], dict[str, Any]]:
    """The cells of a counts file, in the order in which they were written, and the facts of how it was made.

    Raises:
        DataError: the file is missing, is no counts file, or has a schema that this version does not know.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist; make it with: {MAKE_COMMAND}")
    try:
        table = parquet.read_table(path, use_threads=False)
        facts = json.loads((table.schema.metadata or {})[_KEY])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is not a file of counts ({error}); make it with: {MAKE_COMMAND}") from error
    if facts.get("schema") != SCHEMA:
        raise DataError(
            f"{path}: schema {facts.get('schema')!r} is not {SCHEMA}, which this version reads; make it again with: {MAKE_COMMAND}"
        )
    missing = [name for name in COLUMNS.names if name not in table.column_names]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}; make it again with: {MAKE_COMMAND}")
    groups = table.to_pandas().groupby(["label", "seed", "slice", "split"], sort=False)
    scores: dict[tuple[str, int], dict[tuple[str, str], Scores]] = {}
    for (label, seed, slice_name, split), rows in groups:
        scores.setdefault((label, seed), {})[slice_name, split] = _scores(rows)
    return [_cell(entry, scores.get((entry["label"], entry["seed"]), {})) for entry in facts["cells"]], facts


def _rows(cell: Cell, key: tuple[str, str], scores: Scores) -> list[dict[str, Any]]:
    return [
        {
            "label": cell.label,
            "method": cell.method,
            "seed": cell.seed,
            "slice": key[0],
            "split": key[1],
            "problem_id": problem,
            "num_samples": scores.num_samples if scores.samples_P is None else int(scores.samples_P[place]),
            "num_correct": int(scores.num_correct[place]),
            "num_no_answer": int(scores.num_no_answer[place]),
            "class_counts": scores.class_counts[place],
            "correct_class": int(scores.correct_class[place]),
            "greedy": None if scores.greedy is None else int(scores.greedy[place]),
        }
        for place, problem in enumerate(scores.problem_ids)
    ]


def _describe(cell: Cell) -> dict[str, Any]:
    facts = {name: getattr(cell, name) for name in _CELL_FACTS}
    return {
        **facts,
        "run": cell.path.name if cell.path else None,
        "start": dict(comparable.start_of(cell.settings)),
        "metas": {path.name: meta for path, meta in cell.metas.items()},
    }


def _cell(entry: dict[str, Any], scores: dict[tuple[str, str], Scores]) -> StoredCell:
    return StoredCell(
        **{name: entry[name] for name in _CELL_FACTS if name in entry},
        path=Path(entry["run"]) if entry["run"] else None,
        metas={Path(name): meta for name, meta in entry["metas"].items()},
        stored=scores,
        settings=entry.get("start", {}),
    )


def _scores(rows: pd.DataFrame) -> Scores:
    greedy, samples = rows["greedy"], rows["num_samples"]
    return Scores(
        problem_ids=tuple(rows["problem_id"]),
        greedy=None if greedy.isna().any() else greedy.to_numpy(dtype=float),
        num_samples=int(samples.max()),
        samples_P=samples.to_numpy(dtype=np.int64) if samples.nunique() > 1 else None,
        num_correct=rows["num_correct"].to_numpy(dtype=np.int64),
        num_no_answer=rows["num_no_answer"].to_numpy(dtype=np.int64),
        class_counts=[counts.tolist() for counts in rows["class_counts"]],
        correct_class=rows["correct_class"].to_numpy(dtype=np.int64),
    )
