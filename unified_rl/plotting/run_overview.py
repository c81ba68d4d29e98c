"""One run at a glance: reward, accuracy, KL, length and entropy over its steps."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unified_rl.base.errors import DataError
from unified_rl.plotting import style

#: Column of metrics.jsonl -> title of its panel.
PANELS = {
    "reward/mean": "Mean reward",
    "reward/correct": "Share of right answers",
    "kl/k3": "KL to the reference (k3), nats/token (log)",
    "response/length": "Response length, tokens",
    "entropy/mean": "Entropy, nats/token",
    "logp/mean": "Mean log-probability per token",
    "grad_norm": "Gradient norm before clipping",
}
LOGARITHMIC = frozenset({"kl/k3"})
NUM_COLUMNS = 3


def figure(metrics: pd.DataFrame, title: str) -> Figure:
    """A panel per quantity that the run has, every step as it was measured.

    Raises:
        DataError: there is no step yet.
    """
    shown = [name for name in PANELS if name in metrics and metrics[name].notna().any()]
    if not shown:
        raise DataError(f"{title} has no metrics yet: nothing to draw; wait for its first step")
    columns = min(NUM_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    with style.sheet():
        drawn = Figure(figsize=(style.FULL_WIDTH, 0.5 + 1.75 * rows), layout="constrained")
        drawn.suptitle(title)
        axes = drawn.subplots(rows, columns, squeeze=False)
        for axis, name in zip(axes.flat, shown, strict=False):
            values = metrics[name].where(metrics[name] > style.LEAST_KL) if name in LOGARITHMIC else metrics[name]
            axis.plot(metrics["step"], values, marker="." if len(metrics) < 40 else None)
            if name in LOGARITHMIC and values.notna().any():
                axis.set_yscale("log")
            axis.set_title(PANELS[name])
            axis.set_xlabel("step")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        for axis in list(axes.flat)[len(shown) :]:
            axis.set_visible(False)
    return drawn
