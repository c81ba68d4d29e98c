"""What an experiment directory holds: its runs, the state of each, and their evaluations as per-problem scores.

A cell is one (label, seed). Labels, methods and seeds come from each run's own configuration or from an evaluation's meta data,
never from the names of directories. The initial (SFT) policy is a cell too, the baseline: a run of no steps, or a directory that
holds evaluations only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.base.errors import DataError
from unified_rl.records import reading as run_reading
from unified_rl.records.config_file import flat
from unified_rl.records.provenance import code_by_steps
from unified_rl.statistics import comparable
from unified_rl.statistics.contradictions import refuse_contradictions
from unified_rl.statistics.maj_at_k import NoAnswer, Ties, maj_at_k
from unified_rl.statistics.pass_at_k import pass_at_k

#: The method of the policy that training starts from: a run of no steps, or a directory that holds its evaluations only.
BASELINE_METHOD = "sft_policy"
MISSING = "missing"
COMPLETE = "complete"
NOT_EVALUATED = "not evaluated"


@dataclass(frozen=True)
class Scores:
    """One policy on one slice of one split.

    Attributes:
        problem_ids: [P], sorted.
        greedy: float [P], 1 where the greedy answer is right; None without greedy answers.
        num_correct: int [P], right samples; num_no_answer: int [P]; class_counts: P lists of samples per answer;
        correct_class: int [P], see `maj_at_k`. num_samples: the most samples of any problem (0 without samples).
        samples_P: int [P], samples of each problem, where some have fewer; None: all have `num_samples`. Pass@K and Maj@K are of
            the problems with all of them: [D].
        num_sound: int [P], right samples every step of which is right; None where the evaluation does not say.
        digest: of ids and gold answers (`comparable.problems_digest`); "" where the gold answers are not at hand.
    """

    problem_ids: tuple[str, ...]
    greedy: np.ndarray | None
    num_samples: int
    num_correct: np.ndarray
    num_no_answer: np.ndarray
    class_counts: list[list[int]]
    correct_class: np.ndarray
    digest: str = ""
    samples_P: np.ndarray | None = None
    num_sound: np.ndarray | None = None
    _maj: dict[tuple[str, str], np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def ks(self) -> tuple[int, ...]:
        """1, 2, 4, ... up to the number of samples."""
        return tuple(2**i for i in range(self.num_samples.bit_length()))

    @cached_property
    def whole(self) -> np.ndarray:
        """Places of the problems with all the samples: [D]."""
        count = len(self.problem_ids)
        return np.arange(count) if self.samples_P is None else np.flatnonzero(self.samples_P == self.num_samples)

    @property
    def whole_ids(self) -> tuple[str, ...]:
        """[D], the problems that Pass@K and Maj@K are of."""
        return tuple(self.problem_ids[place] for place in self.whole)

    def same_problems(self, other: Scores) -> bool:
        """Whether both are on the same problems, by ids and, where both know them, gold answers."""
        golds = not self.digest or not other.digest or self.digest == other.digest
        return golds and self.problem_ids == other.problem_ids and self.whole_ids == other.whole_ids

    def average(self) -> np.ndarray:
        """Share of right samples per problem: [P]."""
        return self.num_correct / (self.num_samples if self.samples_P is None else self.samples_P)

    def pass_at(self) -> np.ndarray:
        """Pass@K per problem at every K of `ks`: [D, K]."""
        return np.asarray(pass_at_k(self.num_samples, self.num_correct[self.whole, None], np.array(self.ks)))

    def cot_pass_at(self) -> np.ndarray:
        """CoT-Pass@K per problem at every K of `ks`: [D, K]. Raises ValueError where `num_sound` is not known."""
        if self.num_sound is None:
            raise ValueError("the evaluation does not say which samples are sound")
        return np.asarray(pass_at_k(self.num_samples, self.num_sound[self.whole, None], np.array(self.ks)))

    def maj_at(self, ties: Ties, no_answer: NoAnswer) -> np.ndarray:
        """Maj@K per problem at every K of `ks`: [D, K]."""
        if (ties, no_answer) not in self._maj:  # several tables want it, and it takes seconds
            counts = [self.class_counts[place] for place in self.whole]
            silent = self.num_no_answer[self.whole]
            found = maj_at_k(counts, self.correct_class[self.whole], self.ks, ties, num_no_answer=silent, no_answer=no_answer)
            self._maj[ties, no_answer] = np.asarray(found)
        return self._maj[ties, no_answer]


@dataclass(frozen=True)
class Cell:
    """One (label, seed) of an experiment.

    Attributes:
        path: its directory, None if it is missing.
        state: "finished", "running" or "failed" (status.json), "not started", "evaluated" (a policy without a training run), or
            `MISSING`.
        step, steps: done and planned; None if unknown. error: why it failed.
        commit: of the code that trained it; None if unknown. mixed_code: which code made which of its steps, in words, where it was
            more than one; "" where it was one.
        evaluation: name of the evaluation to read, None for all those of the last evaluated step.
        metas: its evaluations, directory -> meta.json.
        settings: its resolved configuration, dotted name -> value; empty for a policy without one.
        configuration: what it is by that and by its code (`comparable.configuration_key`); "" where it is not known.
    """

    label: str
    method: str
    seed: int
    path: Path | None
    state: str
    step: int | None = None
    steps: int | None = None
    error: str = ""
    commit: str | None = None
    mixed_code: str = ""
    evaluation: str | None = None
    metas: dict[Path, dict[str, Any]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    configuration: str = ""

    @property
    def is_baseline(self) -> bool:
        return self.method == BASELINE_METHOD

    @property
    def status(self) -> str:
        """The state of training in words."""
        if self.state in ("finished", "evaluated"):
            return COMPLETE
        progress = f" at step {self.step} of {self.steps}" if self.step is not None else ""
        return f"{self.state}{progress}" + (f": {self.error}" if self.error else "")

    @property
    def evaluation_status(self) -> str:
        """`COMPLETE` where training has finished and its last step is evaluated; otherwise what is lacking, in words."""
        if self.status != COMPLETE:
            return self.status
        if not self.final_metas:
            unfinished = [path.name for path, meta in self.metas.items() if not meta["complete"]]
            return NOT_EVALUATED + (f" (unfinished: {', '.join(unfinished)})" if unfinished else "")
        evaluated = next(iter(self.final_metas.values()))["step"]
        if self.step is not None and evaluated != self.step:
            return f"evaluated at step {evaluated} of {self.step}"
        return COMPLETE

    @property
    def final_metas(self) -> dict[Path, dict[str, Any]]:
        """The complete evaluations at the latest evaluated step (or the one chosen by name): directory -> meta."""
        complete = {path: meta for path, meta in self.metas.items() if meta["complete"]}
        if self.evaluation is not None:
            return {path: meta for path, meta in complete.items() if path.name == self.evaluation}
        last = max((meta["step"] for meta in complete.values()), default=None)
        return {path: meta for path, meta in complete.items() if meta["step"] == last}

    @cached_property
    def protocol(self) -> dict[str, Any]:
        """How its final evaluation was made (`comparable.protocol`); empty without one."""
        found: dict[str, Any] = {}
        for meta in self.final_metas.values():
            found |= comparable.protocol(meta)
        return found

    @property
    def decoding(self) -> str:
        """Task and decoding of its final evaluation, in words; "" without one."""
        return comparable.decoding_words(self.protocol)

    @property
    def temperature(self) -> float | None:
        """Temperature of the samples; None without samples."""
        sampled = [meta["decoding"]["temperature"] for meta in self.final_metas.values() if meta["samples_per_problem"]]
        return sampled[0] if sampled else None

    @cached_property
    def curve(self) -> pd.DataFrame:
        """curve.jsonl; empty for a missing run or a policy without training."""
        return run_reading.read_curve(self.path) if self.path else pd.DataFrame(columns=list(run_reading.CURVE_COLUMNS))

    @cached_property
    def scores(self) -> dict[tuple[str, str], Scores]:
        """(slice, split) -> scores of the final evaluation, in the order in which the evaluation has them.

        Raises:
            DataError: two evaluations of the same step hold the same answers' slots, or an evaluation contradicts itself.
        """
        frames: list[pd.DataFrame] = []
        owner: dict[tuple[Any, ...], Path] = {}
        for path in self.final_metas:
            samples, _ = run_reading.read_evaluation(path)
            for slot in samples[["mode", "slice", "split"]].drop_duplicates().itertuples(index=False, name=None):
                if slot in owner:
                    raise DataError(
                        f"{owner[slot]} and {path} both hold the {slot[0]} answers of {slot[2]}/{slot[1]} at one step; "
                        "name the one to use with evaluation=NAME, or move the other away"
                    )
                owner[slot] = path
            frames.append(samples)
        if not frames:
            return {}
        where = ", ".join(str(path) for path in self.final_metas)
        groups = pd.concat(frames, ignore_index=True).groupby(["slice", "split"], sort=False)
        metas = self.final_metas.values()
        numbers = {int(meta.get(name, 0)) for meta in metas for name in ("samples_per_problem", "coverage_samples")} - {0}
        return {key: _scores(group, f"{where} ({key[1]}/{key[0]})", numbers) for key, group in groups}


def read_experiment(folders: Sequence[Path | str], evaluation: str | None = None) -> list[Cell]:
    """Every cell of the experiment directories, the baseline first; what is missing from the grid labels x seeds included.

    Args:
        folders: directories with runs at or below them. evaluation: name of the evaluation to read where a run has several.

    Raises:
        DataError: no run is found, two runs have the same label and seed, runs of one label differ in more than seeds, evaluations
            were not made alike, or a file is malformed.
    """
    paths = [path for folder in folders for path in run_reading.list_runs(folder)]
    cells = [cell for path in paths if (cell := _read_cell(path, evaluation)) is not None]
    if not cells:
        listed = ", ".join(str(folder) for folder in folders)
        raise DataError(f"no run and no evaluation below {listed}; give the directory that the runs were written to")
    by_key: dict[tuple[str, int], Cell] = {}
    for cell in cells:
        other = by_key.setdefault((cell.label, cell.seed), cell)
        if other is not cell:
            raise DataError(
                f"{other.path} and {cell.path} both have label={cell.label!r} and seed={cell.seed}; "
                "give one of them another label, or analyse them apart"
            )
    _refuse_unlike_seeds(cells)
    _refuse_unlike_evaluations(cells)
    return sorted([*cells, *_missing(cells)], key=lambda cell: (_rank(cell), cell.label, cell.seed))


def _refuse_unlike_seeds(cells: Sequence[Cell]) -> None:
    """Runs of one label are pooled as seeds: their configurations may differ in nothing else."""
    first: dict[str, Cell] = {}
    for cell in cells:
        other = first.setdefault(cell.label, cell) if cell.settings else cell
        if apart := comparable.settings_apart(other.settings, cell.settings):
            raise DataError(
                f"{other.path} and {cell.path} both have label={cell.label!r} and would be pooled as seeds, but differ in "
                f"{comparable.apart_in_words(apart)}; {comparable.REMEDY}"
            )


def _refuse_unlike_evaluations(cells: Sequence[Cell]) -> None:
    """Everything in one table is compared: at one decoding, on one task."""
    evaluated = [cell for cell in cells if cell.protocol]
    for cell in evaluated[1:]:
        both = evaluated[0].protocol, cell.protocol
        # What only one of them states is unknown of the other: greedy evaluations have no temperature.
        apart = {name: (both[0][name], both[1][name]) for name in both[0] if name in both[1] and both[0][name] != both[1][name]}
        if apart:
            raise DataError(
                f"{evaluated[0].path} and {cell.path} were evaluated differently, so that their numbers cannot stand in one table: "
                f"{comparable.apart_in_words(apart)}; evaluate both alike, or choose one that both have with evaluation=NAME"
            )


def _read_cell(path: Path, evaluation: str | None) -> Cell | None:
    config, status = run_reading.read_config(path), run_reading.read_status(path)
    metas = {folder: run_reading.read_evaluation_meta(folder) for folder in run_reading.list_evaluations(path)}
    if config is None and not metas:
        return None
    facts = config if config is not None else next(iter(metas.values()))
    no_steps = status is not None and status.get("steps") == 0
    method = BASELINE_METHOD if no_steps else str(facts.get("method") or "unknown")
    made_of = run_reading.read_provenance(path) or {}
    settings, commit = flat(config or {}), (made_of.get("git") or {}).get("commit")
    common: dict[str, Any] = {
        # An empty label means that the user gave none: the method's name stands in.
        "label": str(facts.get("label") or method),
        "method": method,
        "seed": int(facts.get("seed", 0)),
        "path": path,
        "commit": commit,
        "mixed_code": _mixed_code(made_of, status),
        "evaluation": evaluation,
        "metas": metas,
        "settings": settings,
        "configuration": comparable.configuration_key(settings, commit),
    }
    if config is None:
        return Cell(state="evaluated", **common)
    if status is None:
        return Cell(state="not started", **common)
    return Cell(
        state=status["state"], step=status.get("step"), steps=status.get("steps"), error=status.get("error") or "", **common
    )


def _mixed_code(made_of: Mapping[str, Any], status: Mapping[str, Any] | None) -> str:
    """Which code made which steps, where a run went on under other code than it began with."""
    ranges = code_by_steps(made_of, (status or {}).get("step") or 0) if "sessions" in made_of else []
    return ", ".join(f"steps {first}-{last} by {code}" for first, last, code in ranges) if len(ranges) > 1 else ""


def commits_of(cells: Iterable[Cell]) -> list[str]:
    """The commits that the cells were made by, for a table's first line."""
    return sorted({cell.commit for cell in cells if cell.commit})


def mixed_code_of(cells: Iterable[Cell]) -> dict[str, str]:
    """Cells that more than one code made, in words, for a table's first line."""
    return {f"{cell.label}, seed {cell.seed}": cell.mixed_code for cell in cells if cell.mixed_code}


def _missing(cells: list[Cell]) -> list[Cell]:
    """The holes of the grid labels x seeds. (A baseline that serves every seed has none.)"""
    own_starts = comparable.count_starts(cell.settings for cell in cells) > 1
    runs = [cell for cell in cells if own_starts or not cell.is_baseline]
    methods = {cell.label: cell.method for cell in runs}
    present = {(cell.label, cell.seed) for cell in runs}
    seeds = sorted({cell.seed for cell in runs})
    holes = [(label, seed) for label in methods for seed in seeds if (label, seed) not in present]
    return [Cell(label=label, method=methods[label], seed=seed, path=None, state=MISSING) for label, seed in holes]


def _rank(cell: Cell) -> int:
    """Order of methods in tables: the baseline, then the method table's own order, then others."""
    from unified_rl.methods import METHODS

    order = [BASELINE_METHOD, *METHODS]
    return order.index(cell.method) if cell.method in order else len(order)


def _scores(samples: pd.DataFrame, where: str, numbers: set[int]) -> Scores:
    """Reduce the answers of one slice to counts per problem.

    Args:
        where: names the files in messages. numbers: of samples that a problem may have.
    """
    refuse_contradictions(samples, where)
    greedy, drawn = samples[samples["mode"] == "greedy"], samples[samples["mode"] == "sample"]
    problem_ids = tuple(sorted(samples["problem_id"].unique()))
    asked = samples.drop_duplicates("problem_id")
    per_problem = drawn.groupby("problem_id").size().reindex(problem_ids, fill_value=0)
    uneven = per_problem.nunique() > 1 and not set(per_problem) <= numbers
    if uneven or (len(greedy) and len(greedy) != len(problem_ids)):
        raise DataError(
            f"{where}: problems have between {per_problem.min()} and {per_problem.max()} samples and {len(greedy)} of "
            f"{len(problem_ids)} a greedy answer, but all must have the same; evaluate again"
        )
    counts, correct_class = _votes(drawn, problem_ids)
    drawn_right = (drawn["verdict"] == "correct").groupby(drawn["problem_id"]).sum().reindex(problem_ids, fill_value=0)
    silent = drawn["answer_class"].isna().groupby(drawn["problem_id"]).sum().reindex(problem_ids, fill_value=0)
    known = "sound" in drawn and drawn["sound"].notna().all()
    sound = drawn["sound"].astype(bool).groupby(drawn["problem_id"]).sum().reindex(problem_ids, fill_value=0) if known else None
    greedy_right = (greedy.set_index("problem_id")["verdict"] == "correct").reindex(problem_ids) if len(greedy) else None
    return Scores(
        problem_ids=problem_ids,
        greedy=None if greedy_right is None else greedy_right.to_numpy(dtype=float),
        num_samples=int(per_problem.max()),
        samples_P=per_problem.to_numpy(dtype=np.int64) if per_problem.nunique() > 1 else None,
        num_correct=drawn_right.to_numpy(dtype=np.int64),
        num_no_answer=silent.to_numpy(dtype=np.int64),
        class_counts=counts,
        correct_class=correct_class,
        num_sound=None if sound is None else sound.to_numpy(dtype=np.int64),
        digest=comparable.problems_digest(zip(asked["problem_id"], asked["gold"], strict=True)) if "gold" in samples else "",
    )


def _votes(drawn: pd.DataFrame, problem_ids: tuple[str, ...]) -> tuple[list[list[int]], np.ndarray]:
    """Samples per answer class of each problem, and the place of the right class (-1: never sampled)."""
    answered = drawn[drawn["answer_class"].notna()]
    sizes = answered.groupby(["problem_id", "answer_class"]).size()
    gold = drawn.drop_duplicates("problem_id").set_index("problem_id")["gold_class"]
    counts: dict[str, list[int]] = {problem: [] for problem in problem_ids}
    correct = dict.fromkeys(problem_ids, -1)
    for (problem, answer), size in sizes.items():
        if answer == gold[problem]:
            correct[problem] = len(counts[problem])
        counts[problem].append(int(size))
    return list(counts.values()), np.array(list(correct.values()), dtype=np.int64)
