"""cot_pass.csv: Pass@K of right answers, beside CoT-Pass@K, of right answers every step of which is right; and what lies between.

CoT-Pass@K (arXiv 2506.14245) is the chance that one of K samples has the right answer *and* every step right, the exact
expectation over all K-subsets of a problem's samples, here by the task's exact step checker: `unified-rl evaluate` stores its word
on every right answer (column `sound` of samples.parquet). A row per label, slice, K and metric, pooled over seeds, with the
difference to the start:

    pass       Pass@K                cot_pass   CoT-Pass@K
    unsound    of the right samples the share with a step that is wrong, at K = 1 alone: over seeds, each one's own share

A label of whose evaluations some do not say (no exact checker, or made before it was stored) has no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.statistics.experiment import Cell, Scores
from unified_rl.statistics.intervals import Interval, mean_interval, paired_difference
from unified_rl.statistics.paired import baseline_of
from unified_rl.statistics.pooling import label_facts, same_problems, slices_of, stack

TABLE = "cot_pass"
COLUMNS = [
    *("label", "method", "seeds", "num_starts", "slice", "split", "k", "metric", "estimate", "low", "high"),
    *("difference", "difference_low", "difference_high", "num_problems", "num_seeds", "num_samples", "temperature"),
    *("decoding", "status", "note"),
]
VALUES: dict[str, Callable[[Scores], np.ndarray]] = {"pass": Scores.pass_at, "cot_pass": Scores.cot_pass_at}
UNSOUND = "unsound"


def cot_pass(cells: Sequence[Cell]) -> pd.DataFrame:
    """The table; empty where no evaluation says which samples are sound."""
    rows: list[dict[str, Any]] = []
    for group, key, pooled in slices_of(cells):
        known = [cell for cell in pooled if key in cell.scores and cell.scores[key].num_samples]
        if not known or any(cell.scores[key].num_sound is None for cell in known):
            continue
        facts = {**label_facts(group, pooled), "slice": key[0], "split": key[1]}
        baseline = [] if group[0].is_baseline else baseline_of(cells, known, key, lambda scores: scores.num_sound is not None)
        same_problems([*known, *baseline], key)
        rows += [facts | row for row in _by_k(known, baseline, key)]
        rows.append(facts | {"k": 1, "metric": UNSOUND} | _unsound([cell.scores[key] for cell in known]))
    return pd.DataFrame(rows, columns=COLUMNS).astype({name: "Int64" for name in ("k", "num_problems", "num_samples")})


def _by_k(known: list[Cell], baseline: list[Cell], key: tuple[str, str]) -> list[dict[str, Any]]:
    ks = min((cell.scores[key].ks for cell in [*known, *baseline]), key=len)
    rows = []
    for metric, values in VALUES.items():
        own_SPK = _stacked(known, key, values)
        other_SPK = _stacked(baseline, key, values) if baseline else None
        for place, k in enumerate(ks):
            row: dict[str, Any] = {"k": k, "metric": metric, "num_samples": known[0].scores[key].num_samples}
            row |= _numbers("estimate", mean_interval(own_SPK[:, :, place]))
            if other_SPK is not None:
                row |= _numbers("difference", paired_difference(own_SPK[:, :, place], other_SPK[:, :, place]))
            rows.append(row)
    return rows


def _stacked(cells: list[Cell], key: tuple[str, str], values: Callable[[Scores], np.ndarray]) -> np.ndarray:
    return stack(cells, lambda cell: values(cell.scores[key]))


def _unsound(scores: Sequence[Scores]) -> dict[str, Any]:
    """Of all right samples of a seed the share that is unsound; the mean over seeds and their range."""
    counts = [(int(one.num_correct.sum()), int(np.sum(one.num_sound))) for one in scores if one.num_sound is not None]
    shares = [1 - sound / right for right, sound in counts if right]
    if not shares:
        return {"note": "no right sample"}
    facts = {"estimate": float(np.mean(shares)), "low": min(shares), "high": max(shares)}
    return facts | {"num_seeds": len(shares), "note": "mean and range over seeds"}


def _numbers(name: str, interval: Interval) -> dict[str, Any]:
    low, high = ("low", "high") if name == "estimate" else (f"{name}_low", f"{name}_high")
    found = {name: interval.estimate, low: interval.low, high: interval.high}
    return found | {"num_problems": interval.num_problems, "num_seeds": interval.num_seeds, "note": interval.note}
