"""How often the 95 % intervals of `statistics.intervals` hold the truth, and how wide they are, by simulation.

`unified-rl interval-coverage` prints the table and writes it (experiments/results/interval_coverage.csv).

The simulated world: seed s solves problem p, whose ability is drawn as

    logit P(right) = 0.5 + seed_s + problem_p + rest_sp,   rest ~ N(0, 0.5^2),   seed ~ N(0, seed_sd^2)

A cell fixes the kind of score, the size of the table, the answers per problem and seed, whether problems matter, and the spread
of the seeds (0.5 logits are some 9 points of accuracy):

    accuracy     the share of right answers; problem ~ N(0, 1.5^2), or 0 where problems do not matter
    pass         Pass@8 of 16 answers, likewise
    difference   two methods that share problem ~ N(0, 1.5^2) and nothing else. Where problems do not matter the two are equal,
                 and the problems' ability cancels by pairing; where they do, the second is better by N(0.3, 0.7^2) logits
    learning     a policy after training against the one that it started from, which share problem ~ N(0, 1.5^2): better by
                 N(1.05, 0.7^2) logits (some 15 points), but with chance `not_learning` a start does not move at all. Of the size at
                 which the ablations are evaluated, over seeds only; these tables are ten times as large, and a tenth as many

Truth: the mean over problems and seeds. With fewer seeds than an interval over seeds takes: the mean over problems of the very
policies that were drawn, which is all that such an interval claims.

The width is given in half-widths of a t interval that knows the true standard error (that of the simulated estimates), twice:
with the quantile that the interval itself uses at the true share of the seeds (`width`), and with the smaller one of
Satterthwaite's degrees of freedom at the true variances (`width_satterthwaite`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit

from unified_rl.statistics.intervals import (
    CONFIDENCE,
    FEWEST_SEEDS,
    MeanSquares,
    difference_bounds,
    mean_bounds,
    mean_interval,
    mean_squares,
    quantile,
)
from unified_rl.statistics.pass_at_k import pass_at_k

MEAN, PROBLEM_SD, REST_SD, EFFECT, EFFECT_SD = 0.5, 1.5, 0.5, 0.3, 0.7
SEED_SDS = (0.0, 0.1, 0.5)
LEARNING = "learning"
KINDS = ("accuracy", "pass", "difference", LEARNING)
#: Of policies that learn: by how much, and how their seeds spread, which makes gains differ by some 1.3 and 2.5 points as those in
#: experiments/results do (RFT and GRPO); the share of starts that do not.
GAIN, LEARNING_SDS, NOT_LEARNING = 1.05, (0.05, 0.1), (0.1, 0.2, 0.3)
#: Problems, and answers to each, of the ablations.
EVALUATED, FEWER = (1000, 8), 10
PASS_K, MANY = 8, 16
_SCORES_AT_ONCE = 1_000_000
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(80)


@dataclass(frozen=True)
class Cell:
    """What is simulated: see the module. answers: per problem and seed. seed_sd: in logits. not_learning: share of the starts."""

    kind: str
    seeds: int
    problems: int
    answers: int
    problems_matter: bool
    seed_sd: float
    not_learning: float = 0.0

    @property
    def over_seeds(self) -> bool:
        return self.seeds >= FEWEST_SEEDS


@dataclass(frozen=True)
class Simulated:
    """Tables of one cell: estimate - truth, bounds - truth, each [tables]; and the mean of their mean squares."""

    error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    squares: MeanSquares


def cells(seeds: Sequence[int], problems: Sequence[int], kinds: Sequence[str] = KINDS) -> list[Cell]:
    """Every kind x seeds x problems x one or many answers x problems matter or not x spread of seeds, or share not learning."""
    answers = {"accuracy": (1, MANY), "pass": (MANY,), "difference": (1, MANY)}
    sizes = [(kind, count) for kind in kinds if kind != LEARNING for count in answers[kind]]
    normal = [
        Cell(kind, S, P, count, matter, sd)
        for (kind, count), S, P, matter, sd in product(sizes, seeds, problems, (False, True), SEED_SDS)
    ]
    enough = [count for count in seeds if LEARNING in kinds and count >= FEWEST_SEEDS]
    return normal + [Cell(LEARNING, S, *EVALUATED, True, *how) for S, *how in product(enough, LEARNING_SDS, NOT_LEARNING)]


def coverage_row(cell: Cell, num_tables: int, rng: np.random.Generator) -> dict[str, object]:
    """One row of the table: the cell, the share of intervals that hold the truth with its standard error, the widths."""
    found = _joined([_simulate(cell, size, rng) for size in _batches(cell, num_tables)], num_tables)
    covered = float(((found.low <= 0) & (found.high >= 0)).mean())
    own, satterthwaite = _quantiles(cell, found.squares)
    half = float((found.high - found.low).mean() / 2 / found.error.std())
    return asdict(cell) | {
        "over": "problems and seeds" if cell.over_seeds else "problems",
        "tables": num_tables,
        "coverage": covered,
        "error": float(np.sqrt(covered * (1 - covered) / num_tables)),
        "width": half / own,
        "width_satterthwaite": half / satterthwaite,
    }


def coverage_table(chosen: Sequence[Cell], num_tables: int, rng_seed: int = 0) -> Iterator[dict[str, object]]:
    """The rows of these cells, each from random numbers of its own: a cell's row does not depend on which others are simulated."""
    for cell in chosen:
        sizes = [cell.seeds, cell.problems, cell.answers, cell.problems_matter, round(1000 * cell.seed_sd)]
        sizes += [round(1000 * cell.not_learning)] if cell.kind == LEARNING else []
        made = max(2, num_tables // FEWER) if cell.kind == LEARNING else num_tables
        yield coverage_row(cell, made, np.random.default_rng([rng_seed, KINDS.index(cell.kind), *map(int, sizes)]))


def format_row(row: dict[str, object]) -> str:
    """A row as a line for the terminal."""
    size = f"{row['kind']:<10} {row['seeds']:>2} seeds {row['problems']:>5} problems {row['answers']:>2} answers"
    world = f"{'problems matter' if row['problems_matter'] else 'problems equal':<15} seed sd {row['seed_sd']:g}"
    world += f" {row['not_learning']:.0%} not learning" if row["not_learning"] else ""
    covered = f"{row['coverage']:6.1%} +- {row['error']:.1%}"
    return f"{size}  {world}  {covered}  width {row['width']:.2f} ({row['width_satterthwaite']:.2f})  over {row['over']}"


def format_summary(rows: Sequence[dict[str, object]]) -> str:
    """Per kind and number of seeds: the lowest, mean and highest coverage of its cells, and the largest widths."""
    table = pd.DataFrame(rows)
    found = table.groupby(["kind", "seeds", "over"], sort=False).agg(
        cells=("coverage", "size"),
        lowest=("coverage", "min"),
        mean=("coverage", "mean"),
        highest=("coverage", "max"),
        width=("width", "max"),
        width_satterthwaite=("width_satterthwaite", "max"),
    )
    percent = {name: "{:.1%}".format for name in ("lowest", "mean", "highest")}
    return found.to_string(formatters=percent | dict.fromkeys(("width", "width_satterthwaite"), "{:.2f}".format))


def _batches(cell: Cell, num_tables: int) -> list[int]:
    most = max(1, _SCORES_AT_ONCE // (cell.seeds * cell.problems))
    return [min(most, num_tables - start) for start in range(0, num_tables, most)]


def _joined(parts: Sequence[Simulated], num_tables: int) -> Simulated:
    error, low, high = (np.concatenate([getattr(part, name) for part in parts]) for name in ("error", "low", "high"))
    sums = [[getattr(part.squares, name).sum() for name in ("problem", "seed", "rest")] for part in parts]
    return Simulated(error, low, high, MeanSquares(*(np.sum(sums, axis=0) / num_tables)))


def _quantiles(cell: Cell, squares: MeanSquares) -> tuple[float, float]:
    """The interval's own quantile at the true variances, and that of Satterthwaite's degrees of freedom."""
    if not cell.over_seeds:
        own = float(quantile(0.0, cell.seeds, cell.problems))
        return own, own
    problem = max(float(squares.problem - squares.rest), 0.0)
    share = float(squares.seed) / (problem + float(squares.seed))
    degrees = 1 / (share**2 / (cell.seeds - 1) + (1 - share) ** 2 / (cell.problems - 1))
    return float(quantile(share, cell.seeds, cell.problems)), float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees))


def _simulate(cell: Cell, num_tables: int, rng: np.random.Generator) -> Simulated:
    shape = (num_tables, cell.seeds, cell.problems)
    difference = cell.kind in ("difference", LEARNING)
    problem_sd = PROBLEM_SD if difference or cell.problems_matter else 0.0
    ability = problem_sd * rng.standard_normal((num_tables, 1, cell.problems))
    scores, truth = _method(cell, shape, ability, MEAN, problem_sd, rng)
    if cell.kind == LEARNING:
        better, better_truth = _after_training(cell, shape, ability, rng)
        scores, truth = better - scores, better_truth - truth
    elif difference:
        effect, effect_sd = (EFFECT, EFFECT_SD) if cell.problems_matter else (0.0, 0.0)
        own = ability + effect_sd * rng.standard_normal(ability.shape)
        better, better_truth = _method(cell, shape, own, MEAN + effect, np.hypot(problem_sd, effect_sd), rng)
        scores, truth = better - scores, better_truth - truth
    low, high = difference_bounds(scores) if difference else _bounds(cell, scores)
    return Simulated(scores.mean((1, 2)) - truth, low - truth, high - truth, mean_squares(scores))


def _bounds(cell: Cell, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if cell.seeds > 1 or cell.answers > 1:
        return mean_bounds(scores)
    # One answer of one seed: SciPy's Wilson interval, which depends on the count alone.
    by_count = [mean_interval(np.arange(cell.problems) < count) for count in range(cell.problems + 1)]
    counts = scores.sum((1, 2)).astype(int)
    return np.array([i.low for i in by_count])[counts], np.array([i.high for i in by_count])[counts]


def _method(
    cell: Cell, shape: tuple[int, int, int], ability: np.ndarray, mean: float, problem_sd: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Scores [tables, S, P] of a method, and what its interval is about: [tables]."""
    seed = cell.seed_sd * rng.standard_normal((*shape[:2], 1))
    logit = REST_SD * rng.standard_normal(shape, dtype=np.float32) + np.float32(mean) + (seed + ability).astype(np.float32)
    chance = expit(logit)
    right = (rng.random(shape, np.float32) < chance).astype(int) if cell.answers == 1 else rng.binomial(cell.answers, chance)
    share = np.arange(cell.answers + 1) / cell.answers
    score_of = pass_at_k(cell.answers, np.arange(cell.answers + 1), PASS_K) if cell.kind == "pass" else share
    spread = float(np.hypot(problem_sd, REST_SD))
    if cell.over_seeds:
        truth = np.full(shape[0], _expected(cell, np.array([mean]), float(np.hypot(spread, cell.seed_sd)))[0])
    else:
        truth = _expected(cell, (mean + seed[..., 0]).ravel(), spread).reshape(shape[:2]).mean(1)
    return np.asarray(score_of)[right], truth


def _after_training(
    cell: Cell, shape: tuple[int, int, int], ability: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """As `_method`, of the policies after training: those of starts that do not learn are as they were."""
    learns = rng.random((*shape[:2], 1)) >= cell.not_learning
    own = ability + learns * (GAIN + EFFECT_SD * rng.standard_normal(ability.shape))
    scores, stayed = _method(cell, shape, own, MEAN, PROBLEM_SD, rng)
    spread = float(np.hypot(np.hypot(np.hypot(PROBLEM_SD, EFFECT_SD), REST_SD), cell.seed_sd))
    learned = _expected(cell, np.array([MEAN + GAIN]), spread)[0]
    return scores, cell.not_learning * stayed + (1 - cell.not_learning) * learned


def _expected(cell: Cell, mean: np.ndarray, sd: float) -> np.ndarray:
    """Expected score where the logit is Normal(mean, sd^2), by Gauss-Hermite quadrature: [n] -> [n]."""
    chance = expit(mean[:, None] + sd * _NODES)
    score = 1 - (1 - chance) ** PASS_K if cell.kind == "pass" else chance
    return score @ _WEIGHTS / _WEIGHTS.sum()
