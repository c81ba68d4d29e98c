"""Iterative RL -> tidy tables (CSV). `unified-rl tables RUN [RUN ...] out=DIR`, RUN being one
seed's run directory.

    iteration_curves.csv   accuracy by step, per iteration; steps count on from iteration to iteration (paper's Figure 6)
    iteration_drift.csv    what the reward model pays for the policy's samples, and the share of them that is right
    iteration_gains.csv    iteration i + 1 minus the control of i at the last step that both have: what renewing gained, paired
    agreement.csv          reward models compared on the same held-out responses: with the rule, and each with the one before

A curve's `part` is "main" up to the step from which the next iteration starts, and "control" from there on: the same policy going
on with its old reward model and reference. Curves and gains are of greedy answers or of samples, as `answers` says. Drift is
reward - correct: over-optimisation shows as the two parting. A row "all" pools the seeds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.records import reading as run_reading
from unified_rl.records import seals
from unified_rl.records.config_file import flat
from unified_rl.statistics import comparable, variance_split
from unified_rl.statistics.clustered import plain_auc
from unified_rl.statistics.grid_file import matching_of
from unified_rl.statistics.intervals import Interval, mean_interval, paired_difference
from unified_rl.statistics.planning import paired_p_value
from unified_rl.statistics.table_files import SCHEMA, write_table

RUN_SCHEMA = 1
#: How settings end that turn judgements over: of the labels of a reward model, of the rule's or the checker's word.
_NOISE_RATES = ("false_positive", "false_negative")
POOLED = "all"
TABLES = ("iteration_curves", "iteration_gains", "iteration_drift", "agreement")
MAKE_COMMAND = "unified-rl iterate ... run_dir=RUN"


@dataclass(frozen=True)
class IterativeRun:
    """One seed: its directory, its seed, what `iterate.json` says of its iterations, where it stands, and its configuration."""

    path: Path
    seed: int
    facts: dict[str, Any]
    state: str
    settings: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def iterations(self) -> list[dict[str, Any]]:
        return self.facts["iterations"]


def read_runs(paths: Sequence[Path | str]) -> list[IterativeRun]:
    """Raises DataError where a directory holds no iterative run, or one of another schema, or two have the same seed."""
    found = [_read_run(Path(path)) for path in paths]
    seeds = [run.seed for run in found]
    if len(set(seeds)) < len(seeds):
        raise DataError(f"two runs have the same seed ({seeds}); give each run once, and no two settings together")
    return found


def curves(found: Sequence[IterativeRun]) -> pd.DataFrame:
    """Accuracy by (iteration, step, slice), a row per seed and a pooled one with an interval."""
    points: dict[tuple[int, int, str], dict[int, list[float]]] = {}
    order: list[tuple[int, int, str]] = []
    for run in found:
        for entry in run.iterations:
            for _, point in run_reading.read_curve(run.path / entry["run"]).iterrows():
                key = (entry["iteration"], entry["first_step"] + int(point["step"]), point["slice"])
                if key not in points:
                    order.append(key)
                points.setdefault(key, {})[run.seed] = list(point["correct"])
    rows = []
    steps, answers = _steps(found), answers_of(found)
    slices = list(dict.fromkeys(slice_name for *_, slice_name in order))  # in the task's order
    for iteration, step, slice_name in sorted(order, key=lambda key: (key[0], slices.index(key[2]), key[1])):
        scores = points[iteration, step, slice_name]
        runs = [run for run in found if run.seed in scores]
        part = "main" if step <= steps * (iteration + 1) else "control"
        base = {"iteration": iteration, "step": step, "slice": slice_name, "part": part, "answers": answers}
        pooled = scores if len(scores) == len(found) else {}
        for seed, table in [*((str(seed), [row]) for seed, row in scores.items()), (POOLED, list(pooled.values()))]:
            if table:
                interval = mean_interval(np.array(table, dtype=float))
                rows.append({**base, "seed": seed, "accuracy": interval.estimate, **_bounds(interval, runs)})
    return pd.DataFrame(rows)


def gains(found: Sequence[IterativeRun]) -> pd.DataFrame:
    """Accuracy of each iteration minus that of its control, at the last step that both have, over seeds and problems."""
    columns = [
        "iteration",
        "step",
        "slice",
        "answers",
        "estimate",
        "low",
        "high",
        "p",
        "num_problems",
        "num_seeds",
        "num_starts",
    ]
    columns += [*variance_split.COLUMNS, "note"]
    rows, answers = [], answers_of(found)
    for iteration in range(1, 1 + max(len(run.iterations) for run in found) - 1):
        pairs = [(run, common_points(run, iteration)) for run in found if len(run.iterations) > iteration]
        for step, slice_name in dict.fromkeys((step, name) for _, points in pairs for name, (step, *_) in points.items()):
            there = [(run, points[slice_name]) for run, points in pairs if points.get(slice_name, (None,))[0] == step]
            runs, both = zip(*there, strict=True)
            renewed, control = (np.array([point[place] for point in both], dtype=float) for place in (1, 2))
            gain = paired_difference(renewed, control)
            row = {"iteration": iteration, "step": step, "slice": slice_name, "estimate": gain.estimate, "note": gain.note}
            row["answers"] = answers
            rows.append(row | {"p": paired_p_value(renewed, control)} | _bounds(gain, runs))
    return pd.DataFrame(rows, columns=columns)


def drift(found: Sequence[IterativeRun]) -> pd.DataFrame:
    """The reward model's mean reward of each step's samples beside the share of right answers among them."""
    rows = []
    for run in found:
        for entry in run.iterations:
            for _, point in run_reading.read_metrics(run.path / entry["run"]).iterrows():
                rows.append(
                    {
                        "iteration": entry["iteration"],
                        "step": entry["first_step"] + int(point["step"]),
                        "seed": str(run.seed),
                        "reward": point["reward/mean"],
                        "accepted": point["reward/accepted"],
                        "correct": point["reward/correct"],
                        "kl": point.get("kl/k3"),
                    }
                )
    table = pd.DataFrame(rows)
    numbers = ["reward", "accepted", "correct", "kl"]
    pooled = table.groupby(["iteration", "step"], as_index=False)[numbers].mean().assign(seed=POOLED)
    counts = table.groupby(["iteration", "step"])["seed"].nunique()
    pooled = pooled[
        [counts[iteration, step] == len(found) for iteration, step in zip(pooled.iteration, pooled.step, strict=True)]
    ]
    table = pd.concat([table, pooled], ignore_index=True)
    return table.assign(drift=table["reward"] - table["correct"])


def agreement(found: Sequence[IterativeRun]) -> pd.DataFrame:
    """Per seed and reward model: accuracy and AUC against the rule, agreement and correlation with the model before it."""
    rows = []
    for run in found:
        before: pd.DataFrame | None = None
        for path in sorted((run.path / "agreement").glob("*.parquet"), key=lambda path: int(path.stem)):
            now = read_agreement(path)
            row = {
                "iteration": int(path.stem),
                "seed": str(run.seed),
                "accuracy": float((now["accepted"] == now["correct"]).mean()),
                "auc": plain_auc(now["reward"].to_numpy(), now["correct"].to_numpy()),
                "mean_reward": float(now["reward"].mean()),
                "share_correct": float(now["correct"].mean()),
                "responses": len(now),
            }
            if before is not None:
                row["same_judgement"] = float((now["accepted"] == before["accepted"]).mean())
                row["correlation"] = _correlation(now["reward"].to_numpy(), before["reward"].to_numpy())
            rows.append(row)
            before = now
    columns = [
        "iteration",
        "seed",
        "accuracy",
        "auc",
        "mean_reward",
        "share_correct",
        "responses",
        "same_judgement",
        "correlation",
    ]
    return pd.DataFrame(rows, columns=columns)


def write_tables(paths: Sequence[Path | str], out: Path | str, command: str = "") -> dict[str, pd.DataFrame]:
    """Write the tables into `out` as CSV and return them."""
    found = read_runs(paths)
    tables = {
        "iteration_curves": curves(found),
        "iteration_gains": gains(found),
        "iteration_drift": drift(found),
        "agreement": agreement(found),
    }
    options = {name: value for name, value in found[0].facts.items() if name not in ("iterations", "schema")}
    provenance = {
        "schema": SCHEMA,
        "command": command or "unified-rl tables RUN [RUN ...] out=DIR",
        "confidence": 0.95,
        "label": str(found[0].settings.get("label") or ""),
        "seeds": [run.seed for run in found],
        "num_starts": comparable.count_starts(run.settings for run in found),
        "iterate": options,
        "label_noise": _label_noise(found[0].settings),
        "experiments": [run.path.name for run in found],
        "matching": matching_of(paths),
        "commits": sorted(filter(None, {_commit(run) for run in found})),
        "unfinished": {str(run.path): run.state for run in found if run.state != "finished"},
    }
    for name, table in tables.items():
        write_table(table, Path(out) / f"{name}.csv", provenance)
    return tables


def _label_noise(settings: Mapping[str, Any]) -> dict[str, float]:
    """Rates at which judgements are turned over, by their settings' names; those that are 0 left out."""
    return {name: float(rate) for name, rate in settings.items() if name.endswith(_NOISE_RATES) and rate}


def _read_run(path: Path) -> IterativeRun:
    file = path / "iterate.json"
    for name in [file.name, *seals.listed(path)]:
        seals.check_file(path, name)
    try:
        facts = files.read_json(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is missing or unreadable ({error}); make the run with: {MAKE_COMMAND}") from error
    if not isinstance(facts, dict) or not _are_iterations(facts.get("iterations")):
        raise DataError(f"{file} does not say which iterations there are; resume the run to write it again")
    if facts.get("schema") != RUN_SCHEMA:
        raise DataError(f"{file}: schema {facts.get('schema')!r} is not {RUN_SCHEMA}, which this version reads; run it again")
    config = run_reading.read_config(path) or {}
    status = run_reading.read_status(path)
    return IterativeRun(path, int(config.get("seed", 0)), facts, status["state"] if status else "unfinished", flat(config))


def _are_iterations(value: Any) -> bool:
    """Whether iterate.json lists iterations, each a plain folder of the run."""
    entries = value if isinstance(value, list) and value else [None]
    return all(
        isinstance(entry, dict)
        and isinstance(entry.get("iteration"), int)
        and isinstance(entry.get("first_step"), int)
        and re.fullmatch(r"iteration_\d+", str(entry.get("run"))) is not None
        for entry in entries
    )


def common_points(run: IterativeRun, iteration: int) -> dict[str, tuple[int, list[float], list[float]]]:
    """Slice -> (step since the start, right answers of the iteration, of its control) at the last step that both have.

    Of greedy answers 0 or 1 a problem, of samples the share that is right.
    """
    points: list[dict[str, dict[int, Any]]] = []
    for entry in (run.iterations[iteration], run.iterations[iteration - 1]):
        by_slice: dict[str, dict[int, Any]] = {}
        for _, point in run_reading.read_curve(run.path / entry["run"]).iterrows():
            by_slice.setdefault(point["slice"], {})[entry["first_step"] + int(point["step"])] = point
        points.append(by_slice)
    found = {}
    for name in points[0].keys() & points[1].keys():
        common = points[0][name].keys() & points[1][name].keys()
        last = max(common, default=run.iterations[iteration]["first_step"])
        if last > run.iterations[iteration]["first_step"]:  # at the fork itself the two are one policy
            renewed, control = points[0][name][last], points[1][name][last]
            found[name] = last, list(renewed["correct"]), list(control["correct"])
    return dict(sorted(found.items()))


def answers_of(found: Sequence[IterativeRun]) -> str:
    """What the curves of these runs are made of: "greedy", or so many samples; "" of runs without a curve.

    Raises:
        DataError: they are made of different answers.
    """
    curves = [run_reading.read_curve(run.path / entry["run"]) for run in found for entry in run.iterations]
    kinds = list(dict.fromkeys(kind for curve in curves for kind in curve["answers"]))
    if len(kinds) > 1:
        raise DataError(
            f"the learning curves of {', '.join(run.path.name for run in found)} are by different answers ({'; '.join(kinds)}); "
            "train all with the same logging.curve_samples"
        )
    return kinds[0] if kinds else ""


def _commit(run: IterativeRun) -> str:
    provenance = run_reading.read_provenance(run.path / run.iterations[0]["run"]) or {}
    return (provenance.get("git") or {}).get("commit") or ""


def _steps(found: Sequence[IterativeRun]) -> int:
    lengths = {run.facts["steps"] for run in found}
    if len(lengths) > 1:
        raise DataError(f"the runs have iterations of different lengths ({sorted(lengths)} steps), so they cannot be pooled")
    return lengths.pop()


def read_agreement(path: Path) -> pd.DataFrame:
    """What a reward model said of the held-out responses: prompt_id, sample_index, reward, accepted, correct."""
    try:
        return parquet.read_table(files.plain(path), use_threads=False).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not readable ({error}); delete it and resume the iterative run") from error


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else float("nan")


def _bounds(interval: Interval, runs: Sequence[IterativeRun]) -> dict[str, Any]:
    """Of an interval over these runs, or one of them."""
    return {
        "low": interval.low,
        "high": interval.high,
        "num_problems": interval.num_problems,
        "num_seeds": interval.num_seeds,
        "num_starts": comparable.count_starts(run.settings for run in runs) if interval.num_seeds > 1 else 1,
    } | variance_split.columns(interval, [comparable.start_of(run.settings) for run in runs])


def format_tables(tables: dict[str, pd.DataFrame]) -> str:
    """The last points of the curves, the gains and the agreement of reward models as text."""
    last = tables["iteration_curves"].query("seed == 'all'").groupby(["slice", "iteration", "part"]).last()
    gained, agreed = (tables[name].round(3).to_string(index=False) for name in ("iteration_gains", "agreement"))
    return "\n".join([last[["step", "accuracy", "low", "high"]].round(3).to_string(), gained, agreed])
