"""pretraining.csv and pretraining_contrasts.csv: what arms of a grid of pre-trainings learnt, and their differences.

Measures of a run, on the held-out text that has marked steps (`metrics.jsonl`, `held_out/NAME/...`):

    left_at_half    the share of the budget of source NAME that is left when half of the steps are first right (teacher-forced;
                    between two measurements by a straight line); 0 where that never happens (`tokens_to_half` is then empty)
    steps_right     the share of steps that are right at the end
    loss, reading_loss, computing_loss    in nats a token, at the end: of all of it, of what is read, of what is computed

Contrasts are paired by seed: Student's interval over the seeds' differences. p-values are corrected over the page (Holm), a
declared primary contrast having half the error rate to itself, as in `grid_table`. The same NAME is a source of every arm, so
that its tokens are matched; total tokens, those of the stages before included, are told beside them and are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from unified_rl.base.errors import DataError
from unified_rl.records import reading
from unified_rl.statistics.grid_file import GridFacts, PlannedCell, Primary
from unified_rl.statistics.intervals import CONFIDENCE, FEWEST_SEEDS
from unified_rl.statistics.page_family import with_holm
from unified_rl.statistics.table_files import write_table

COMMAND = "pretrain"
RUNS, CONTRASTS = "pretraining", "pretraining_contrasts"
LEFT_AT_HALF = "left_at_half"
#: Measure -> its fact of the held-out text at the end of a run.
AT_THE_END = {
    "steps_right": "steps/right",
    "loss": "loss",
    "reading_loss": "reading/loss",
    "computing_loss": "computing/loss",
}
MEASURES = (LEFT_AT_HALF, *AT_THE_END)
_STEPS_RIGHT = "/steps/right"


def is_of(grid: GridFacts) -> bool:
    """Whether a grid is one of pre-trainings."""
    return bool(grid.cells) and all(cell.command == COMMAND for cell in grid.cells)


def write(grid: GridFacts, out: Path, facts: Mapping[str, Any]) -> str:
    """Write both tables; what to print of them."""
    runs = pd.DataFrame([row for cell in grid.cells if (row := run_row(cell)) is not None])
    if runs.empty:
        raise DataError("no run of the grid has ended; its command again goes on with it")
    pairs = list(dict.fromkeys(grid.contrasts))
    found = pd.DataFrame(contrasts(runs, pairs, grid.primary))
    provenance = {
        "schema": 1,
        "name": grid.name,
        "title": grid.title,
        "preset": grid.preset,
        "matching": grid.matching,
        **made_of(grid),
        **facts,
    }
    for name, table in ((RUNS, runs), (CONTRASTS, found)):
        write_table(table, out / f"{name}.csv", {"table": name, **provenance})
    return f"{_arms_text(runs)}\n\n{_contrasts_text(found)}\n\ntables written to {out}"


def made_of(grid: GridFacts) -> dict[str, Any]:
    """Seeds of the runs that there are, from how many draws of the first weights they come, and the commits that made them."""
    cells = [cell for cell in grid.cells if reading.read_config(cell.run)]
    drawn = {((reading.read_config(cell.run) or {}).get("model") or {}).get("seed") for cell in cells}
    provenance = [reading.read_provenance(cell.run) or {} for cell in cells]
    commits = {(one.get("git") or {}).get("commit") for one in provenance}
    return {
        "seeds": sorted({cell.seed for cell in cells}),
        "num_starts": len(drawn),
        "commits": sorted(filter(None, commits)),
    }


def run_row(cell: PlannedCell) -> dict[str, Any] | None:
    """The measures of a finished run; None of any other."""
    status = reading.read_status(cell.run) if cell.run.is_dir() else None
    if status is None or status.get("state") != "finished":
        return None
    metrics, config = reading.read_metrics(cell.run), reading.read_config(cell.run) or {}
    marked = [name.removesuffix(_STEPS_RIGHT) for name in metrics.columns if name.endswith(_STEPS_RIGHT)]
    if not marked:
        raise DataError(
            f"{cell.run} has measured no marked text; set held_out of a source to marked text (docs/pretraining.md)"
        )
    prefix = marked[0]
    source = prefix.removeprefix("held_out/")
    measured = metrics[metrics[f"{prefix}{_STEPS_RIGHT}"].notna()]
    tokens, right = measured[f"tokens/{source}"].to_numpy(float), measured[f"{prefix}{_STEPS_RIGHT}"].to_numpy(float)
    budget, at = float(metrics[f"tokens/{source}"].iloc[-1]), first_at(tokens, right, 0.5)
    last = measured.iloc[-1]
    return {
        "label": cell.label,
        "seed": cell.seed,
        "source": source,
        "source_tokens": budget,
        "total_tokens": float(metrics["tokens/trained"].iloc[-1]) + tokens_before(config),
        "tokens_to_half": at,
        LEFT_AT_HALF: 0.0 if np.isnan(at) else 1 - at / budget,
        **{name: float(last[f"{prefix}/{fact}"]) for name, fact in AT_THE_END.items()},
    }


def first_at(tokens: np.ndarray, values: np.ndarray, level: float) -> float:
    """Where values, in the order of tokens, first reach a level, by a straight line from the measurement before; NaN if never."""
    reached = np.flatnonzero(values >= level)
    if not len(reached):
        return float("nan")
    place = int(reached[0])
    if place == 0:
        return float(tokens[0])
    share = (level - values[place - 1]) / (values[place] - values[place - 1])
    return float(tokens[place - 1] + share * (tokens[place] - tokens[place - 1]))


def tokens_before(config: Mapping[str, Any]) -> float:
    """Tokens of the pre-training stages that a run's model came from."""
    total, name, stages = 0.0, config.get("init"), config.get("stages") or {}
    while name in stages and stages[name].get("kind") == COMMAND:
        own = (stages[name].get("settings") or {}).get("pretraining") or {}
        total += float(own.get("tokens", (config.get("pretraining") or {}).get("tokens", 0)))
        name = (stages[name].get("inputs") or {}).get("policy")
    return total


def contrasts(runs: pd.DataFrame, pairs: Sequence[tuple[str, str]], primary: Sequence[Primary] = ()) -> list[dict[str, Any]]:
    """One row per pair and measure: label minus baseline over the seeds that both have."""
    rows = [row for pair in pairs for name in MEASURES if (row := _contrast(runs, pair, name, primary)) is not None]
    return with_holm(rows, primary)


def _contrast(runs: pd.DataFrame, pair: tuple[str, str], name: str, primary: Sequence[Primary] = ()) -> dict[str, Any] | None:
    ours, theirs = (runs[runs["label"] == label].set_index("seed")[name] for label in pair)
    differences = (ours - theirs).dropna().to_numpy(float)
    if not len(differences):
        return None
    row: dict[str, Any] = {"label": pair[0], "baseline": pair[1], "metric": name, "num_seeds": len(differences)}
    row["estimate"] = float(differences.mean())
    if len(differences) < FEWEST_SEEDS:
        return row | {"note": f"fewer than {FEWEST_SEEDS} seeds: no interval"}
    error, degrees = float(differences.std(ddof=1)) / np.sqrt(len(differences)), len(differences) - 1
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees)) * error
    row |= {"low": row["estimate"] - half, "high": row["estimate"] + half, "p": _two_sided(row["estimate"], error, degrees)}
    for one in primary:
        if one.is_of(row):
            row["p_equivalent"] = max(_above(side * row["estimate"] + one.margin, error, degrees) for side in (1, -1))
            row["margin"] = one.margin
    return row


def _two_sided(estimate: float, error: float, degrees: int) -> float:
    return min(1.0, 2 * _above(abs(estimate), error, degrees))


def _above(distance: float, error: float, degrees: int) -> float:
    """p of the null that what is estimated `distance` above a bound does not lie above it."""
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(stats.t.sf(distance / error, degrees))


def _arms_text(runs: pd.DataFrame) -> str:
    lines = [
        f"{'arm':34}{'seeds':>6}{'half reached':>13}{'tokens to half':>16}{'steps right':>12}{'reading':>9}{'computing':>10}"
    ]
    for label, rows in runs.groupby("label", sort=False):
        reached = rows["tokens_to_half"].notna()
        median = f"{rows['tokens_to_half'].median():,.0f}" if reached.any() else "-"
        lines.append(
            f"{label!s:34}{len(rows):>6}{f'{reached.sum()} of {len(rows)}':>13}{median:>16}{rows['steps_right'].mean():>12.3f}"
            f"{rows['reading_loss'].mean():>9.3f}{rows['computing_loss'].mean():>10.3f}"
            f"   {rows['source_tokens'].mean():,.0f} tokens of {rows['source'].iloc[0]} of {rows['total_tokens'].mean():,.0f}"
        )
    return "\n".join(lines)


def _contrasts_text(found: pd.DataFrame) -> str:
    lines = ["label - baseline, paired by seed (95 % intervals over seeds; p after Holm)"]
    for row in found.to_dict("records"):
        bounds = f"[{row['low']:+.3f}, {row['high']:+.3f}], p {row['p_holm']:.3g}: {row['decision']}" if "p" in row else ""
        told = row.get("conclusion")
        says = f"; primary: {told}" if isinstance(told, str) else ""
        lines.append(f"  {row['label']} - {row['baseline']}, {row['metric']}: {row['estimate']:+.3f} {bounds}{says}")
    return "\n".join(lines)
