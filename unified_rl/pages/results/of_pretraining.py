"""Of an ablation of pre-training: what its arms learnt, and how they differ, as tables of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from unified_rl.pages.results.markdown import table
from unified_rl.pages.results.numbers import nats, points, star_words, starred
from unified_rl.pages.results.shipped import Shipped
from unified_rl.statistics.pretraining import CONTRASTS, LEFT_AT_HALF, RUNS

#: Measure -> its title; shares are in points, the others in nats a token.
SHARES = {LEFT_AT_HALF: "tokens left at half of the steps", "steps_right": "steps right at the end"}
NATS = {"reading_loss": "reading, nats", "computing_loss": "computing, nats"}


def of_pretraining(shipped: Shipped) -> str:
    """Both tables; "" where the result is of something else."""
    runs, found = shipped.table(RUNS), shipped.table(CONTRASTS)
    return "" if runs.empty else f"{_arms(runs)}\n\n{_differences(found, shipped.facts)}".strip()


def starts_of_pretraining(shipped: Shipped) -> str:
    """What its seeds draw, in words; "" where the result is of something else."""
    if shipped.table(RUNS).empty:
        return ""
    return f"A seed draws the first weights and the order of the rows of every stage: {shipped.starts} independent starts."


def _arms(runs: pd.DataFrame) -> str:
    body = []
    for label, rows in runs.groupby("label", sort=False):
        reached = f"{int(rows['tokens_to_half'].notna().sum())} of {len(rows)}"
        means = [f"{100 * rows[name].mean():.0f}" for name in SHARES] + [f"{rows[name].mean():.3f}" for name in NATS]
        body.append([str(label), f"{rows['total_tokens'].mean() / 1e6:.1f}M", reached, *means])
    head = ["arm, means over seeds", "tokens in all", "seeds that came to half"]
    return table([*head, *(f"{title}, %" for title in SHARES.values()), *NATS.values()], body)


def _differences(found: pd.DataFrame, facts: Mapping[str, Any]) -> str:
    if found.empty or "low" not in found:
        return ""
    body = []
    for (label, baseline), rows in found[found["low"].notna()].groupby(["label", "baseline"], sort=False):
        by_measure = {row["metric"]: row for row in rows.to_dict("records")}
        body.append([f"{label} - {baseline}", *(_cell(by_measure.get(name), name) for name in (*SHARES, *NATS))])
    if not body:
        return ""
    made = table(["difference", *(f"{title}, points" for title in SHARES.values()), *NATS.values()], body)
    return "\n\n".join(filter(None, [made, star_words(found, facts)]))


def _cell(row: dict[str, Any] | None, name: str) -> str:
    if row is None:
        return "-"
    return starred(row, points(row) if name in SHARES else nats(row))
