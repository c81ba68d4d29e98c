"""How much of a gain is coverage, and how much concentration: the split of Maj@K (or of accuracy) at each K.

*Coverage* P = Pass@K: the chance that a right answer is among K samples at all. *Concentration* C = M / P, M being the score:
for Maj@K the chance that the vote elects the right answer given that it is there (a vote can only elect what was sampled, so
M <= P and C <= 1, exactly, in every subset); for avg@1 the share of the ability at K that one sample already shows. Hence
M = P C for each policy, and its gain from policy b (before) to a (after) splits without remainder:

    M_a - M_b  =  (P_a - P_b) (C_a + C_b) / 2   +   (C_a - C_b) (P_a + P_b) / 2
                  coverage part                     concentration part

This is the symmetric (Shapley) split: the mean of changing coverage first and concentration first, so it does not depend on
which policy is called which. P and M are means over problems, and C their ratio. Where a policy has no right answer at all
(P = 0) its C is undefined and taken to be the other's: what appears from nothing is coverage.

How to read it. For Maj@K at small K the split is trivial: Maj@1 = Pass@1, so C = 1 and all of any gain is "coverage" at K = 1.
It speaks at large K, where Pass@K is what a policy can do at all. For accuracy (avg@1) it speaks at every K: at K = 1 all of a
gain is coverage by definition, and the K at which the coverage part has shrunk to nothing is how many samples of the policy
before hold what training moved up to the first.

Intervals: by the delta method. Each part is a smooth function of four means over problems; its gradient turns the problems'
scores into one table [seeds, problems] whose mean is the part, and `intervals.difference_bounds` does the rest (problems and
seeds crossed, paired by problem).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from unified_rl.statistics.intervals import CONFIDENCE, Interval, difference_bounds, reading_note, score_table

PARTS = ("gain", "coverage", "concentration")


@dataclass(frozen=True, slots=True)
class Split:
    """The gain of a score and its two parts, which sum to it, each with its interval. In the units of the scores (0..1)."""

    gain: Interval
    coverage: Interval
    concentration: Interval


def coverage_split(
    score: ArrayLike, passed: ArrayLike, base_score: ArrayLike, base_passed: ArrayLike, confidence: float = CONFIDENCE
) -> Split:
    """Split the gain in `score` of a policy over a baseline at one K.

    Args:
        score: Maj@K (or the share of right samples) per problem, [P] or [S, P] for S seeds. passed: Pass@K, same shape.
        base_score, base_passed: the baseline's, on the same problems; [P], or [S, P] seed by seed.

    Raises:
        ValueError: shapes that cannot be paired, or a score above Pass@K, which no vote can reach.
    """
    tables = _paired_tables(score, passed, base_score, base_passed)
    shape = tables[0].shape
    M_a, P_a, M_b, P_b = means = [float(table.mean()) for table in tables]
    coverage, gradient = _coverage_part(M_a, P_a, M_b, P_b)
    notes = [reading_note(shape[1], shape[0])] + (["one baseline policy"] if len(tables[2]) < shape[0] else [])
    note = "; ".join(filter(None, notes))
    gain_gradient = np.array([1.0, 0.0, -1.0, 0.0])
    intervals = []
    for part, slope in (
        (M_a - M_b, gain_gradient),
        (coverage, gradient),
        (M_a - M_b - coverage, gain_gradient - gradient),
    ):
        centred = sum(one * (table - mean) for one, table, mean in zip(slope, tables, means, strict=True))
        bounds = [float(bound) for bound in difference_bounds(np.broadcast_to(part + centred, shape), confidence)]
        intervals.append(Interval(part, bounds[0], bounds[1], "delta method", shape[1], shape[0], note))
    return Split(*intervals)


def _paired_tables(*given: ArrayLike) -> list[np.ndarray]:
    """The four tables of `coverage_split`, [S, P] each (the baseline's perhaps [1, P]), once they are found to go together."""
    names = ("score", "passed", "base_score", "base_passed")
    tables = [score_table(name, values) for name, values in zip(names, given, strict=True)]
    if tables[0].shape != tables[1].shape or tables[2].shape != tables[3].shape:
        raise ValueError("score and passed must have the same shape, and so must base_score and base_passed")
    if tables[0].shape[1] != tables[2].shape[1] or len(tables[2]) not in (1, len(tables[0])):
        raise ValueError(
            f"[seeds, problems] {tables[0].shape} cannot be paired with the baseline's {tables[2].shape}; "
            "pass the same problems, and the same seeds or one baseline"
        )
    for name, top, low in (("score", tables[1], tables[0]), ("base_score", tables[3], tables[2])):
        if (low > top + 1e-9).any():
            raise ValueError(
                f"{name} exceeds Pass@K on some problem, which no vote can; were they counted on the same samples?"
            )
    return tables


def _coverage_part(M_a: float, P_a: float, M_b: float, P_b: float) -> tuple[float, np.ndarray]:
    """The coverage part, and its gradient by (M_a, P_a, M_b, P_b)."""
    if P_a == 0 or P_b == 0:  # C of the one that has none is the other's, so the whole gain is coverage
        return M_a - M_b, np.array([1.0, 0.0, -1.0, 0.0])
    gain, C_a, C_b = P_a - P_b, M_a / P_a, M_b / P_b
    concentration = (C_a + C_b) / 2
    by = [gain / (2 * P_a), concentration - gain * C_a / (2 * P_a), gain / (2 * P_b), -concentration - gain * C_b / (2 * P_b)]
    return gain * concentration, np.array(by)


def coverage_table(
    ks: ArrayLike,
    scores: ArrayLike,
    passed: ArrayLike,
    base_scores: ArrayLike,
    base_passed: ArrayLike,
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """`coverage_split` at every K.

    Args:
        ks: [K]. The others as in `coverage_split`, with a last axis K: [P, K] or [S, P, K].

    Returns:
        One row per (k, part), part in `PARTS`: estimate, low, high, num_problems, num_seeds, note.
    """
    rows = []
    for place, k in enumerate(np.asarray(ks).tolist()):
        ours, ours_passed, base, base_pass = (
            np.asarray(table)[..., place] for table in (scores, passed, base_scores, base_passed)
        )
        split = coverage_split(ours, ours_passed, base, base_pass, confidence=confidence)
        for part in PARTS:
            interval = getattr(split, part)
            facts = {name: getattr(interval, name) for name in ("estimate", "low", "high", "num_problems", "num_seeds", "note")}
            rows.append({"k": k, "part": part, **facts})
    return pd.DataFrame(rows, columns=["k", "part", "estimate", "low", "high", "num_problems", "num_seeds", "note"])
