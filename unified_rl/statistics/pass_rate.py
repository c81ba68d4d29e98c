"""Gradient given to a prompt against its pass rate p -> pass_rate.csv. `unified-rl tables FACTS out=DIR`

Measured, per prompt and then averaged over the prompts of a bin of p, from each response's mean coefficient over its tokens:

    weight   mean coefficient of the right responses minus that of the wrong ones. Where a coefficient depends on the response only
             through its being right, this is w(p) in the expected gradient, E[(1/G) sum_i GC_i grad log pi(o_i)] = w(p) grad p,
             because E[grad log pi | right] = grad p / p and E[grad log pi | wrong] = -grad p / (1 - p).
    mass     mean |coefficient| over the prompt's responses.

p is the share of right ones among the prompt's N responses; the groups of G are parts of the same N. Prompts whose responses are
all right or all wrong have no weight; they are left out of both. Intervals: 95 %, Student's t over the bin's prompts.

`exact` rows are the expectations of the same two numbers for a prompt with p N right responses dealt to groups at random (a
hypergeometric number in each), by formula, for outcome rewards of 0 and 1, without KL. `limit` rows are w(p) for N and G without
bound: RFT, RLOO, Dr. GRPO 1; GRPO, DAPO 1/sqrt(p (1 - p)).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from unified_rl.base.errors import DataError
from unified_rl.statistics.intervals import CONFIDENCE
from unified_rl.statistics.table_files import SCHEMA, write_table

COLUMNS = ["label", "quantity", "kind", "p", "value", "low", "high", "num_prompts"]
BINS = 10
FACTS, NOTES = "responses.parquet", "notes.json"
MAKE_COMMAND = "unified-rl pass-rate run=RUN out=DIR"


def _normalised(k: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    share = k / size
    with np.errstate(divide="ignore", invalid="ignore"):
        pair = (1 - share) / np.sqrt(share * (1 - share)), -share / np.sqrt(share * (1 - share))
    flat = (k == 0) | (k == size)
    return np.where(flat, 0.0, pair[0]), np.where(flat, 0.0, pair[1])


#: Coefficient -> (coefficients of a right and of a wrong response among `size`, of which k are right).
OUTCOME_COEFFICIENTS: dict[str, Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]] = {
    "sft": lambda k, size: (np.ones_like(k), np.ones_like(k)),
    "rft": lambda k, size: (np.ones_like(k), np.zeros_like(k)),
    "rloo": lambda k, size: (1 - (k - 1) / (size - 1), -k / (size - 1)),
    "dr_grpo": lambda k, size: (1 - k / size, -k / size),
    "grpo": _normalised,
    "dapo": _normalised,
}
#: w(p) without bound on samples and group size.
LIMITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sft": np.zeros_like,
    "rft": np.ones_like,
    "rloo": np.ones_like,
    "dr_grpo": np.ones_like,
    "grpo": lambda p: 1 / np.sqrt(p * (1 - p)),
    "dapo": lambda p: 1 / np.sqrt(p * (1 - p)),
}


def exact(name: str, size: int, samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """p, expected weight and expected mass of a prompt with 1, 2, ... right responses of `samples`, in groups of `size`."""
    k = np.arange(size + 1, dtype=float)
    right, wrong = OUTCOME_COEFFICIENTS[name](k, size)
    num_right = np.arange(1, samples)
    p = num_right / samples
    chance = stats.hypergeom.pmf(k[None, :], samples, num_right[:, None], size)
    share = k / size
    weight = share * right / p[:, None] - (1 - share) * wrong / (1 - p[:, None])
    return p, (chance * weight).sum(1), chance @ (share * np.abs(right) + (1 - share) * np.abs(wrong))


def pass_rate(facts: pd.DataFrame, notes: Mapping[str, Any]) -> pd.DataFrame:
    """The table. facts: a row per response and method (label, prompt_id, correct, coefficient, magnitude)."""
    parts = []
    for label, rows in facts.groupby("label", sort=False):
        parts += _measured(str(label), rows)
        coefficient = notes["coefficients"].get(label)
        if coefficient in OUTCOME_COEFFICIENTS and notes["supervision"].get(label) != "process":
            p, weight, mass = exact(coefficient, int(notes["group_size"]), int(notes["samples"]))
            limit = LIMITS[coefficient](p)
            curves = (("weight", "exact", weight), ("mass", "exact", mass), ("weight", "limit", limit))
            parts += [
                pd.DataFrame({"label": label, "quantity": quantity, "kind": kind, "p": p, "value": values})
                for quantity, kind, values in curves
            ]
    table = pd.concat(parts, ignore_index=True)
    return table.reindex(columns=COLUMNS).astype({"num_prompts": "Int64"})


def write_facts(facts: pd.DataFrame, notes: Mapping[str, Any], folder: Path) -> None:
    """Keep what was measured, a row per response and method, and how."""
    folder.mkdir(parents=True, exist_ok=True)
    facts.to_parquet(folder / FACTS, index=False)
    (folder / NOTES).write_text(json.dumps(dict(notes), indent=1) + "\n", encoding="utf-8")


def write(folder: Path, out: Path) -> pd.DataFrame:
    """Read the facts in `folder`, write `out`/pass_rate.csv and return the table.

    Raises:
        DataError: there are no facts, or none of a prompt with both right and wrong responses.
    """
    try:
        facts, notes = pd.read_parquet(folder / FACTS), json.loads((folder / NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} has no readable {FACTS} and {NOTES} ({error}); make them with: {MAKE_COMMAND}") from error
    table = pass_rate(facts, notes)
    if table.loc[table["kind"] == "measured", "value"].isna().all():
        raise DataError(f"{folder}: no prompt has both right and wrong responses; take other prompts, or more samples")
    per_prompt = facts.drop_duplicates(["prompt_id", "label"])
    counts = {"prompts": int(per_prompt["prompt_id"].nunique()), "mixed_prompts": _mixed(facts)}
    write_table(
        table, out / "pass_rate.csv", {"schema": SCHEMA, "table": "pass_rate", "confidence": CONFIDENCE, **counts, **notes}
    )
    return table


def _mixed(facts: pd.DataFrame) -> int:
    share = facts.groupby("prompt_id")["correct"].mean()
    return int(((share > 0) & (share < 1)).sum())


def _measured(label: str, rows: pd.DataFrame) -> list[pd.DataFrame]:
    by_prompt = rows.groupby("prompt_id")
    p = by_prompt["correct"].mean()
    right = rows[rows["correct"] == 1].groupby("prompt_id")["coefficient"].mean()
    wrong = rows[rows["correct"] == 0].groupby("prompt_id")["coefficient"].mean()
    prompts = pd.DataFrame({"p": p, "weight": right - wrong, "mass": by_prompt["magnitude"].mean()})
    prompts = prompts[(p > 0) & (p < 1)]
    bins = np.minimum((prompts["p"] * BINS).astype(int), BINS - 1)
    found = []
    for quantity in ("weight", "mass"):
        for _, part in prompts.groupby(bins):
            count, mean = len(part), part[quantity].mean()
            half = np.nan
            if count > 1:
                half = stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1) * part[quantity].std() / np.sqrt(count)
            found.append(
                {
                    "p": part["p"].mean(),
                    "value": mean,
                    "low": mean - half,
                    "high": mean + half,
                    "num_prompts": count,
                    "label": label,
                    "quantity": quantity,
                    "kind": "measured",
                }
            )
    return [pd.DataFrame(found)] if found else [pd.DataFrame([{"label": label, "kind": "measured", "quantity": "weight"}])]


def format_table(table: pd.DataFrame) -> str:
    """What was measured, a row per method and a column per quantity and p, as text."""
    shown = table[table["kind"] == "measured"].pivot_table(index="label", columns=["quantity", "p"], values="value", sort=False)
    return shown.round(2).to_string()
