"""The claims' quantities in the paper's own plotted points (`statistics.reference`): one run, no seeds, one answer per problem.

Figures 5 and 6: the mean difference of two curves over checkpoints that both have, with a moving-block bootstrap over them:
the noise of checkpoints of one run, not of training seeds. Figure 7: the difference of two proportions, as if they had been
measured on different problems: the paper does not say which problems the two policies share, and pairing would narrow it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from unified_rl.statistics import reference
from unified_rl.statistics.intervals import CONFIDENCE

#: Checkpoints per block: neighbours of one run are alike.
BLOCK = 4
RESAMPLES = 4000
#: From here on Figure 5's curves are compared: the second half of its 8,800 steps, where they have parted.
SECOND_HALF = 4600


@dataclass(frozen=True)
class Effect:
    """A difference of accuracies (0..1) on one benchmark. over: what its interval is over. baseline: the other's accuracy."""

    comparison: str
    benchmark: str
    estimate: float
    low: float
    high: float
    over: str
    baseline: float | None = None


def curve_difference(label: str, baseline: str) -> list[Effect]:
    """Figure 5, by benchmark: mean difference over the checkpoints of the second half."""
    curves = reference.learning_curves(5)
    over = f"checkpoints from step {SECOND_HALF} on, one run"
    return _curve_effects(curves[curves["step"] >= SECOND_HALF], label, baseline, over)


def iteration_difference(iteration: int) -> list[Effect]:
    """Figure 6, by benchmark: an iteration minus the one before, which goes on, at the steps that both have after the fork."""
    effects = []
    for _, curves in reference.learning_curves(6).groupby("benchmark", sort=False):
        later = curves[curves["series"] == f"Iteration-{iteration}"]
        after = curves[curves["step"] > later["step"].min()]
        over = "steps that both have, one run"
        effects += _curve_effects(after, f"Iteration-{iteration}", f"Iteration-{iteration - 1}", over)
    return effects


def first_minus_second() -> list[Effect]:
    """Figure 6, by benchmark: what the first iteration gained minus what the second did, their block bootstraps apart."""
    effects = []
    for first, second in zip(iteration_difference(1), iteration_difference(2), strict=True):
        estimate = first.estimate - second.estimate
        half = np.hypot((first.high - first.low) / 2, (second.high - second.low) / 2)
        words = "first gain - second gain"
        effects.append(Effect(words, first.benchmark, estimate, estimate - half, estimate + half, first.over))
    return effects


def sampled_difference(metric: str, k: int) -> list[Effect]:
    """Figure 7, by benchmark: RL minus Instruct in Maj@K ("maj") or Pass@K ("pass")."""
    points = reference.maj_and_pass()
    points = points[(points["metric"] == metric) & (points["k"] == k)]
    effects = []
    for benchmark, rows in points.groupby("benchmark", sort=False):
        by_policy = rows.set_index("policy")
        after, before = (float(by_policy.at[name, "estimate"]) for name in (reference.AFTER, reference.BEFORE))
        count = int(by_policy["num_problems"].iloc[0])
        half = stats.norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt((after * (1 - after) + before * (1 - before)) / count)
        words, over = f"{reference.AFTER} - {reference.BEFORE}", f"{count} problems, unpaired"
        difference = after - before
        effects.append(Effect(words, str(benchmark), difference, difference - half, difference + half, over, before))
    return effects


def _curve_effects(curves: pd.DataFrame, label: str, baseline: str, over: str) -> list[Effect]:
    effects = []
    for benchmark, points in curves.groupby("benchmark", sort=False):
        table = points.pivot(index="step", columns="series", values="accuracy")[[label, baseline]].dropna().sort_index()
        difference = (table[label] - table[baseline]).to_numpy()
        low, high = block_bootstrap(difference)
        words = f"{label} - {baseline}"
        effects.append(Effect(words, str(benchmark), float(difference.mean()), low, high, f"{len(difference)} {over}"))
    return effects


def block_bootstrap(
    values: np.ndarray, block: int = BLOCK, confidence: float = CONFIDENCE, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean of a series, from overlapping blocks of neighbours drawn with replacement.

    Args:
        values: [T], in order. block: neighbours per block.
    """
    count = len(values)
    starts = np.random.default_rng(seed).integers(count - block + 1, size=(RESAMPLES, -(-count // block)))
    drawn = values[(starts[:, :, None] + np.arange(block)).reshape(RESAMPLES, -1)[:, :count]]
    low, high = np.quantile(drawn.mean(1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
