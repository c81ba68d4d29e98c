"""What training gained over the SFT policy, in words whose every number is read from a grid's tables: for the notebook."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from unified_rl.statistics import reference

#: Between the two ends of an interval lie so many standard errors (1.96 to each side), and a comparison of this size misses
#: a difference of 2.8 of them one time in five.
INTERVAL_ERRORS, MISSED_ERRORS = 3.92, 2.8
PAPER_K = 64


def answer(
    coverage: pd.DataFrame, contrasts: pd.DataFrame, crossovers: pd.DataFrame, methods: Sequence[str], baseline: str = "SFT"
) -> str:
    """Markdown: per slice a paragraph, then the paper's points.

    Args:
        coverage, contrasts, crossovers: coverage.csv, grid_contrasts.csv, crossovers.csv. methods: labels to speak of.
    """
    k = int(coverage["k"].max())
    split = coverage[(coverage["score"] == "maj") & (coverage["k"] == k) & coverage["label"].isin(methods)]
    against = contrasts[(contrasts["baseline"] == baseline) & contrasts["label"].isin(methods)]
    crossed = crossovers[crossovers["label"].isin(methods)]
    said = [
        _of_slice(name, k, part, against[against["slice"] == name], crossed[crossed["slice"] == name], baseline)
        for name, part in split.groupby("slice", sort=False)
    ]
    return "\n\n".join([*said, _of_the_paper()])


def _of_slice(name: object, k: int, split: pd.DataFrame, against: pd.DataFrame, crossed: pd.DataFrame, baseline: str) -> str:
    parts = {part: rows for part, rows in split.groupby("part")}
    passed = against[against["metric"] == "pass"]
    crossing = [row["label"] for row in crossed.to_dict("records") if str(row["crossings"] or "") not in ("", "nan")]
    missed = MISSED_ERRORS / INTERVAL_ERRORS * (passed["high"] - passed["low"]).max()
    return (
        f"**On {name} problems**, Maj@{k} moves by {_range(parts['gain'])} over {baseline}: {_apart(parts['gain'])}. Of that, "
        f"concentration is {_range(parts['concentration'])} ({_apart(parts['concentration'])}) and coverage "
        f"{_range(parts['coverage'])} ({_apart(parts['coverage'])}). Pass@{k} moves by {_range(passed)}; after Holm's correction "
        f"over all comparisons {_standing(passed)}. Curves of Pass@K that cross {baseline}'s within {k} samples: "
        f"{', '.join(crossing) or 'none'}. What a comparison of this size would miss one time in five: {100 * missed:.1f} points."
    )


def _range(rows: pd.DataFrame) -> str:
    low, high = 100 * rows["estimate"].min(), 100 * rows["estimate"].max()
    return f"{low:+.1f} to {high:+.1f} points"


def _apart(rows: pd.DataFrame) -> str:
    """How many intervals leave 0 out, on which side."""
    above, below = rows[rows["low"] > 0]["label"], rows[rows["high"] < 0]["label"]
    found = [f"{len(above)} of {len(rows)} intervals lie above 0{_named(above, rows)}"]
    return ", ".join([*found, *([f"{len(below)} below{_named(below, rows)}"] if len(below) else [])])


def _named(labels: pd.Series, rows: pd.DataFrame) -> str:
    return f" ({', '.join(labels)})" if 0 < len(labels) < len(rows) else ""


def _standing(rows: pd.DataFrame) -> str:
    stands = [
        f"{row['label']} is {row['decision']}" for row in rows.to_dict("records") if row["decision"] in ("above", "below")
    ]
    return ", ".join(stands) or "no difference stands"


def _of_the_paper() -> str:
    """The published difference RL - Instruct at K = 64, by benchmark."""
    points = reference.maj_and_pass()
    at = points[points["k"] == PAPER_K].pivot(index=["benchmark", "metric"], columns="policy", values="estimate")
    gain = 100 * (at[reference.AFTER] - at[reference.BEFORE])
    each = [
        f"{name}: Maj@{PAPER_K} {gain[name, 'maj']:+.1f}, Pass@{PAPER_K} {gain[name, 'pass']:+.1f} points"
        for name in dict.fromkeys(gain.index.get_level_values("benchmark"))
    ]
    return f"**The paper's own points**, RL minus Instruct, one model each: {'; '.join(each)}."
