"""What training gained over the SFT policy, as tables: the split into coverage and concentration, and where curves cross.

`unified-rl tables` writes them as coverage.csv and crossovers.csv. A label that cannot be compared (nothing
evaluated yet, no samples, no SFT policy on the same problems) has a row without numbers whose status or note says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.statistics import variance_split
from unified_rl.statistics.coverage import coverage_table
from unified_rl.statistics.crossover import pass_at_k_crossover
from unified_rl.statistics.experiment import Cell, Scores
from unified_rl.statistics.maj_at_k import NoAnswer, Ties
from unified_rl.statistics.paired import baseline_of
from unified_rl.statistics.pooling import label_facts, same_problems, slices_of, stack, starts_of
from unified_rl.statistics.variance_split import COLUMNS as VARIANCE

FACTS = ("label", "method", "seeds", "num_starts", "slice", "split")
COVERAGE_COLUMNS = [
    *(*FACTS, "score", "k", "part", "estimate", "low", "high", "num_problems", "num_seeds", *VARIANCE),
    *("decoding", "status", "note"),
]
CROSSOVER_COLUMNS = [
    *(*FACTS, "leader", "crossings", "overtaking", "low", "high", "crossing_share", "num_samples", "num_problems", "num_seeds"),
    *(*VARIANCE, "decoding", "status", "note"),
]
NO_BASELINE = "no SFT policy with samples of these problems to compare with"


def coverage_gains(cells: Sequence[Cell], ties: Ties = "uniform", no_answer: NoAnswer = "no_vote") -> pd.DataFrame:
    """`coverage.coverage_split` of every label over the SFT policy, at K = 1, 2, 4, ...

    Columns: `score` "maj" (the gain in Maj@K) or "avg" (the gain in accuracy, the same at every K); `part` "gain", "coverage" or
    "concentration"; seeds pooled, paired by problem.
    """
    rows: list[dict[str, Any]] = []
    for facts, key, sampled, baseline in _comparisons(cells):
        if not baseline:
            rows.append(facts)
            continue
        ks = min((cell.scores[key].ks for cell in [*sampled, *baseline]), key=len)
        passed, base_passed = (_at(group, key, ks, lambda scores: scores.pass_at()) for group in (sampled, baseline))
        scored = {"maj": lambda scores: scores.maj_at(ties, no_answer), "avg": _average_at_every_k}
        for score, values in scored.items():
            own, other = (_at(group, key, ks, values) for group in (sampled, baseline))
            for entry in coverage_table(ks, own, passed, other, base_passed, starts=starts_of(sampled)).to_dict("records"):
                rows.append({**facts, "score": score, **entry})
    return pd.DataFrame(rows, columns=COVERAGE_COLUMNS).astype({"k": "Int64", "num_problems": "Int64", "num_seeds": "Int64"})


def crossovers(cells: Sequence[Cell]) -> pd.DataFrame:
    """`crossover.pass_at_k_crossover` of every label ("a") and the SFT policy ("b"), K = 1..n.

    Columns: `leader` is a label, or "neither"; `crossings` every crossing, in words; `overtaking` the first, infinite if none;
    the shares of the variance are those of the curves' difference there (at n, where there is none).
    """
    rows: list[dict[str, Any]] = []
    for facts, key, sampled, baseline in _comparisons(cells):
        numbers = {cell.scores[key].num_samples for cell in [*sampled, *baseline]}
        if not baseline or len(numbers) > 1:
            rows.append(facts if not baseline else {**facts, "note": f"unequal numbers of samples: {sorted(numbers)}"})
            continue
        own, other = ([cell.scores[key].num_correct[cell.scores[key].whole] for cell in group] for group in (sampled, baseline))
        found = pass_at_k_crossover(numbers.pop(), own, other)
        leader = {"a": facts["label"], "b": baseline[0].label}.get(found.leader, found.leader)
        row = {name: getattr(found, name) for name in ("overtaking", "low", "high", "crossing_share", "note")}
        row |= {"leader": leader, "crossings": " ".join(f"{k:.3g}" for k in found.ks), "num_seeds": len(sampled)}
        row |= variance_split.columns(found, starts_of(sampled))
        row |= {"num_samples": sampled[0].scores[key].num_samples, "num_problems": len(own[0])}
        rows.append({**facts, **row})
    return pd.DataFrame(rows, columns=CROSSOVER_COLUMNS).astype(
        dict.fromkeys(("num_samples", "num_problems", "num_seeds"), "Int64")
    )


def _comparisons(cells: Sequence[Cell]) -> Iterator[tuple[dict[str, Any], tuple[str, str], list[Cell], list[Cell]]]:
    """(facts, (slice, split), cells of a label, the SFT policy's cells), the latter two empty where there is nothing to compare."""
    for group, key, pooled in slices_of(cells):
        if group[0].is_baseline:
            continue
        facts = {**label_facts(group, pooled), "slice": key[0], "split": key[1]}
        sampled = [cell for cell in pooled if key in cell.scores and cell.scores[key].num_samples]
        baseline = baseline_of(cells, sampled, key, lambda scores: scores.num_samples > 0) if sampled else []
        if sampled and not baseline:
            facts["note"] = NO_BASELINE
        same_problems([*sampled, *baseline], key)
        yield facts, key, sampled, baseline


def _at(group: list[Cell], key: tuple[str, str], ks: Sequence[int], values: Callable[[Scores], np.ndarray]) -> np.ndarray:
    """[S, P, K] of a group's scores, at the Ks that all have."""
    return stack(group, lambda cell: values(cell.scores[key]))[..., : len(ks)]


def _average_at_every_k(scores: Scores) -> np.ndarray:
    return np.repeat(scores.average()[scores.whole, None], len(scores.ks), axis=1)
