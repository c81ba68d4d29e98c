"""Differences between named labels, paired by problem and seed.

`python -m unified_rl.statistics.contrasts EXPERIMENT_DIR "A|B" ... --out DIR`

    contrasts.csv   one row per pair, slice and metric: label minus baseline, 95 % interval, a verdict, the paired test's p

`verdict` is "above 0", "below 0" or "includes 0". Metrics: greedy accuracy, avg@1 (share of right samples), and Maj@K and Pass@K
at the largest K that all have.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.errors import DataError, UnifiedRLError
from unified_rl.statistics.counts import read_cells
from unified_rl.statistics.experiment import Cell
from unified_rl.statistics.grid_file import experiment_name, matching_of
from unified_rl.statistics.intervals import CONFIDENCE, paired_difference
from unified_rl.statistics.maj_at_k import NoAnswer, Ties
from unified_rl.statistics.planning import paired_p_value
from unified_rl.statistics.pooling import k_metrics, pool, same_problems, stack
from unified_rl.statistics.table_files import SCHEMA, write_table

COLUMNS = [
    *("label", "baseline", "slice", "split", "metric", "k", "estimate", "low", "high", "verdict", "p"),
    *("num_problems", "num_seeds", "note"),
]


def contrasts(
    cells: Sequence[Cell], pairs: Sequence[tuple[str, str]], ties: Ties = "uniform", no_answer: NoAnswer = "no_vote"
) -> pd.DataFrame:
    """Label minus baseline for every pair, slice and metric.

    Raises:
        DataError: a label that no cell has, or two labels that were measured on different problems.
    """
    rows = []
    for label, baseline in pairs:
        ours, theirs = _same_seeds(_cells_of(cells, label), _cells_of(cells, baseline))
        for key in ours[0].scores:
            same_problems([*ours, *theirs], key)
            for metric, (k, values) in _metrics(ours + theirs, key, ties, no_answer).items():
                scores, others = stack(ours, values), stack(theirs, values)
                found = paired_difference(scores, others)
                rows.append(
                    {
                        "label": label,
                        "baseline": baseline,
                        "slice": key[0],
                        "split": key[1],
                        "metric": metric,
                        "k": k,
                        "estimate": found.estimate,
                        "low": found.low,
                        "high": found.high,
                        "verdict": verdict(found.low, found.high),
                        "p": paired_p_value(scores, others),
                        "num_problems": found.num_problems,
                        "num_seeds": found.num_seeds,
                        "note": found.note,
                    }
                )
    return pd.DataFrame(rows, columns=COLUMNS).astype({"k": "Int64"})


def verdict(low: float, high: float) -> str:
    """Where an interval lies."""
    if low > 0:
        return "above 0"
    return "below 0" if high < 0 else "includes 0"


def format_contrasts(table: pd.DataFrame) -> str:
    """The table as text, in percentage points."""
    shown = table.copy()
    for name in ("estimate", "low", "high"):
        shown[name] = (100 * shown[name]).map("{:+.1f}".format)
    shown["difference"] = shown["estimate"] + " [" + shown["low"] + ", " + shown["high"] + "]"
    shown["metric"] = shown["metric"] + shown["k"].map(lambda k: "" if pd.isna(k) else f"@{k}")
    columns = ["label", "baseline", "slice", "metric", "difference", "verdict", "num_seeds"]
    return shown[columns].to_string(index=False)


def _cells_of(cells: Sequence[Cell], label: str) -> list[Cell]:
    known = list(dict.fromkeys(cell.label for cell in cells))
    group = [cell for cell in cells if cell.label == label]
    if not group:
        raise DataError(f"no run has the label {label!r}; the labels are: {', '.join(known)}")
    evaluated = [cell for cell in pool(group, lambda cell: cell.evaluation_status) if cell.scores]
    if not evaluated:
        raise DataError(f"no run labelled {label!r} has been evaluated yet; finish the experiment first")
    return evaluated


def _same_seeds(ours: list[Cell], theirs: list[Cell]) -> tuple[list[Cell], list[Cell]]:
    """The cells whose seeds both have, in the same order; the SFT policy, where there is one, serves all seeds."""
    if len(theirs) == 1 and theirs[0].is_baseline:
        return ours, theirs
    by_seed = {cell.seed: cell for cell in theirs}
    common = [cell for cell in ours if cell.seed in by_seed]
    if not common:
        raise DataError(f"{ours[0].label!r} and {theirs[0].label!r} have no seed in common, so they cannot be paired")
    return common, [by_seed[cell.seed] for cell in common]


def _metrics(
    cells: list[Cell], key: tuple[str, str], ties: Ties, no_answer: NoAnswer
) -> dict[str, tuple[int | None, Callable[[Cell], np.ndarray]]]:
    """Name -> (K, values [P] of a cell)."""
    found: dict[str, tuple[int | None, Callable[[Cell], np.ndarray]]] = {}
    if all(cell.scores[key].greedy is not None for cell in cells):
        found["greedy"] = None, lambda cell: np.asarray(cell.scores[key].greedy, dtype=float)
    if all(cell.scores[key].num_samples for cell in cells):
        ks = min((cell.scores[key].ks for cell in cells), key=len)
        found["avg"] = None, lambda cell: cell.scores[key].average()
        for name, values in k_metrics(key, ties, no_answer).items():
            found[name] = ks[-1], lambda cell, values=values: values(cell)[:, len(ks) - 1]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m unified_rl.statistics.contrasts", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("experiment", type=Path, help="folder of run directories, or a file of `statistics.export`")
    parser.add_argument("pairs", nargs="+", metavar="LABEL|BASELINE")
    parser.add_argument("--out", type=Path, required=True, help="folder for contrasts.csv")
    options = parser.parse_args(argv)
    try:
        pairs = [_pair(word) for word in options.pairs]
        cells, _ = read_cells([options.experiment])
        table = contrasts(cells, pairs)
        facts = _provenance(cells, options.experiment)
    except UnifiedRLError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    command = shlex.join(["python", "-m", "unified_rl.statistics.contrasts", str(options.experiment), *options.pairs])
    write_table(table, options.out / "contrasts.csv", {"schema": SCHEMA, "command": command, **facts})
    print(format_contrasts(table))
    return 0


def _provenance(cells: Sequence[Cell], experiment: Path) -> dict[str, Any]:
    return {
        "confidence": CONFIDENCE,
        "matching": matching_of([experiment]),
        "experiments": [experiment_name(experiment)],
        "commits": sorted({cell.commit for cell in cells if cell.commit}),
        "seeds": sorted({cell.seed for cell in cells if not cell.is_baseline}),
    }


def _pair(word: str) -> tuple[str, str]:
    label, bar, baseline = word.partition("|")
    if not bar or not label or not baseline:
        raise DataError(f"{word!r} is not of the form LABEL|BASELINE")
    return label, baseline


if __name__ == "__main__":
    sys.exit(main())
