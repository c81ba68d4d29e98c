"""What training did to the policy, step by step: reward, KL, entropy, length, clipping, gradients. From metrics.jsonl.

A row per (label, seed, step), and a pooled row with seed "all": the mean over the seeds and, in `NAME_sd`, their standard deviation
(n - 1; empty with one seed), all of whose variance is the seeds' (`num_starts`: the start policies behind them). A metric that a
method does not have (KL without a reference, say) is empty. Of several rewards each has a column of its own, `reward_NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from unified_rl.records import reading as run_reading
from unified_rl.statistics import comparable
from unified_rl.statistics.counts import StoredCell
from unified_rl.statistics.experiment import Cell
from unified_rl.statistics.pooling import by_label, pool, pooled_status

POOLED = "all"
#: Column -> name in metrics.jsonl.
METRICS = {
    "reward": "reward/mean",
    "correct": "reward/correct",
    "false_positive": "reward/false_positive",
    "false_negative": "reward/false_negative",
    "wrong_of_form": "reward/wrong_of_form",
    "kl": "kl/k3",
    "entropy": "entropy/mean",
    "length": "response/length",
    "truncated": "response/truncated",
    "clip_fraction": "ratio/clip_fraction",
    "grad_norm": "grad_norm",
}
_FACTS = ("label", "method", "seed", "step")
_NAMED = re.compile(r"reward/(.+)/mean")


def dynamics(cells: Sequence[Cell]) -> pd.DataFrame:
    """The table; a label without a single step has a row without numbers that says where it stands."""
    parts = []
    for group in by_label(cell for cell in cells if not cell.is_baseline):
        parts += [_of_cell(cell) for cell in group]
        status = pooled_status(group, lambda cell: cell.status)
        pooled = [_of_cell(cell) for cell in pool(group, lambda cell: cell.status)]
        parts.append(_pooled(pooled, status) if pooled else pd.DataFrame([_facts(group[0], POOLED) | {"status": status}]))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    named = sorted(name for name in table if name.startswith("reward_") and not name.endswith("_sd"))
    numbers = [f"{name}{suffix}" for name in (*METRICS, *named) for suffix in ("", "_sd")]
    return table.reindex(columns=[*_FACTS, *numbers, "num_seeds", "num_starts", "status"]).astype(
        {"step": "Int64", "num_seeds": "Int64", "num_starts": "Int64"}
    )


def _of_cell(cell: Cell) -> pd.DataFrame:
    facts = _facts(cell, str(cell.seed)) | {"status": cell.status}
    # A cell of an exported file has the name of its run, but no run.
    path = None if isinstance(cell, StoredCell) else cell.path
    metrics = run_reading.read_metrics(path) if path is not None else pd.DataFrame()
    if metrics.empty:
        return pd.DataFrame([facts])
    named = {f"reward_{match[1]}": match[0] for match in map(_NAMED.fullmatch, metrics) if match}
    sources = {**METRICS, **named}
    found = pd.DataFrame({name: metrics.get(source) for name, source in sources.items()}, index=metrics.index)
    return found.astype(float).assign(
        step=metrics["step"], num_seeds=1, num_starts=1, start=str(comparable.start_of(cell.settings)), **facts
    )


def _facts(cell: Cell, seed: str) -> dict[str, str]:
    return {"label": cell.label, "method": cell.method, "seed": seed}


def _pooled(parts: list[pd.DataFrame], status: str) -> pd.DataFrame:
    """Mean and standard deviation over seeds at every step that one of them has."""
    table = pd.concat(parts, ignore_index=True)
    facts = {"label": table["label"].iloc[0], "method": table["method"].iloc[0], "seed": POOLED, "status": status}
    if "step" not in table:
        return pd.DataFrame([facts])
    groups = table.groupby("step")
    numbers = [name for name in table if name in METRICS or name.startswith("reward_")]
    means, spreads = groups[numbers].mean(), groups[numbers].std().add_suffix("_sd")
    seeds, starts = groups["seed"].nunique().rename("num_seeds"), groups["start"].nunique().rename("num_starts")
    return pd.concat([means, spreads, seeds, starts], axis=1).reset_index().assign(**facts)
