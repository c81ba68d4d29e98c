"""Raw facts of reward-model quality -> one tidy table. `unified-rl tables FOLDER out=DIR`

FOLDER is what `unified_rl.stages.reward_model_quality` writes. The table, reward_models.csv, has a row per measured number:

    measure            subject        what `estimate` is
    label_accuracy     hard, soft     share of steps whose label from the first n completions is the exact checker's verdict
                                      (soft labels count as right from 1/2 on); last steps, which need no estimate, left out
    label_false_pos    hard, soft     share of the wrong steps that are labelled right;  label_false_neg: of the right, wrong
    step_accuracy      a model        share of steps where [probability > 1/2] is the exact verdict
    step_auc           a model        chance that a right step scores above a wrong one
    first_error        a model        share of responses whose first wrong step (or their having none) is found
    answer_accuracy    a model        share of responses where [reduced probability > 1/2] is the rule's verdict, per reduction
    answer_auc         a model        chance that a right answer scores above a wrong one, per reduction
    answer_auc_within  a model        the same among the responses to one problem, which is what a group's advantages see
    ece                a model        expected calibration error of what it is trained to tell (steps; an outcome model: answers)
    reliability        a model        share right in bin `bin` of equal counts; `predicted` is the mean probability there
    best_of_k          a model        accuracy of the highest-scored of k responses; "any of them" chooses blindly, "a right one
                                      if there is one" is Pass@K

Intervals are 95 % over problems (`statistics.clustered`, `statistics.intervals`): one set of training data, one training seed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.base.errors import DataError
from unified_rl.statistics.best_of_k import best_of_k
from unified_rl.statistics.clustered import (
    Estimate,
    bootstrap_interval,
    calibration_error,
    equal_count_bins,
    plain_auc,
    ratio_interval,
    weighted_auc,
)
from unified_rl.statistics.intervals import CONFIDENCE, mean_interval
from unified_rl.statistics.table_files import write_table

TABLE = "reward_models.csv"
MAKE_COMMAND = "unified-rl tables FOLDER out=DIR"
SCHEMA = 1
BINS = 10
REDUCTIONS = ("min", "product", "last")
BLIND, PERFECT = "any of them", "a right one if there is one"
COLUMNS = (
    *("measure", "subject", "kind", "reduction", "n", "k", "bin", "predicted"),
    *("estimate", "low", "high", "count", "num_problems"),
)
Row = dict[str, Any]


@dataclass(frozen=True)
class Quality:
    """The raw facts. steps: a row per step, with an integer `problem`. scores: per (model, step). meta: what was measured."""

    steps: pd.DataFrame
    scores: pd.DataFrame
    meta: dict[str, Any]


def read_quality(folder: Path | str) -> Quality:
    """Read what the quality stage wrote.

    Raises:
        DataError: a file is missing or of another schema; or the task had no exact checker to measure against.
    """
    folder = Path(folder)
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        steps, scores = pd.read_parquet(folder / "steps.parquet"), pd.read_parquet(folder / "scores.parquet")
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} has no readable reward-model quality ({error}); make it again") from error
    if meta.get("schema") != SCHEMA:
        raise DataError(f"{folder / 'meta.json'}: schema {meta.get('schema')!r} is not {SCHEMA}; make it again")
    if steps["exact"].isna().any():
        raise DataError(
            f"{folder / 'steps.parquet'} has steps without an exact verdict, so there is no oracle to measure against"
        )
    steps["problem"] = pd.factorize(steps["problem_id"])[0]
    steps["exact"] = steps["exact"].astype(bool)
    return Quality(steps, scores, meta)


def table(quality: Quality) -> pd.DataFrame:
    """All measures, see the module."""
    rows = list(label_rows(quality))
    for label in quality.meta["models"]:
        rows += model_rows(quality, label)
    rows += chance_rows(quality)
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({name: "Int64" for name in ("n", "k", "bin", "count", "num_problems")})


def label_rows(quality: Quality) -> Iterator[Row]:
    """Label quality against N."""
    inner = quality.steps[quality.steps["step"] + 1 < quality.steps["num_steps"]]
    if inner.empty or not quality.meta["completions"]:
        return
    successes = np.stack(inner["successes"].to_numpy())
    right, problem = inner["exact"].to_numpy(), inner["problem"].to_numpy()
    for n in powers_of_two(successes.shape[1]):
        hard, soft = successes[:, :n].any(1), successes[:, :n].mean(1) >= 0.5
        labels: dict[str, np.ndarray] = {"hard": np.asarray(hard), "soft": np.asarray(soft)}
        for subject, label in labels.items():
            about: Row = {"subject": subject, "kind": "labels", "n": n}
            yield {"measure": "label_accuracy", **about, **_columns(ratio_interval(label == right, problem))}
            if not right.all():
                yield {"measure": "label_false_pos", **about, **_columns(ratio_interval(label[~right], problem[~right]))}
            if right.any():
                yield {"measure": "label_false_neg", **about, **_columns(ratio_interval(~label[right], problem[right]))}


def model_rows(quality: Quality, label: str) -> list[Row]:
    """Everything about one model."""
    kind = quality.meta["models"][label]["kind"]
    steps = quality.steps.merge(
        quality.scores[quality.scores["model"] == label], on=["problem_id", "sample", "step"], validate="one_to_one"
    )
    if len(steps) != len(quality.steps):
        raise DataError(f"{label} has scores for {len(steps)} of {len(quality.steps)} steps; make the quality files again")
    base: Row = {"subject": label, "kind": kind}
    logit, right, problem = steps["logit"].to_numpy(np.float64), steps["exact"].to_numpy(), steps["problem"].to_numpy()
    rows = [{"measure": "step_accuracy", **base, **_columns(ratio_interval((logit > 0) == right, problem))}]
    rows += [{**base, **row} for row in auc_rows("step_auc", logit, right, problem)]
    answers = reduced(steps)
    found = answers["predicted_error"] == answers["first_error"]
    rows.append({"measure": "first_error", **base, **_columns(ratio_interval(found.to_numpy(), answers["problem"].to_numpy()))})
    for reduction in REDUCTIONS if kind == "process" else ("last",):
        rows += [{**base, "reduction": reduction, **row} for row in answer_rows(answers, reduction)]
    trained = (1 / (1 + np.exp(-logit)), right, problem)
    if kind == "outcome":
        trained = (np.exp(answers["last"].to_numpy()), answers["outcome"].to_numpy(), answers["problem"].to_numpy())
    return rows + [{**base, **row} for row in calibration_rows(*trained)]


def reduced(steps: pd.DataFrame) -> pd.DataFrame:
    """One row per response: `problem`, `outcome`, the log-probability under each reduction, its true and predicted first error.

    A first error is a step's number, -1 where there is none.
    """
    log_p = -np.logaddexp(0.0, -steps["logit"].to_numpy(np.float64))
    steps = steps.assign(
        log_p=log_p,
        wrong_at=np.where(steps["exact"], np.inf, steps["step"]),
        doubted_at=np.where(steps["logit"] > 0, np.inf, steps["step"]),
    ).sort_values(["problem", "sample", "step"])
    responses = steps.groupby(["problem", "sample"], sort=True).agg(
        outcome=("outcome", "first"),
        min=("log_p", "min"),
        product=("log_p", "sum"),
        last=("log_p", "last"),
        first_error=("wrong_at", "min"),
        predicted_error=("doubted_at", "min"),
    )
    errors = ["first_error", "predicted_error"]
    responses[errors] = responses[errors].replace(np.inf, -1).astype(int)
    return responses.reset_index()


def answer_rows(answers: pd.DataFrame, reduction: str) -> list[Row]:
    """How a model judges whole answers under one reduction of its log-probabilities."""
    score, right, problem = answers[reduction].to_numpy(), answers["outcome"].to_numpy(), answers["problem"].to_numpy()
    rows = [{"measure": "answer_accuracy", **_columns(ratio_interval((score > np.log(0.5)) == right, problem))}]
    rows += auc_rows("answer_auc", score, right, problem)
    within = auc_within(score, right, problem)
    if len(within) > 1:
        rows.append({"measure": "answer_auc_within", **_interval_columns(within)})
    return rows + best_of_k_rows(answers, reduction)


def auc_rows(measure: str, score: np.ndarray, right: np.ndarray, problem: np.ndarray) -> list[Row]:
    """One row; none where all are right or all wrong, so that there is nothing to tell apart."""
    if right.all() or not right.any():
        return []
    return [{"measure": measure, **_columns(bootstrap_interval(partial(weighted_auc, score, right), problem))}]


def auc_within(score: np.ndarray, right: np.ndarray, problem: np.ndarray) -> np.ndarray:
    """AUC among the responses to each problem that has right and wrong ones."""
    each = [plain_auc(score[inside], right[inside]) for inside in (problem == p for p in np.unique(problem))]
    return np.array([value for value in each if np.isfinite(value)])


def calibration_rows(probability: np.ndarray, right: np.ndarray, problem: np.ndarray) -> list[Row]:
    """The reliability diagram and the calibration error that sums it up."""
    bin_of = equal_count_bins(probability, BINS)
    error = bootstrap_interval(partial(calibration_error, probability, right.astype(float), bin_of), problem)
    rows: list[Row] = [{"measure": "ece", **_columns(error)}]
    for place in np.unique(bin_of):
        inside = bin_of == place
        share = ratio_interval(right[inside], problem[inside])
        rows.append(
            {"measure": "reliability", "bin": int(place), "predicted": float(probability[inside].mean()), **_columns(share)}
        )
    return rows


def chance_rows(quality: Quality) -> list[Row]:
    """Best-of-K without a model: choosing blindly, and choosing by the verdict itself."""
    first = quality.steps[quality.steps["step"] == 0]
    blind, perfect = first.assign(score=0.0), first.assign(score=first["outcome"].astype(float))
    return [{"subject": BLIND, "kind": "none", **row} for row in best_of_k_rows(blind, "score")] + [
        {"subject": PERFECT, "kind": "none", **row} for row in best_of_k_rows(perfect, "score")
    ]


def best_of_k_rows(answers: pd.DataFrame, score: str) -> list[Row]:
    """A row per K = 1, 2, 4 ... up to the fewest responses of a problem."""
    groups = [group for _, group in answers.groupby("problem")]
    ks = powers_of_two(min(len(group) for group in groups))
    scores, outcomes = ([group[name].to_numpy() for group in groups] for name in (score, "outcome"))
    table_PK = np.asarray(best_of_k(scores, outcomes, ks))
    return [{"measure": "best_of_k", "k": k, **_interval_columns(table_PK[:, place])} for place, k in enumerate(ks)]


def powers_of_two(most: int) -> list[int]:
    """1, 2, 4 ... up to `most`."""
    return [2**place for place in range(most.bit_length())] if most else []


def _columns(found: Estimate) -> Row:
    return {
        "estimate": found.estimate,
        "low": found.low,
        "high": found.high,
        "count": found.count,
        "num_problems": found.num_problems,
    }


def _interval_columns(by_problem: np.ndarray) -> Row:
    found = mean_interval(np.clip(by_problem, 0, 1))
    return {
        "estimate": found.estimate,
        "low": found.low,
        "high": found.high,
        "count": found.num_problems,
        "num_problems": found.num_problems,
    }


def write(folder: Path | str, out: Path | str) -> pd.DataFrame:
    """Write reward_models.csv into `out` and return it. Raises DataError as `read_quality`."""
    quality = read_quality(folder)
    frame = table(quality)
    meta = quality.meta
    provenance = {
        "table": "reward_models",
        "schema": SCHEMA,
        "command": MAKE_COMMAND,
        "confidence": CONFIDENCE,
        "bins": BINS,
        **{
            name: meta[name] for name in ("task", "split", "problems", "samples_per_problem", "completions", "models", "inputs")
        },
        "temperature": meta["decoding"]["temperature"],
    }
    write_table(frame, Path(out) / TABLE, provenance)
    return frame


def format_table(frame: pd.DataFrame) -> str:
    """The table's headlines as text, in percent with 95 % intervals."""
    lines = ["labels against the exact step checker (all steps but the last), in %:"]
    for row in frame[frame["measure"] == "label_accuracy"].to_dict("records"):
        lines.append(f"  {row['subject']:5} N={row['n']:<3} accuracy {_percent(row)}")
    lines.append("reward models on held-out problems, in %:")
    shown = frame[frame["measure"].isin(("step_accuracy", "step_auc", "first_error", "ece"))]
    shown = pd.concat([shown, frame[frame["measure"].str.startswith("answer_")]])
    for subject, block in shown.groupby("subject", sort=False):
        lines.append(f"  {subject}")
        for row in block.to_dict("records"):
            name = row["measure"] + (f" ({row['reduction']})" if isinstance(row["reduction"], str) else "")
            lines.append(f"    {name:28} {_percent(row)}")
    best = frame[frame["measure"] == "best_of_k"]
    most = best["k"].max()
    lines.append(f"best of {most}, in %:")
    for row in best[best["k"] == most].to_dict("records"):
        name = row["subject"] + (f" ({row['reduction']})" if isinstance(row["reduction"], str) else "")
        lines.append(f"  {name:30} {_percent(row)}")
    return "\n".join(lines)


def _percent(row: Row) -> str:
    return f"{100 * row['estimate']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
