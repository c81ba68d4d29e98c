"""First-error detection, from the logits of each step to a table. `unified-rl tables FOLDER out=DIR`

A model's first error is the first step whose probability of being right is at most one half, or none. first_error.csv has a row
per measure and source ("all" over all of them):

    erroneous   share of the solutions with an error whose first wrong step is named exactly
    correct     share of the right solutions in which no error is seen
    f1          harmonic mean of the two (as ProcessBench, arXiv 2412.06559, sums them up)
    step_auc    chance that a step known to be right (those before the first error) scores above a first error
    middle      share of the erroneous solutions whose middle step is the first wrong one: what a guess without reading attains

Intervals are 95 % over solutions. Solutions that did not fit the model's context are left out and counted in `left_out`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.base.errors import DataError
from unified_rl.statistics.clustered import Estimate, bootstrap_interval, ratio_interval, weighted_auc
from unified_rl.statistics.table_files import write_table

TABLE = "first_error.csv"
SCHEMA = 1
COLUMNS = ("source", "measure", "estimate", "low", "high", "count", "left_out")


def read_facts(folder: Path | str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """solutions.parquet and meta.json. Raises DataError where they are missing or of another schema."""
    folder = Path(folder)
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        solutions = pd.read_parquet(folder / "solutions.parquet")
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} has no readable first-error facts ({error}); make them again") from error
    if meta.get("schema") != SCHEMA:
        raise DataError(f"{folder / 'meta.json'}: schema {meta.get('schema')!r} is not {SCHEMA}; make it again")
    return solutions, meta


def table(solutions: pd.DataFrame) -> pd.DataFrame:
    """All measures of all sources."""
    parts = [("all", solutions), *solutions.groupby("source")]
    rows = [{"source": source, **row} for source, part in parts for row in _rows(part)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"count": "Int64", "left_out": "Int64"})


def predicted_first_error(logits: np.ndarray) -> int:
    """0-based index of the first step with probability at most one half, -1 where there is none."""
    doubted = np.flatnonzero(np.asarray(logits) <= 0)
    return int(doubted[0]) if len(doubted) else -1


def _rows(part: pd.DataFrame) -> Iterator[dict[str, Any]]:
    scored = part[part["logits"].notna()]
    left_out = len(part) - len(scored)
    truth = scored["first_error"].to_numpy()
    found = np.array([predicted_first_error(logits) for logits in scored["logits"]], dtype=int) == truth
    shares: dict[str, float] = {}
    for measure, chosen in (("erroneous", truth >= 0), ("correct", truth < 0)):
        if chosen.any():
            share = ratio_interval(found[chosen], np.arange(chosen.sum()))
            shares[measure] = share.estimate
            yield {"measure": measure, **_columns(share), "left_out": left_out}
    if len(shares) == 2:
        total = sum(shares.values())
        f1 = 2 * shares["erroneous"] * shares["correct"] / total if total else 0.0
        yield {"measure": "f1", "estimate": f1, "count": len(scored), "left_out": left_out}
    yield from _auc_row(scored, left_out)
    if (truth >= 0).any():
        middle = (scored["num_steps"].to_numpy() - 1) // 2 == truth
        yield {
            "measure": "middle",
            **_columns(ratio_interval(middle[truth >= 0], np.arange((truth >= 0).sum()))),
            "left_out": left_out,
        }


def _auc_row(scored: pd.DataFrame, left_out: int) -> Iterator[dict[str, Any]]:
    known = [
        (solution, logit, step != first)
        for solution, first, logits in zip(scored["solution"], scored["first_error"], scored["logits"], strict=True)
        for step, logit in enumerate(logits[: first + 1] if first >= 0 else logits)
    ]
    right = np.array([is_right for *_, is_right in known], dtype=bool)
    if right.any() and not right.all():
        logit, solution = np.array([item[1] for item in known]), np.array([item[0] for item in known])
        found = bootstrap_interval(partial(weighted_auc, logit, right), solution)
        yield {"measure": "step_auc", **_columns(found), "left_out": left_out}


def _columns(found: Estimate) -> dict[str, Any]:
    return {"estimate": found.estimate, "low": found.low, "high": found.high, "count": found.count}


def write(folder: Path | str, out: Path | str) -> pd.DataFrame:
    """Write first_error.csv into `out` and return it."""
    solutions, meta = read_facts(folder)
    frame = table(solutions)
    command = "unified-rl tables FOLDER out=DIR"
    write_table(frame, Path(out) / TABLE, {"table": "first_error", "command": command, **meta})
    return frame


def format_table(frame: pd.DataFrame) -> str:
    """In percent with 95 % intervals."""
    lines = ["first-error detection, in %:"]
    for row in frame.to_dict("records"):
        interval = "" if pd.isna(row["low"]) else f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
        left_out = f", {row['left_out']} solutions too long" if row["left_out"] else ""
        lines.append(
            f"  {row['source']:28} {row['measure']:10} {100 * row['estimate']:.1f}{interval} (n={row['count']}{left_out})"
        )
    return "\n".join(lines)
