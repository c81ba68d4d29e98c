"""docs/reference/metrics.md: every metric that a run logs, from the table that describes them."""

from __future__ import annotations

from collections.abc import Iterable

from tools.reference.markdown import NOTE, table
from unified_rl.records.metric_names import METRICS, TIMINGS, Metric

INTRO = """`metrics.jsonl` has one JSON object per step: flat names, whole numbers for counts of steps and tokens, else
numbers. Means over tokens are over the response tokens of the step's first update, the one before which policy and sampler
are the same; where another update or all of them are meant, it is said. A metric that means nothing in a run or a step is
left out. Words in capitals stand for a name: of a reward, a term of the coefficient, a loss, a role.
`unified_rl.load(DIR).metrics` is the same as a table, and TensorBoard and Weights & Biases get the same names ([the run
directory](../run_directory.md)).

Trained stages log the same file in a run directory of their own: SFT as any run, reward models `step`, `loss`, `grad_norm`
and `learning_rate`."""


def metrics_page() -> str:
    """Every metric with unit and condition."""
    blocks = [
        f"# Metrics\n\n{NOTE}",
        INTRO,
    ]
    blocks += [f"## {heading}\n\n{_table(metrics)}" for heading, metrics in METRICS.items()]
    blocks.append(f"## Timings\n\nOf `timings.jsonl`, per step; never the same twice.\n\n{_table(TIMINGS)}")
    return "\n\n".join(blocks) + "\n"


def _table(metrics: Iterable[Metric]) -> str:
    rows = [(f"`{one.name}`", one.unit, one.text, one.when) for one in metrics]
    return table(("metric", "unit", "what it is", "where it is there"), rows)
