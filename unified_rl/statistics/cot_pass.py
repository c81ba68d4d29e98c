"""cot_pass.csv: Pass@K of right answers, beside CoT-Pass@K, of right answers every step of which is right; and what lies between.

CoT-Pass@K (arXiv 2506.14245) is the chance that one of K samples has the right answer *and* every step right, the exact
expectation over all K-subsets of a problem's samples, here by the task's exact step checker: `unified-rl evaluate` stores its word
on every right answer (column `sound` of samples.parquet). A row per label, slice, K and metric, pooled over seeds, with the
difference to the start:

    pass       Pass@K                cot_pass   CoT-Pass@K
    unsound    of the right samples the share with a step that is wrong, at K = 1 alone: over seeds, each one's own share

A label of whose evaluations some do not say (no exact checker, or made before it was stored) has no rows. Differences are those of
the page (`paired.Differences`): Pass@K's stand in pass_maj.csv too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.statistics import variance_split
from unified_rl.statistics.experiment import Cell, Scores
from unified_rl.statistics.intervals import Interval, mean_interval
from unified_rl.statistics.paired import Differences, baseline_of
from unified_rl.statistics.pooling import label_facts, same_problems, slices_of, stack, starts_of

TABLE = "cot_pass"
COLUMNS = [
    *("label", "method", "seeds", "num_starts", "slice", "split", "k", "metric", "estimate", "low", "high"),
    *("difference", "difference_low", "difference_high", *variance_split.COLUMNS),
    *(f"difference_{name}" for name in variance_split.COLUMNS),
    *("num_problems", "num_seeds", "num_samples", "temperature", "decoding", "status", "note"),
]
VALUES: dict[str, Callable[[Scores], np.ndarray]] = {"pass": Scores.pass_at, "cot_pass": Scores.cot_pass_at}
UNSOUND = "unsound"


def cot_pass(cells: Sequence[Cell], differences: Differences | None = None) -> pd.DataFrame:
    """The table; empty where no evaluation says which samples are sound.

    differences: those of the page, where other tables show them too.
    """
    differences, rows = differences or Differences(), list[dict[str, Any]]()
    for group, key, pooled in slices_of(cells):
        known = [cell for cell in pooled if key in cell.scores and cell.scores[key].num_samples]
        if not known or any(cell.scores[key].num_sound is None for cell in known):
            continue
        facts = {**label_facts(group, pooled), "slice": key[0], "split": key[1]}
        baseline = [] if group[0].is_baseline else baseline_of(cells, known, key, lambda scores: scores.num_sound is not None)
        same_problems([*known, *baseline], key)
        rows += [facts | row for row in _by_k(known, baseline, key, differences)]
        rows.append(facts | {"k": 1, "metric": UNSOUND} | _unsound([cell.scores[key] for cell in known]))
    return pd.DataFrame(rows, columns=COLUMNS).astype({name: "Int64" for name in ("k", "num_problems", "num_samples")})


def _by_k(known: list[Cell], baseline: list[Cell], key: tuple[str, str], differences: Differences) -> list[dict[str, Any]]:
    ks = min((cell.scores[key].ks for cell in [*known, *baseline]), key=len)
    rows = []
    for metric, values in VALUES.items():
        own_SPK = _stacked(known, key, values)
        other_SPK = _stacked(baseline, key, values) if baseline else None
        for place, k in enumerate(ks):
            row: dict[str, Any] = {"k": k, "metric": metric, "num_samples": known[0].scores[key].num_samples}
            row |= _numbers("estimate", mean_interval(own_SPK[:, :, place]), known)
            if other_SPK is not None:
                sides = (
                    list(zip(side, table[:, :, place], strict=True))
                    for side, table in ((known, own_SPK), (baseline, other_SPK))
                )
                row |= _numbers("difference", differences.of((metric, k, *key), *sides).interval, known)
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


def _numbers(name: str, interval: Interval, cells: Sequence[Cell]) -> dict[str, Any]:
    prefix = "" if name == "estimate" else f"{name}_"
    found: dict[str, Any] = {name: interval.estimate, f"{prefix}low": interval.low, f"{prefix}high": interval.high}
    found |= {"num_problems": interval.num_problems, "num_seeds": interval.num_seeds, "note": interval.note}
    return found | variance_split.columns(interval, starts_of(cells), prefix)
