"""The page's charts: the numbers of all runs by step, as JSON for its script, which draws them with uPlot.

Every chart has one list of steps that all runs share. Of long runs every n-th step is drawn, as it was measured: nothing is
smoothed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unified_rl.pages.followed_run import FollowedRun, Standing
from unified_rl.records import curve_points

#: Steps of a chart, about.
STEPS = 250
#: Lines in all charts together, about: further metrics are left out of pages of many runs.
MOST_LINES = 1_500
TITLES = {
    "reward/mean": "Mean reward",
    "reward/correct": "Share of right answers in training",
    "kl/k3": "KL to the reference (k3), nats/token, logarithmic",
    "response/length": "Response length, tokens",
    "entropy/mean": "Entropy, nats/token",
    "logp/mean": "Mean log-probability of the tokens trained on",
    "grad_norm": "Gradient norm before clipping",
}
LOGARITHMIC = frozenset({"kl/k3"})
#: What is less than this is a rounding of 0, and has no place on a logarithmic axis.
LEAST = 1e-7


def curves(rows: Sequence[Standing], runs: Sequence[FollowedRun]) -> dict[str, Any]:
    """What the script draws: `runs` with label and seed; `charts` with title, steps `x` and a list of values `y` per run."""
    known = [(row, run) for row, run in zip(rows, runs, strict=False) if run.metrics.last or run.curve.last]
    followed = [run for _, run in known]
    named = [
        *((name, TITLES[name], "metrics") for name in TITLES),
        *((name, curve_points.title(name), "curve") for name in _names(followed, "curve")),
    ]
    further = [name for name in _names(followed, "metrics") if name not in TITLES]
    room = max(0, MOST_LINES // max(len(known), 1) - len(named))
    charts = [_chart(followed, *one, more=False) for one in named]
    charts += [_chart(followed, name, name, "metrics", more=True) for name in sorted(further)[:room]]
    return {
        "runs": [{"label": row.label, "seed": row.seed} for row, _ in known],
        "charts": [chart for chart in charts if len(chart["x"])],
    }


def _names(runs: Sequence[FollowedRun], kind: str) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in getattr(run, kind).names))


def _chart(runs: Sequence[FollowedRun], name: str, title: str, kind: str, *, more: bool) -> dict[str, Any]:
    longest = max((getattr(run, kind).last_step for run in runs), default=0)
    stride = 2 ** max(0, math.ceil(math.log2(max(longest, 1) / STEPS))) if kind == "metrics" else 1  # a series keeps such steps
    points = [getattr(run, kind).points(name, stride) for run in runs]
    steps = sorted(set().union(*points))
    log = name in LOGARITHMIC
    values = [[_shown(found.get(step), log) for step in steps] for found in points]
    return {"title": title, "log": log, "more": more, "x": steps, "y": values}


def _shown(value: float | None, log: bool) -> float | None:
    return None if value is None or (log and value <= LEAST) else float(f"{value:.4g}")
