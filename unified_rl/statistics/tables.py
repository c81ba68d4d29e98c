"""Run directories (or a file of `unified-rl export`) -> tidy tables (CSV) of the final policies, curves and dynamics.

    runs.csv      one row per (label, seed): where it stands, also when it is missing
    curves.csv    accuracy while training, per seed and pooled (seed "all"); `answers`: greedy ones, or samples
    pass_maj.csv  Pass@K and Maj@K of the final policies, pooled over seeds, and their paired differences to the SFT policy
    results.csv   one row per label and slice: greedy accuracy, avg@1, Maj@K, Pass@K, difference to the SFT policy
    coverage.csv   the gains over the SFT policy, split into coverage and concentration (`statistics.coverage`)
    crossovers.csv the K at which Pass@K crosses the SFT policy's
    dynamics.csv   reward, KL, entropy, length ... by training step, per seed and pooled (`statistics.dynamics`)

Accuracies are fractions of 1. Pooled rows are over the seeds that have finished (over the unfinished ones if there are no
others, which `status` says). Whatever is unfinished or missing is a row with a `status` and empty numbers, never a hole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.base.errors import DataError
from unified_rl.statistics import variance_split
from unified_rl.statistics.cot_pass import TABLE as COT_PASS
from unified_rl.statistics.cot_pass import cot_pass
from unified_rl.statistics.counts import read_cells
from unified_rl.statistics.dynamics import dynamics
from unified_rl.statistics.experiment import COMPLETE, Cell, commits_of, mixed_code_of
from unified_rl.statistics.gains import coverage_gains, crossovers
from unified_rl.statistics.grid_file import experiment_name, matching_of
from unified_rl.statistics.intervals import CONFIDENCE, FEWEST_SEEDS, Interval, mean_interval
from unified_rl.statistics.maj_at_k import NO_ANSWER_RULES, TIE_RULES, NoAnswer, Ties
from unified_rl.statistics.paired import Differences, baseline_of
from unified_rl.statistics.pooling import (
    by_label,
    k_metrics,
    label_facts,
    num_starts,
    pool,
    pooled_status,
    same_problems,
    slices_of,
    stack,
    starts_of,
)
from unified_rl.statistics.table_files import MAKE_COMMAND, SCHEMA, write_table

POOLED = "all"
TABLES = ("runs", "curves", "pass_maj", "results", "coverage", "crossovers", "dynamics")
HEADLINE_K = 64

RUNS_COLUMNS = ["label", "method", "seed", "status", "evaluation_status", "step", "steps", "run", "commit", "mixed_code"]
CURVES_COLUMNS = [
    *("label", "method", "seed", "step", "slice", "split", "answers", "accuracy", "low", "high", "num_problems", "num_seeds"),
    *("num_starts", *variance_split.COLUMNS, "sampled_tokens", "trained_tokens", "status", "note"),
]
PASS_MAJ_COLUMNS = [
    *("label", "method", "seeds", "slice", "split", "k", "metric", "estimate", "low", "high", "difference", "difference_low"),
    *("difference_high", *variance_split.COLUMNS, *(f"difference_{name}" for name in variance_split.COLUMNS)),
    *("num_problems", "num_seeds", "num_starts", "num_samples", "temperature", "decoding", "status", "note"),
]
_MEASURES = ("greedy", "avg", "maj", "pass", "difference")
RESULTS_COLUMNS = [
    *("label", "method", "seeds", "slice", "split", "step", "k", "k_problems"),
    *(f"{name}{suffix}" for name in _MEASURES for suffix in ("", "_low", "_high")),
    *(f"{name}_{part}" for name in _MEASURES for part in variance_split.COLUMNS),
    *("num_problems", "num_seeds", "num_starts", "num_samples", "temperature", "decoding", "status", "note"),
]


# ------------------------------------------------------------------------------------------------------------------------------
# The tables


def runs(cells: Sequence[Cell]) -> pd.DataFrame:
    """One row per cell, missing ones included."""
    rows = [
        {
            "label": cell.label,
            "method": cell.method,
            "seed": str(cell.seed),
            "status": cell.status,
            "evaluation_status": cell.evaluation_status,
            "step": cell.step,
            "steps": cell.steps,
            "run": cell.path.name if cell.path else "",
            "commit": cell.commit or "",
            "mixed_code": cell.mixed_code,
        }
        for cell in cells
    ]
    return pd.DataFrame(rows, columns=RUNS_COLUMNS).astype({"step": "Int64", "steps": "Int64"})


def curves(cells: Sequence[Cell]) -> pd.DataFrame:
    """Accuracy by step: a row per seed, and a pooled row with seed "all" and an interval over problems and seeds."""
    rows: list[dict[str, Any]] = []
    for group in by_label(cell for cell in cells if not cell.is_baseline):
        for cell in group:
            rows += _curve_rows([cell], str(cell.seed), cell.status)
        pooled = pool(group, lambda cell: cell.status)
        rows += _curve_rows(pooled, POOLED, pooled_status(group, lambda cell: cell.status))
    return pd.DataFrame(rows, columns=CURVES_COLUMNS).astype(
        dict.fromkeys(("step", "num_problems", "num_seeds", "num_starts"), "Int64")
    )


def pass_maj(
    cells: Sequence[Cell], ties: Ties = "uniform", no_answer: NoAnswer = "no_vote", differences: Differences | None = None
) -> pd.DataFrame:
    """Pass@K and Maj@K at K = 1, 2, 4, ..., pooled over seeds; and their differences to the baseline where there is one.

    differences: those of the page, where other tables show them too.
    """
    differences, rows = differences or Differences(), []
    for group, key, pooled in slices_of(cells):
        base = {**label_facts(group, pooled), "slice": key[0], "split": key[1]}
        sampled = [cell for cell in pooled if key in cell.scores and cell.scores[key].num_samples]
        if not sampled:
            rows.append(base)
            continue
        baseline = baseline_of(cells, sampled, key, lambda scores: scores.num_samples > 0)
        ks = min((cell.scores[key].ks for cell in [*sampled, *baseline]), key=len)
        for metric, values in k_metrics(key, ties, no_answer).items():
            values_SPK = stack(sampled, values)
            other_SPK = stack(baseline, values) if baseline else None
            same_problems([*sampled, *baseline], key)
            for place, k in enumerate(ks):
                row = {**base, "k": k, "metric": metric} | _columns(
                    "estimate", mean_interval(values_SPK[:, :, place]), sampled, bare=True
                )
                if other_SPK is not None and not group[0].is_baseline:
                    sides = (
                        list(zip(side, table[:, :, place], strict=True))
                        for side, table in ((sampled, values_SPK), (baseline, other_SPK))
                    )
                    row |= _columns("difference", differences.of((metric, k, *key), *sides).interval, sampled)
                rows.append(row | {"num_samples": sampled[0].scores[key].num_samples})
    return pd.DataFrame(rows, columns=PASS_MAJ_COLUMNS).astype({name: "Int64" for name in ("k", "num_problems", "num_samples")})


def results(
    cells: Sequence[Cell],
    ties: Ties = "uniform",
    no_answer: NoAnswer = "no_vote",
    k: int = HEADLINE_K,
    differences: Differences | None = None,
) -> pd.DataFrame:
    """One row per label and slice: the final policies in figures. differences: as of `pass_maj`.

    `num_problems` are those of greedy and avg; Maj@K and Pass@K are of `k_problems`, the ones with samples enough.
    Columns `greedy`, `avg` (share of right samples), `maj` and `pass` (at K = column `k`: the given one, or the largest power
    of two within the samples) and `difference` (greedy accuracy minus the SFT policy's, paired by problem and seed), each with
    `_low` and `_high`.
    """
    differences, rows = differences or Differences(), []
    for group, key, pooled in slices_of(cells):
        row = {**label_facts(group, pooled), "slice": key[0], "split": key[1]}
        here = [cell for cell in pooled if key in cell.scores]
        same_problems(here, key)
        greedy = [cell for cell in here if cell.scores[key].greedy is not None]
        if greedy:
            table = stack(greedy, _greedy_on(key))
            row |= _columns("greedy", mean_interval(table), greedy) | {
                "step": next(iter(greedy[0].final_metas.values()))["step"]
            }
            baseline = baseline_of(cells, greedy, key, lambda scores: scores.greedy is not None)
            if baseline and not group[0].is_baseline:
                same_problems([*greedy, *baseline], key)
                sides = ([(cell, _greedy_on(key)(cell)) for cell in side] for side in (greedy, baseline))
                row |= _columns("difference", differences.of(("greedy", None, *key), *sides).interval, greedy)
        sampled = [cell for cell in here if cell.scores[key].num_samples]
        rows.append(row | (_of_samples(sampled, key, k_metrics(key, ties, no_answer), k) if sampled else {}))
    return pd.DataFrame(rows, columns=RESULTS_COLUMNS).astype(
        dict.fromkeys(("step", "k", "k_problems", "num_problems", "num_samples"), "Int64")
    )


def format_results(table: pd.DataFrame) -> str:
    """`results` as text for the terminal: one block per split and slice, in percent with 95 % intervals."""
    blocks = []
    for (split, slice_name), block in table.groupby(["split", "slice"], sort=False):
        k = block["k"].dropna()
        shown_k = str(int(k.iloc[0])) if len(k) else "K"
        temperature = block["temperature"].dropna().unique()
        sampled = f"avg@1 T={temperature[0]:g}" if len(temperature) == 1 else "avg@1"
        measures = ["greedy %", sampled, f"Maj@{shown_k}", f"Pass@{shown_k}", "greedy - SFT"]
        header = ["", *measures, "seeds", "starts", variance_split.HEADING, "status"]
        lines = [header]
        for row in block.to_dict("records"):
            cells = [_percent(row, name, signed=name == "difference") for name in _MEASURES]
            behind = [row["seeds"] or "-", str(row["num_starts"]), variance_split.in_words(row, "greedy_")]
            lines.append([row["label"], *cells, *behind, row["status"]])
        problems = block["num_problems"].dropna()
        title = f"{split} / {slice_name}" + (f" ({int(problems.iloc[0])} problems)" if len(problems) else "")
        fewer = block["k_problems"].dropna()
        if len(fewer) and int(fewer.iloc[0]) != int(problems.iloc[0]):
            title = f"{title[:-1]}, Maj@{shown_k} and Pass@{shown_k} of {int(fewer.iloc[0])})"
        blocks.append("\n".join([title, *_aligned(lines)]))
    few = table["num_seeds"].dropna() < FEWEST_SEEDS
    if few.all():
        foot = f"[95 % interval over problems only: fewer than {FEWEST_SEEDS} training seeds; other seeds may differ by more]"
    else:
        exceptions = f"; rows with fewer than {FEWEST_SEEDS} seeds: over problems only" if few.any() else ""
        foot = f"[95 % interval over problems and seeds{exceptions}; {variance_split.READING}, of greedy accuracy]"
    return "\n\n".join([*blocks, foot])


# ------------------------------------------------------------------------------------------------------------------------------
# Parts


def _of_samples(
    sampled: list[Cell], key: tuple[str, str], metrics: Mapping[str, Callable[[Cell], np.ndarray]], most: int
) -> dict[str, Any]:
    """avg, and Maj@K and Pass@K at the largest K up to `most` that all have."""
    ks = min((cell.scores[key].ks for cell in sampled), key=len)
    shown = max(value for value in ks if value <= most)
    row = _columns("avg", mean_interval(stack(sampled, _average_on(key))), sampled)
    of_all = row["num_problems"]
    for metric, values in metrics.items():
        row |= _columns(metric, mean_interval(stack(sampled, values)[:, :, ks.index(shown)]), sampled)
    facts = {"k": shown, "num_samples": sampled[0].scores[key].num_samples}
    return row | facts | {"k_problems": row["num_problems"], "num_problems": of_all}


def _greedy_on(key: tuple[str, str]) -> Callable[[Cell], np.ndarray]:
    return lambda cell: np.asarray(cell.scores[key].greedy)


def _average_on(key: tuple[str, str]) -> Callable[[Cell], np.ndarray]:
    return lambda cell: cell.scores[key].average()


def _columns(name: str, interval: Interval, cells: Sequence[Cell], bare: bool = False) -> dict[str, Any]:
    """Of an interval over these cells; bare: bounds and shares of the variance have no name before them."""
    low, high = ("low", "high") if bare else (f"{name}_low", f"{name}_high")
    return {
        name: interval.estimate,
        low: interval.low,
        high: interval.high,
        "num_problems": interval.num_problems,
        "num_seeds": interval.num_seeds,
        "note": interval.note,
    } | variance_split.columns(interval, starts_of(cells), "" if bare else f"{name}_")


def _curve_rows(cells: list[Cell], seed: str, status: str) -> list[dict[str, Any]]:
    """Rows of `curves` for these cells pooled; one row without numbers if they have no curve."""
    facts = {"seed": seed, "status": status, "num_starts": num_starts(cells)}
    points: dict[tuple[int, str, str], list[tuple[Cell, pd.Series]]] = defaultdict(list)
    for cell in cells:
        facts |= {"label": cell.label, "method": cell.method}
        for _, entry in cell.curve.iterrows():
            points[entry["step"], entry["slice"], entry["split"]].append((cell, entry))
    if not points:
        return [facts] if cells else []
    order = {key: None for key in points}
    slices = list(dict.fromkeys((slice_name, split) for _, slice_name, split in order))
    rows = []
    for step, slice_name, split in sorted(order, key=lambda point: (slices.index(point[1:]), point[0])):
        entries = points[step, slice_name, split]
        interval = mean_interval(_aligned_curve(entries))
        rows.append(
            facts
            | {"step": step, "slice": slice_name, "split": split, "answers": entries[0][1]["answers"]}
            | {"accuracy": interval.estimate}
            | {"low": interval.low, "high": interval.high, "num_problems": interval.num_problems}
            | variance_split.columns(interval, starts_of(cell for cell, _ in entries))
            | {"num_seeds": interval.num_seeds, "note": interval.note}
            | {name: float(np.mean([entry[name] for _, entry in entries])) for name in ("sampled_tokens", "trained_tokens")}
        )
    return rows


def _aligned_curve(entries: list[tuple[Cell, pd.Series]]) -> np.ndarray:
    """[S, P] right/wrong, or shares of right samples, of one step, problems in one order for all seeds."""
    first_cell, first = entries[0]
    rows = []
    for cell, entry in entries:
        by_problem = dict(zip(entry["problem_ids"], entry["correct"], strict=True))
        if by_problem.keys() != set(first["problem_ids"]):
            raise DataError(
                f"{first_cell.path} and {cell.path} measured their curves on different problems of "
                f"{entry['split']}/{entry['slice']}; train both with the same logging.curve_problems and task settings"
            )
        if entry["answers"] != first["answers"]:
            raise DataError(
                f"{first_cell.path} and {cell.path} measured their curves by different answers ({first['answers']}; "
                f"{entry['answers']}); train both with the same logging.curve_samples"
            )
        rows.append([by_problem[problem] for problem in first["problem_ids"]])
    return np.array(rows, dtype=float)


def _percent(row: dict[str, Any], name: str, signed: bool = False) -> str:
    if pd.isna(row[name]):
        return "-"
    sign = "+" if signed else ""
    value, low, high = (100 * row[column] for column in (name, f"{name}_low", f"{name}_high"))
    return f"{value:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


def _aligned(lines: list[list[str]]) -> list[str]:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


# ------------------------------------------------------------------------------------------------------------------------------
# As files


def write_tables(
    folders: Sequence[Path | str],
    out: Path | str,
    *,
    ties: Ties = "uniform",
    no_answer: NoAnswer = "no_vote",
    evaluation: str | None = None,
    differences: Differences | None = None,
) -> pd.DataFrame:
    """Write the tables of this module and of `gains` into `out` as CSV; return the results.

    Args:
        differences: those of the page that the tables are part of.

    Raises:
        DataError: see `read_cells`; or policies that were not measured on the same problems.
    """
    cells, _ = read_cells(folders, evaluation)
    differences = differences or Differences()
    tables = {
        "runs": runs(cells),
        "curves": curves(cells),
        "pass_maj": pass_maj(cells, ties, no_answer, differences),
        "results": results(cells, ties, no_answer, differences=differences),
        "coverage": coverage_gains(cells, ties, no_answer),
        "crossovers": crossovers(cells),
        "dynamics": dynamics(cells),
        COT_PASS: cot_pass(cells, differences),
    }
    facts = _provenance(cells, folders, ties, no_answer)
    for name, table in tables.items():
        if len(table) or name != COT_PASS:  # few tasks can judge steps
            write_table(table, Path(out) / f"{name}.csv", {"table": name, **facts})
    return tables["results"]


def _provenance(cells: Sequence[Cell], folders: Sequence[Path | str], ties: Ties, no_answer: NoAnswer) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "command": MAKE_COMMAND,
        "experiments": [experiment_name(folder) for folder in folders],
        "matching": matching_of(folders),
        "commits": commits_of(cells),
        "mixed_code": mixed_code_of(cells),
        "seeds": sorted({cell.seed for cell in cells if not cell.is_baseline}),
        "num_starts": num_starts(cells),
        "decoding": max((cell.decoding for cell in cells), key=len, default=""),
        "confidence": CONFIDENCE,
        "ties": {"rule": ties, "meaning": TIE_RULES[ties]},
        "no_answer": {"rule": no_answer, "meaning": NO_ANSWER_RULES[no_answer]},
        "unfinished": {
            f"{cell.label}, seed {cell.seed}": cell.evaluation_status for cell in cells if cell.evaluation_status != COMPLETE
        },
    }
