"""Whether the rows of an evaluation are those that its meta data promise: counts, verdicts, distinct samples. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from unified_rl.base.errors import DataError
from unified_rl.base.types import VERDICTS


def check_rows(samples: pd.DataFrame, meta: Mapping[str, Any], path: Path) -> None:
    """Compare the rows of a complete evaluation with its meta data.

    Raises:
        DataError: problems, samples or greedy answers are missing or more than there should be, or a verdict is unknown.
    """
    again = "evaluate the run again"
    unknown = set(samples["verdict"].dropna().unique()) - set(VERDICTS)
    if unknown or samples["verdict"].isna().any():
        raise DataError(f"{path}: {str(min(unknown, default=None))[:60]!r} is no verdict; {again}")
    found = samples.groupby("slice")["problem_id"].nunique().to_dict()
    wanted = {name: count for name, count in meta["problems"].items() if count}
    if found != wanted:
        raise DataError(f"{path} has answers to {found} problems by slice, and meta.json says {wanted}; {again}")
    first, of_first = meta.get("coverage_problems", 0), meta.get("coverage_samples", 0)
    more = sum(min(first, count) for count in wanted.values()) * (of_first - meta["samples_per_problem"])
    problems = sum(wanted.values())
    for mode, count in (("greedy", problems), ("sample", problems * meta["samples_per_problem"] + more)):
        rows = int((samples["mode"] == mode).sum())
        if rows != count and (mode, rows) != ("greedy", 0):  # an evaluation may go without greedy answers
            raise DataError(f"{path} has {rows} {mode} answers, and meta.json says {count}; {again}")


def check_seeds(samples: pd.DataFrame, path: Path) -> None:
    """Raise DataError where samples of one problem have the same seed, so that they are one sample stored several times."""
    if "seed" not in samples:
        return
    drawn = samples[samples["mode"] == "sample"].drop_duplicates(["slice", "split", "problem_id", "sample_index"])
    twice = drawn[drawn.duplicated(["slice", "split", "problem_id", "seed"])]
    if len(twice):
        row = twice.iloc[0]
        raise DataError(
            f"{path}: samples of problem {str(row['problem_id'])[:60]!r} have the same seed {row['seed']}, so one sample is stored "
            "several times; evaluate the run again"
        )
