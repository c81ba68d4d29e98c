"""What the shipped tables say on one comparison: effects with intervals, p-values and verdicts. For `statistics.claims`.

A verdict is read off the 95 % interval alone:

    a claim of direction     supports: it lies above 0; contradicts: below 0; otherwise cannot tell
    a claim of "no rise"     supports: it lies below the margin; contradicts: above the margin; otherwise cannot tell
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from unified_rl.base.errors import DataError
from unified_rl.statistics.grid_file import GridFacts, read_grid
from unified_rl.statistics.intervals import CONFIDENCE, FEWEST_SEEDS
from unified_rl.statistics.table_files import read_table

SUPPORTS, CONTRADICTS, CANNOT_TELL = "supports", "contradicts", "cannot tell"
AT_CEILING = "not asked"
#: A rise of Pass@K up to here counts as none: 2 points are 4 of 200 problems, which nobody would call a new ability; and the
#: changes of Pass@64 of which the paper says that RL does not raise it (-1.8 and -0.7 points) are no larger.
MARGIN = 0.02
#: Where the baseline's K samples already hold a right answer to this share of the problems, a slice cannot show a rise in
#: coverage worth the name (less than five margins of room), and "no rise" would be true by construction.
CEILING = 0.9
#: What the paper's Algorithm 1 does with both, and what older tables that do not say are of.
RENEWED, RENEWABLE = "renewed", ("reward_model", "reference")
TABLES = ("grid_contrasts.csv", "contrasts.csv", "grid.csv", "iteration_gains.csv")


@dataclass(frozen=True)
class Finding:
    """One test. estimate, low, high: in 0..1. p: of the null that the verdict is against; None where nothing was tested.

    starts: how many SFT policies the seeds started from. test: what was compared, by the runs' configurations and whatever their
    labels; None where the tables do not say. world: the words that took the experiment to another world than its file's. p_holm:
    adjusted over every test of the document.
    """

    experiment: str
    comparison: str
    slice: str
    estimate: float
    low: float
    high: float
    seeds: int
    problems: int
    verdict: str
    p: float | None
    note: str = ""
    starts: int = 1
    test: Compared | None = None
    world: str = ""
    p_holm: float | None = None

    @property
    def place(self) -> str:
        """The slice, and in which world."""
        return in_world(self.slice, self.world)

    @property
    def stands(self) -> bool:
        """Whether its verdict does after Holm's correction."""
        return self.verdict in (SUPPORTS, CONTRADICTS) and self.p_holm is not None and self.p_holm <= 1 - CONFIDENCE


def in_world(name: str, world: str) -> str:
    """A slice, which other worlds have under the same name."""
    return f"{name} ({world})" if world else name


@dataclass(frozen=True)
class Compared:
    """Runs of a label and of its baseline, by configuration, and what was measured of them."""

    label: frozenset[str]
    baseline: frozenset[str]
    measured: tuple[str, ...]

    def holds(self, other: Compared) -> bool:
        """Whether the other's runs are all among these, measured in the same way: then it is no test of its own."""
        return self.measured == other.measured and other.label <= self.label and other.baseline <= self.baseline


@dataclass(frozen=True)
class ArmId:
    """Which arm a claim is on: the words that define it, whatever its label says.

    default: its label, in tables that have come without the grid.json that says which words a label stands for.
    """

    words: frozenset[str]
    default: str


#: (arm, the arm that it is compared with)
Pair = tuple[ArmId, ArmId]


@dataclass(frozen=True)
class Experiment:
    """One folder of tables: name, table name -> (rows, provenance), and defining words -> label of its arms.

    runs: label -> what its runs are, by configuration (`comparable.configuration_key`, or what their grid planned). world: words
    that took it to another world.
    """

    name: str
    tables: dict[str, tuple[pd.DataFrame, dict[str, Any]]]
    arms: Mapping[frozenset[str], str] = field(default_factory=dict)
    runs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    world: str = ""

    def label_of(self, arm: ArmId) -> str | None:
        """What the tables call an arm; None where the experiment has no such arm."""
        return self.arms.get(arm.words) if self.arms else arm.default

    def rows(self, name: str) -> pd.DataFrame:
        return self.tables[name][0] if name in self.tables else pd.DataFrame()

    def contrasts(self, pair: Pair, metric: str) -> pd.DataFrame:
        """Rows with numbers of label minus baseline by a metric; the grid's own table before the plain one."""
        table = self.rows("grid_contrasts.csv" if "grid_contrasts.csv" in self.tables else "contrasts.csv")
        if table.empty:
            return table
        label, baseline = map(self.label_of, pair)
        chosen = (table["label"] == label) & (table["baseline"] == baseline) & (table["metric"] == metric)
        return table[chosen & table["estimate"].notna()]

    @property
    def provenance(self) -> dict[str, Any]:
        return next(iter(self.tables.values()))[1]


def read_experiment_tables(folder: Path) -> Experiment:
    """The tables of a folder, or of the folder `tables` in it.

    Raises:
        DataError: none of the tables that claims are read from is there.
    """
    place = folder if any((folder / name).exists() for name in TABLES) else folder / "tables"
    found = {name: read_table(place / name) for name in TABLES if (place / name).exists()}
    if not found:
        raise DataError(f"{folder} holds none of {', '.join(TABLES)}; make them with: unified-rl tables GRID_DIR")
    name = folder.resolve().name if folder.name != "tables" else folder.resolve().parent.name
    own, above = grids = [read_grid(where) for where in (place, place.resolve().parent)]
    if above.name and not own.name and folder.name != "tables" and place == folder:  # an arm of iterative runs
        name = f"{folder.resolve().parent.name}/{name}"
    arms = next((grid.arms for grid in grids if grid.arms), {})
    world = " ".join(next((grid.world for grid in grids if grid.world), ()))
    return Experiment(name, found, arms, _runs(place, grids, next(iter(found.values()))[1]), world)


def _runs(place: Path, grids: Sequence[GridFacts], provenance: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Label -> its runs by configuration, as cells.csv has them; in older tables as the grid planned them, and by what code."""
    cells = read_table(place / "cells.csv")[0] if (place / "cells.csv").exists() else pd.DataFrame()
    if "configuration" in cells:
        stated = cells[cells["configuration"] != ""].groupby("label")["configuration"]
        return {str(label): frozenset(keys) for label, keys in stated}
    commits = " ".join(provenance.get("commits", []))
    planned: dict[str, set[str]] = {}
    for cell in next((grid.cells for grid in grids if grid.cells), ()):
        if cell.defining and commits:
            planned.setdefault(cell.label, set()).add(" ".join([*cell.defining, commits]))
    return {label: frozenset(runs) for label, runs in planned.items()}


def direction(low: float, high: float) -> str:
    """Verdict on a claim that the difference is positive."""
    if low > 0:
        return SUPPORTS
    return CONTRADICTS if high < 0 else CANNOT_TELL


def no_rise(low: float, high: float) -> str:
    """Verdict on a claim that the difference is at most the margin."""
    if high <= MARGIN:
        return SUPPORTS
    return CONTRADICTS if low > MARGIN else CANNOT_TELL


def p_from_interval(low: float, high: float, null: float, degrees: int) -> float:
    """Two-sided p-value of `null`, from an interval of `intervals.paired_difference`. (Its centre is not quite the estimate.)

    With `degrees` those of the seeds it is the p-value of the interval's own test at 5 %, and below 5 % at least four fifths of it:
    Student's t with few degrees has the heavier tails, but between 5 and 1 % the interval's quantile goes over to Banerjee's.
    """
    centre, half = (low + high) / 2, (high - low) / 2
    if half <= 0:
        return 1.0 if centre == null else 0.0
    return float(2 * stats.t.sf(abs(centre - null) / half * stats.t.ppf((1 + CONFIDENCE) / 2, degrees), degrees))


def pair_findings(experiments: Sequence[Experiment], pairs: Sequence[Pair], metric: str) -> list[Finding]:
    """Claims that `label` is better than `baseline` by a metric: a finding per experiment, pair and slice."""
    return [
        _of_row(experiment, row, direction(row["low"], row["high"]), null=0.0)
        for pair in pairs
        for experiment in experiments
        for row in experiment.contrasts(pair, metric).to_dict("records")
    ]


def counted_once(findings: Sequence[Finding]) -> list[Finding]:
    """What is one test, once, naming every experiment that has it: of the same runs, whatever they are called, of some of them, or
    of the same runs made again.

    Of some of them: an experiment of fewer seeds that has copied its cells is no test of its own, and the one with all counts.
    Made again, by other code perhaps: comparisons of one name whose effect, interval and counts are equal in every digit. Other
    runs do not give those, unless nothing differs between any of them: findings without any width stay apart.
    """
    again: dict[Hashable, list[Finding]] = {}
    for place, finding in enumerate(map(_merged, _of_the_same_runs(findings))):
        again.setdefault(_numbers(finding) or place, []).append(finding)
    return [_merged(group) for group in again.values()]


def _of_the_same_runs(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Findings in groups, each led by the one that has all runs of the others; in the order of the leaders."""
    groups: dict[int, list[Finding]] = {}
    for place in sorted(range(len(findings)), key=lambda place: -_num_runs(findings[place])):
        test = findings[place].test
        leaders = (leader for leader, (first, *_) in groups.items() if test and first.test and first.test.holds(test))
        groups.setdefault(next(leaders, place), []).append(findings[place])
    return [groups[leader] for leader in sorted(groups)]


def _num_runs(finding: Finding) -> int:
    return len(finding.test.label) + len(finding.test.baseline) if finding.test else 0


def _numbers(finding: Finding) -> Hashable:
    return replace(finding, experiment="", test=None) if finding.low < finding.high or finding.test is None else None


def _merged(group: Sequence[Finding]) -> Finding:
    """The first, with the names of all."""
    return replace(group[0], experiment=", ".join(_named(finding, group[0]) for finding in group))


def _named(finding: Finding, first: Finding) -> str:
    """An experiment, with its words for the comparison and its seeds where they are others than the first one's."""
    apart = [finding.comparison] if finding.comparison != first.comparison else []
    apart += [f"{finding.seeds} of these seeds"] if finding.seeds < first.seeds else []
    return finding.experiment + (f" ({', '.join(apart)})" if apart else "")


def coverage_findings(experiments: Sequence[Experiment], pair: Pair) -> list[Finding]:
    """The claim that Pass@K does not rise, on the slices where it could: those at the ceiling are listed, not judged."""
    found = []
    for experiment in experiments:
        for row in experiment.contrasts(pair, "pass").to_dict("records"):
            start = _level(experiment, row["baseline"], row["slice"])
            if start is not None and start >= CEILING:
                note = f"at its ceiling: {row['baseline']} has Pass@{int(row['k'])} = {100 * start:.1f} %"
                found.append(_of_row(experiment, row, AT_CEILING, null=None, note=note))
            else:
                found.append(_of_row(experiment, row, no_rise(row["low"], row["high"]), null=MARGIN))
    return found


def _level(experiment: Experiment, label: str, slice_name: str) -> float | None:
    table = experiment.rows("grid.csv")
    if table.empty:
        return None
    rows = table[(table["label"] == label) & (table["slice"] == slice_name) & (table["metric"] == "pass")]
    return float(rows["estimate"].iloc[0]) if len(rows) else None


def is_algorithm_1(experiment: Experiment) -> bool:
    """Whether iterative runs are the paper's: reward model and reference renewed, and no judgement turned over on purpose.

    Arms in which one of them is kept, or the initial reward model is harmed, are there to be compared with it.
    """
    facts = experiment.provenance
    renewed = all(facts.get("iterate", {}).get(name, RENEWED) == RENEWED for name in RENEWABLE)
    return renewed and not facts.get("label_noise")


def renewal_findings(experiments: Sequence[Experiment]) -> list[Finding]:
    """The claim that an iteration of Algorithm 1 beats the one before, which goes on as its control, at the last step that both
    have.
    """
    return [
        _finding(
            experiment,
            f"iteration {int(row['iteration'])} - its control, step {int(row['step'])}",
            row,
            direction(row["low"], row["high"]),
            null=0.0,
        )
        for experiment in filter(is_algorithm_1, experiments)
        for row in experiment.rows("iteration_gains.csv").to_dict("records")
    ]


def first_round_findings(experiments: Sequence[Experiment]) -> list[Finding]:
    """The claim that the first renewal of Algorithm 1 gains more than the second.

    The two share policies and seeds, so that their errors depend on each other in a way that the tables do not hold: each is
    taken at 97.5 %, and the interval of the difference from one's low to the other's high holds at 95 % whatever that is.
    """
    found = []
    for experiment in filter(is_algorithm_1, experiments):
        table = experiment.rows("iteration_gains.csv")
        for slice_name in table["slice"].unique() if len(table) else ():
            by_round = table[table["slice"] == slice_name].set_index("iteration")
            if not {1, 2} <= set(by_round.index):
                continue
            first, second = (by_round.loc[round_] for round_ in (1, 2))
            half = sum(_half_at_bonferroni(row) for row in (first, second))
            estimate = float(first["estimate"] - second["estimate"])
            row = {"slice": slice_name, "estimate": estimate, "low": estimate - half, "high": estimate + half}
            row |= {name: first[name] for name in ("num_seeds", "num_problems", "num_starts") if name in first}
            verdict = direction(row["low"], row["high"])
            found.append(_finding(experiment, "gain of iteration 1 - gain of iteration 2", row, verdict, null=0.0))
    return found


def _half_at_bonferroni(row: pd.Series) -> float:
    """Half-width at 97.5 %, from that at 95 %."""
    degrees = degrees_of(row)
    wider = stats.t.ppf(1 - (1 - CONFIDENCE) / 4, degrees) / stats.t.ppf((1 + CONFIDENCE) / 2, degrees)
    return float((row["high"] - row["low"]) / 2 * wider)


def _of_row(experiment: Experiment, row: dict[str, Any], verdict: str, null: float | None, note: str = "") -> Finding:
    names = {"maj": "Maj@", "pass": "Pass@"}
    metric = f", {names[row['metric']]}{int(row['k'])}" if row["metric"] in names else ""
    return _finding(experiment, f"{row['label']} - {row['baseline']}{metric}", row, verdict, null, note)


def _finding(
    experiment: Experiment, comparison: str, row: dict[str, Any], verdict: str, null: float | None, note: str = ""
) -> Finding:
    """null: what `p` is against; a table's own p-value, which is against 0, is used where it is that."""
    estimate, low, high = (float(row[name]) for name in ("estimate", "low", "high"))
    p = None
    if null is not None:
        own = row.get("p")
        stated = null == 0 and own is not None and np.isfinite(own)
        p = float(own or 0.0) if stated else p_from_interval(low, high, null, degrees_of(row))
    seeds, problems = int(row["num_seeds"]), int(row["num_problems"])
    starts = row.get("num_starts", 1)  # tables without the column are older than grids of several
    facts = (experiment.name, comparison, str(row["slice"]), estimate, low, high, seeds, problems, verdict, p, note)
    return Finding(*facts, 1 if pd.isna(starts) else int(starts), _test(experiment, row), experiment.world)


def _test(experiment: Experiment, row: Mapping[str, Any]) -> Compared | None:
    """What a row compares; None where the runs of one of its labels are not known, or the comparison is none of labels."""
    label, baseline = (experiment.runs.get(str(row.get(name))) for name in ("label", "baseline"))
    measured = tuple(str(row.get(name)) for name in ("slice", "split", "metric", "k", "num_problems", "decoding"))
    return None if label is None or baseline is None else Compared(label, baseline, measured)


def degrees_of(row: Any) -> int:
    """Degrees of freedom of the seeds; of the problems where the seeds are too few (with the two that `paired_difference` adds)."""
    return int(row["num_seeds"]) - 1 if row["num_seeds"] >= FEWEST_SEEDS else int(row["num_problems"]) + 1
