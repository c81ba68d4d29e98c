"""What a shipped result answers: its declared primary contrasts, each with its interval, its margin and its conclusion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.pages.results.numbers import levels, row_of
from unified_rl.pages.results.shipped import GAINS, Shipped
from unified_rl.statistics.evidence import CEILING, degrees_of, in_world, p_from_interval
from unified_rl.statistics.page_family import CANNOT_TELL, EQUIVALENT, with_holm

#: A conclusion of the page's own: a slice on which an arm could not have been found better.
AT_CEILING = "at its ceiling"
#: What CEILING is about: whether any of K samples is right.
COVERAGE = ("pass", "cot_pass")
#: Metrics of primary contrasts, as the page calls them.
METRICS = {
    "avg": "mean accuracy",
    "greedy": "greedy accuracy",
    "maj": "Maj@{k}",
    "pass": "Pass@{k}",
    "cot_pass": "CoT-Pass@{k}",
    "gain": "gain of the first renewal over its control",
    "left_at_half": "share of tokens left when half of the steps are right",
}


@dataclass(frozen=True)
class Answer:
    """One primary contrast on one slice ("" where there are none). estimate, low, high, margin: in 0..1."""

    experiment: str
    comparison: str
    metric: str
    slice: str
    estimate: float
    low: float
    high: float
    margin: float
    p_holm: float
    conclusion: str
    seeds: int
    starts: int
    problems: int
    reason: str

    @property
    def known(self) -> bool:
        """Whether it is decided: which way it goes, or that it is within the margin."""
        return self.conclusion not in (CANNOT_TELL, AT_CEILING)

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def answers(shipped: Shipped) -> list[Answer]:
    """The primary contrasts of one result, in the order in which they were declared; none where none was."""
    rows = [row for name in ("grid_contrasts", "pretraining_contrasts", "renewals") for row in _concluded(shipped.table(name))]
    rows += _gains(shipped) if shipped.table("renewals").empty else []
    ordered = [(one, row) for one in shipped.grid.primary for row in rows if one.is_of(row)]
    return [_answer(shipped, row, one.margin, one.reason) for one, row in ordered]


def _concluded(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    if "conclusion" in table:
        yield from (row for row in table.to_dict("records") if isinstance(row["conclusion"], str) and np.isfinite(row["low"]))


def _gains(shipped: Shipped) -> list[dict[str, Any]]:
    """What the first renewal of an arm gained over its control, where no table concludes it; a family of their own."""
    declared = [one for one in shipped.grid.primary if one.metric == "gain" and one.label == one.baseline]
    rows = []
    for one in declared:
        table = shipped.arms[one.label].table(GAINS) if one.label in shipped.arms else shipped.table(GAINS)
        for row in table[table["iteration"] == 1].to_dict("records") if len(table) else ():
            p = {"p": row.get("p", np.nan), "p_equivalent": _within(row, one.margin)}
            rows.append(row | p | {"label": one.label, "baseline": one.baseline, "metric": "gain"})
    return with_holm(rows, declared)


def _within(row: Mapping[str, Any], margin: float) -> float:
    """p of "the margin or more, either way", from the interval: the larger of two one-sided tests."""
    low, high, degrees = float(row["low"]), float(row["high"]), degrees_of(row)
    centre = (low + high) / 2
    sides = ((-margin, centre > -margin), (margin, centre < margin))
    each = [p_from_interval(low, high, bound, degrees) / 2 for bound, _ in sides]
    return max(p if inside else 1 - p for p, (_, inside) in zip(each, sides, strict=True))


def _concluded_below_the_ceiling(shipped: Shipped, row: Mapping[str, Any]) -> str:
    """The conclusion. Where K samples of either arm hold a right answer to nearly every problem, they are alike by construction."""
    conclusion = str(row["conclusion"])
    if row["metric"] not in COVERAGE or conclusion not in (EQUIVALENT, CANNOT_TELL):
        return conclusion
    of_both = (
        row_of(levels(shipped), label=row[arm], slice=row["slice"], metric=row["metric"]) for arm in ("label", "baseline")
    )
    return AT_CEILING if all(one is not None and one["estimate"] >= CEILING for one in of_both) else conclusion


def _answer(shipped: Shipped, row: Mapping[str, Any], margin: float, reason: str) -> Answer:
    starts, problems, k = (row.get(name) for name in ("num_starts", "num_problems", "k"))
    words = METRICS.get(row["metric"], row["metric"])
    return Answer(
        experiment=shipped.name,
        comparison=str(row["label"]) if row["label"] == row["baseline"] else f"{row['label']} - {row['baseline']}",
        metric=words.format(k="K" if k is None or pd.isna(k) else int(k)),
        slice=in_world(row["slice"], shipped.world) if row.get("slice") else shipped.world,
        **{name: float(row[name]) for name in ("estimate", "low", "high")},
        margin=margin,
        p_holm=float(row["p_holm"]),
        conclusion=_concluded_below_the_ceiling(shipped, row),
        seeds=int(row["num_seeds"]),
        starts=shipped.starts if starts is None or pd.isna(starts) else int(starts),
        problems=0 if problems is None or pd.isna(problems) else int(problems),
        reason=reason,
    )
