"""Samples that others made, as JSON lines or Parquet -> Pass@K, Maj@K, pass^K, best-of-K and CoT-Pass@K with their intervals.

One record per sample; its fields, or the names that a file has in their place (`Fields`):

    problem   which problem; records of one problem are its samples       answer   as text; missing or null: no answer, no vote
    correct   whether the answer is right                                  score    of a reward model; may be absent
                                                                           steps    whether every step is right; may be absent

A record may hold a list of `answer` and of `correct` (and of the others) in place of one: it is then several samples. A file is
one policy. What the file says is data: nothing in it is executed or evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.statistics.best_of_k import best_of_k
from unified_rl.statistics.intervals import mean_interval
from unified_rl.statistics.maj_at_k import NoAnswer, Ties, maj_at_k
from unified_rl.statistics.pass_at_k import all_of_k, pass_at_k

#: Metrics as they are called.
NAMES = {"pass": "Pass@K", "all": "pass^K", "maj": "Maj@K", "best": "best-of-K", "cot_pass": "CoT-Pass@K"}
COLUMNS = ["metric", "k", "estimate", "low", "high", "num_problems", "num_samples", "note"]


@dataclass(frozen=True)
class Fields:
    """What a file calls the fields. score, steps: "" = it has none."""

    problem: str = "problem"
    answer: str = "answer"
    correct: str = "correct"
    score: str = ""
    steps: str = ""


@dataclass(frozen=True)
class Traces:
    """The samples of one policy, problem by problem, in the order of the file. Lists are [P] of [n_p].

    answers: None where a sample has none. steps_right: whether all its steps are right. It and scores are empty where the file
        does not say.
    """

    problems: tuple[str, ...]
    answers: list[list[str | None]]
    correct: list[list[bool]]
    scores: list[list[float]] = field(default_factory=list)
    steps_right: list[list[bool]] = field(default_factory=list)

    @property
    def num_samples(self) -> int:
        """The fewest samples of any problem: the largest K."""
        return min(map(len, self.correct))


def read_traces(path: Path | str, fields: Fields | None = None) -> Traces:
    """Read a file of samples.

    Raises:
        DataError: it is missing or unreadable, or a record lacks a field or holds a value of another kind; says which.
    """
    return traces_of(_records(Path(path)), fields, str(path))


def traces_of(records: Iterable[Mapping[str, Any]], fields: Fields | None = None, source: str = "samples") -> Traces:
    """Samples from records. source: what messages call them. Raises as `read_traces`."""
    fields = fields or Fields()
    names = {"answer": fields.answer, "correct": fields.correct, "score": fields.score, "steps": fields.steps}
    columns: dict[str, dict[str, list[Any]]] = {}
    for number, record in enumerate(records, start=1):
        where = f"{source}: record {number}"
        problem = _field(record, fields.problem, where)
        samples = {kind: _as_list(_field(record, name, where)) for kind, name in names.items() if name}
        lengths = {names[kind]: len(values) for kind, values in samples.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"{where} has lists of unequal length ({lengths}); give every sample one value of each field")
        of_problem = columns.setdefault(str(problem), {kind: [] for kind in samples})
        for kind, values in samples.items():
            of_problem[kind] += [_value(kind, value, names[kind], where) for value in values]
    if not columns or not all(found["correct"] for found in columns.values()):
        raise DataError(f"{source} holds no samples{' of some problem' if columns else ''}; give a record for each sample")

    def of(kind: str) -> list[list[Any]]:
        return [found[kind] for found in columns.values()] if names[kind] else []

    return Traces(tuple(columns), of("answer"), of("correct"), of("score"), of("steps"))


def metrics(
    traces: Traces, ks: Sequence[int] = (), ties: Ties = "uniform", no_answer: NoAnswer = "no_vote"
) -> dict[str, tuple[tuple[int, ...], np.ndarray]]:
    """Metric -> (K, value per problem [P, K]): each the exact mean over all K-subsets of a problem's samples.

    pass: one is right; all: every one is right (pass^K); maj: the vote is right; best: the one with the highest score is right;
    cot_pass: one has the right answer *and* every step right (CoT-Pass@K). ks: none = 1, 2, 4, ... up to the fewest samples.
    Answers that are equal as text are one class; all that are right are one class.
    """
    ks = tuple(ks) or tuple(2**i for i in range(traces.num_samples.bit_length()))
    n = np.array([len(row) for row in traces.correct])
    right = np.array([sum(row) for row in traces.correct])
    votes = [_votes(*row) for row in zip(traces.answers, traces.correct, strict=True)]
    silent = [sum(answer is None and not ok for answer, ok in zip(*row, strict=True)) for row in _pairs(traces)]
    classes, correct_class = [vote[0] for vote in votes], [vote[1] for vote in votes]
    found = {
        "pass": pass_at_k(n[:, None], right[:, None], ks),
        "all": all_of_k(n[:, None], right[:, None], ks),
        "maj": maj_at_k(classes, correct_class, ks, ties, num_no_answer=silent, no_answer=no_answer),
    }
    if traces.scores:
        found["best"] = best_of_k(traces.scores, traces.correct, ks)
    if traces.steps_right:
        sound = np.array([sum(map(bool, np.logical_and(*row))) for row in zip(traces.correct, traces.steps_right, strict=True)])
        found["cot_pass"] = pass_at_k(n[:, None], sound[:, None], ks)
    return {name: (ks, np.asarray(values)) for name, values in found.items()}


def traces_table(
    traces: Traces, ks: Sequence[int] = (), ties: Ties = "uniform", no_answer: NoAnswer = "no_vote"
) -> pd.DataFrame:
    """`metrics` averaged over problems, with 95 % intervals over problems: a row per metric and K."""
    rows = []
    for name, (all_k, values) in metrics(traces, ks, ties, no_answer).items():
        for place, k in enumerate(all_k):
            found = mean_interval(values[:, place])
            bounds = {"estimate": found.estimate, "low": found.low, "high": found.high, "note": found.note}
            rows.append(
                {"metric": name, "k": k, "num_problems": found.num_problems, "num_samples": traces.num_samples} | bounds
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def format_table(table: pd.DataFrame) -> str:
    """`traces_table` as text: a line per metric, a column per K, in percent with 95 % intervals."""
    ks = [int(k) for k in dict.fromkeys(table["k"])]
    lines = [["", *(f"K={k}" for k in ks)]]
    for metric, rows in table.groupby("metric", sort=False):
        found = {row.k: f"{100 * row.estimate:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]" for row in rows.itertuples()}
        lines.append([NAMES[str(metric)], *(found.get(k, "-") for k in ks)])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(size) for cell, size in zip(line, widths, strict=True)).rstrip() for line in lines)


def _pairs(traces: Traces) -> Iterable[tuple[list[str | None], list[bool]]]:
    return zip(traces.answers, traces.correct, strict=True)


def _votes(answers: Sequence[str | None], correct: Sequence[bool]) -> tuple[list[int], int]:
    """Samples per answer class of one problem, and the place of the right class (-1: none is right)."""
    wrong: dict[str, int] = {}
    for answer, ok in zip(answers, correct, strict=True):
        if not ok and answer is not None:
            wrong[answer] = wrong.get(answer, 0) + 1
    right = sum(correct)
    return [*wrong.values(), *([right] if right else [])], len(wrong) if right else -1


def _records(path: Path) -> list[Mapping[str, Any]]:
    try:
        if files.plain(path).suffix == ".parquet":
            return list(parquet.read_table(path, use_threads=False).to_pylist())
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path} is not readable as samples ({error}); give JSON lines or a .parquet file") from error
    records: list[Mapping[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number} is no JSON ({error}); give one record a line") from error
        if record is not None and not isinstance(record, dict):
            raise DataError(f"{path}, line {number} is no record but {type(record).__name__}; give an object with named fields")
        if record is not None:
            records.append(record)
    return records


def _field(record: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in record:
        raise DataError(f"{where} has no field {name!r} (it has: {', '.join(map(str, record))}); name the file's own in Fields")
    return record[name]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _value(kind: str, value: Any, name: str, where: str) -> Any:
    if kind == "answer":
        return None if value is None or value == "" or value != value else str(value)  # NaN is what pandas makes of null
    if kind == "score":
        if isinstance(value, bool) or not isinstance(value, int | float) or np.isnan(value):
            raise DataError(f"{where}: {name} is {value!r}, but a score is a number")
        return float(value)
    if not isinstance(value, bool | int | float) or value not in (0, 1):
        raise DataError(f"{where}: {name} is {value!r}, but must be true or false")
    return bool(value)
