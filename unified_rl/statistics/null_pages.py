"""How many pages of a grid have any false positive where nothing differs, by simulation. `unified-rl interval-coverage pages=N`.

A page: arms that are one policy but for their seeds, each compared with the start policy and some with one another as
`grid_table.contrast_table` does, on two slices, by greedy accuracy, avg@1, Pass@16 and the mean over training. Abilities as in
`interval_coverage`; arms share the problems and no seeds. Whatever a page decides is false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from unified_rl.statistics.experiment import BASELINE_METHOD, Cell
from unified_rl.statistics.grid_cells import GridCell, Score
from unified_rl.statistics.grid_file import GridFacts, Primary
from unified_rl.statistics.grid_table import GridData, contrast_table
from unified_rl.statistics.interval_coverage import MANY, MEAN, PROBLEM_SD, REST_SD
from unified_rl.statistics.page_family import ALPHA
from unified_rl.statistics.planning import holm

SLICES = {"main": MEAN, "hard": MEAN - 2.0}
BASELINE = "SFT"
SEED_SD = 0.1


@dataclass(frozen=True)
class PageSize:
    """arms: besides the start policy; each is compared with it, and with the arm before. primary: whether the first is declared."""

    arms: int = 7
    seeds: int = 5
    problems: int = 200
    primary: bool = False


def null_page(size: PageSize, rng: np.random.Generator) -> GridData:
    """A grid in which no arm differs from another, nor from the start policy."""
    labels = [f"arm {number}" for number in range(size.arms)]
    primary = (Primary(labels[1], labels[0], "greedy", 0.02),) if size.primary else ()
    facts = GridFacts(baseline=BASELINE, contrasts=tuple(zip(labels[1:], labels[:-1], strict=True)), primary=primary)
    cells = [GridCell(Cell(BASELINE, BASELINE_METHOD, 0, None, "finished"), BASELINE_METHOD)]
    cells += [GridCell(Cell(label, label, seed, None, "finished"), label) for label in labels for seed in range(size.seeds)]
    ids = tuple(str(number) for number in range(size.problems))
    scores: list[dict[tuple[str, str], Score]] = [{} for _ in cells]
    for name, mean in SLICES.items():
        ability = mean + PROBLEM_SD * rng.standard_normal(size.problems)
        for found, cell in zip(scores, cells, strict=True):
            spread = REST_SD if not cell.cell.is_baseline else float(np.hypot(REST_SD, SEED_SD))
            shift = 0.0 if cell.cell.is_baseline else SEED_SD * rng.standard_normal()
            chance = expit(ability + shift + spread * rng.standard_normal(size.problems))
            for metric, values in _scores(chance, rng).items():
                found[name, metric] = Score("test", ids, values)
    return GridData(facts, cells, scores, {})


def _scores(chance: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    right = rng.binomial(MANY, chance)
    curve = rng.binomial(4, chance) / 4  # a few points, each one answer
    return {
        "greedy": (rng.random(len(chance)) < chance).astype(float),
        "avg": right / MANY,
        "pass": (right > 0) * 1.0,
        "area": curve,
    }


def null_row(size: PageSize, num_pages: int, rng_seed: int = 0) -> dict[str, Any]:
    """Share of pages with any decision, under the family of the whole page; with Holm's correction column by column; with none."""
    rng = np.random.default_rng([rng_seed, size.arms, size.seeds, size.problems, int(size.primary)])
    found = np.array([_any_false(contrast_table(null_page(size, rng))) for _ in range(num_pages)])
    page, by_column, uncorrected, tests = found.mean(0)
    facts = {"arms": size.arms, "seeds": size.seeds, "problems": size.problems, "primary": size.primary, "pages": num_pages}
    error = float(np.sqrt(max(page * (1 - page), 1 / num_pages) / num_pages))
    shares = {
        "share": float(page),
        "error": error,
        "share_by_column": float(by_column),
        "share_uncorrected": float(uncorrected),
    }
    return facts | {"tests": int(tests)} | shares


def _any_false(table: pd.DataFrame) -> tuple[bool, bool, bool, int]:
    decided = bool(table["decision"].isin(["above", "below"]).any())
    by_column = any((holm(rows["p"]) <= ALPHA).any() for _, rows in table.groupby(["slice", "metric"]))
    return decided, by_column, bool((table["p"] <= ALPHA).any()), len(table)


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as text."""
    shares = dict.fromkeys(("share", "error", "share_by_column", "share_uncorrected"), "{:.1%}".format)
    return "pages with any false positive\n" + pd.DataFrame(rows).to_string(index=False, formatters=shares)
