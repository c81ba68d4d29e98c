"""What two runs differ in: configuration, metrics, evaluations. `unified-rl diff RUN_A RUN_B`"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.statistics.experiment import Cell, read_experiment
from unified_rl.statistics.intervals import paired_difference
from unified_rl.statistics.load import RUN_COLUMNS, RunTables, load_run

ABSENT = "(absent)"
#: Settings that say where and how fast a run ran, not what it computed.
_PLACES = frozenset({"run_dir", "resume", "artifacts"})


@dataclass(frozen=True)
class RunDiff:
    """Differences of two runs.

    Attributes:
        config: one row per setting that differs: setting, a, b; "(absent)" where a run has no such setting.
        metrics: one row per metric of either run at the last step that both have: metric, step, a, b, difference, and
            `first_difference`, the first common step at which they differ (null if never). What only one run has is a row with
            an empty side.
        evaluations: one row per slice and measure (greedy, avg@1): a, b, difference with its paired 95 % interval, note. Problems
            that only one of the runs has leave the difference empty and are named in the note.
        states: of the two runs, in words.
    """

    config: pd.DataFrame
    metrics: pd.DataFrame
    evaluations: pd.DataFrame
    states: tuple[str, str]

    def __str__(self) -> str:
        changed = self.metrics[self.metrics["first_difference"].notna() | self.metrics[["a", "b"]].isna().any(axis=1)]
        titled = {
            "configuration": (self.config, "equal"),
            "metrics": (changed, "equal at every common step" if len(self.metrics) else "none in common: no training steps"),
            "evaluations": (self.evaluations, "none"),
        }
        blocks = [f"a: {self.states[0]}\nb: {self.states[1]}"]
        blocks += [
            f"{name}:\n{table.to_string(index=False) if len(table) else words}" for name, (table, words) in titled.items()
        ]
        return "\n\n".join(blocks)


def diff(run_a: RunTables | Path | str, run_b: RunTables | Path | str) -> RunDiff:
    """Compare two runs.

    Raises:
        DataError: one of them is not a run, or has a malformed file.
    """
    a, b = (run if isinstance(run, RunTables) else load_run(run) for run in (run_a, run_b))
    return RunDiff(_config(a.config or {}, b.config or {}), _metrics(a, b), _evaluations(a, b), (_state(a), _state(b)))


def _state(run: RunTables) -> str:
    return f"{run.path} ({run.facts['label']}, seed {run.facts['seed']}): {run.state}"


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    out: dict[str, Any] = {}
    for name, value in config.items():
        out |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else {f"{prefix}{name}": value}
    return out


def _config(a: Mapping[str, Any], b: Mapping[str, Any]) -> pd.DataFrame:
    one, other = flat(a), flat(b)
    rows = [
        {"setting": name, "a": one.get(name, ABSENT), "b": other.get(name, ABSENT)}
        for name in dict.fromkeys([*one, *other])
        if name not in _PLACES and one.get(name, ABSENT) != other.get(name, ABSENT)
    ]
    return pd.DataFrame(rows, columns=["setting", "a", "b"])


def _metrics(a: RunTables, b: RunTables) -> pd.DataFrame:
    one, other = (run.metrics.drop(columns=list(RUN_COLUMNS)).set_index("step") for run in (a, b))
    common = one.index.intersection(other.index)
    rows = []
    for name in dict.fromkeys([*one.columns, *other.columns]):
        left, right = (frame[name].reindex(common) if name in frame else pd.Series(np.nan, common) for frame in (one, other))
        left, right = left.astype(float), right.astype(float)
        unequal = common[((left != right) & ~(left.isna() & right.isna())).to_numpy()]
        row = {"metric": name, "step": common.max() if len(common) else None}
        if len(common):
            row |= {"a": left.loc[common.max()], "b": right.loc[common.max()]}
            row |= {"difference": row["b"] - row["a"], "first_difference": unequal.min() if len(unequal) else None}
        rows.append(row)
    columns = ["metric", "step", "a", "b", "difference", "first_difference"]
    return pd.DataFrame(rows, columns=columns).astype({"step": "Int64", "first_difference": "Int64"})


def _evaluations(a: RunTables, b: RunTables) -> pd.DataFrame:
    one, other = (_scores(run) for run in (a, b))
    rows = []
    for key in dict.fromkeys([*one, *other]):
        left, right = one.get(key), other.get(key)
        row: dict[str, Any] = {"slice": key[0], "split": key[1], "measure": key[2]}
        row |= {name: scores.mean() for name, scores in (("a", left), ("b", right)) if scores is not None}
        if left is None or right is None:
            row["note"] = f"only {'a' if right is None else 'b'} has it"
        elif not left.index.equals(right.index):
            row["note"] = (
                f"different problems: a has {len(left)}, b has {len(right)}, {len(left.index.intersection(right.index))} common"
            )
        else:
            interval = paired_difference(right.to_numpy(), left.to_numpy())
            row |= {"difference": interval.estimate, "low": interval.low, "high": interval.high, "note": interval.note}
        rows.append(row)
    return pd.DataFrame(rows, columns=["slice", "split", "measure", "a", "b", "difference", "low", "high", "note"])


def _scores(run: RunTables) -> dict[tuple[str, str, str], pd.Series]:
    """(slice, split, measure) -> score per problem, indexed by problem, of the run's last evaluation."""
    (cell,) = (cell for cell in read_experiment([run.path]) if cell.path is not None and cell.path == run.path)
    return _by_measure(cell)


def _by_measure(cell: Cell) -> dict[tuple[str, str, str], pd.Series]:
    out = {}
    for (slice_name, split), scores in cell.scores.items():
        problems = pd.Index(scores.problem_ids)
        if scores.greedy is not None:
            out[slice_name, split, "greedy"] = pd.Series(scores.greedy, problems)
        if scores.num_samples:
            out[slice_name, split, "avg@1"] = pd.Series(scores.average(), problems)
    return out
