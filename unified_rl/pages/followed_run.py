"""One run directory, followed: its numbers by step, its logged responses, and where it stands, from one look to the next.

A look costs what has been written since the last one. Nothing that a run wrote can raise: what cannot be read is said in `error`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from unified_rl.base.errors import DataError
from unified_rl.pages.samples import KEPT_SAMPLES, TERMS, as_logged, term_names
from unified_rl.pages.series import Series
from unified_rl.records import curve_points, phase, reading
from unified_rl.records.following import Followed
from unified_rl.statistics.experiment import BASELINE_METHOD

Found = TypeVar("Found")
#: What is shown of a run's last step -> the metric.
NUMBERS = {
    "reward": "reward/mean",
    "correct": "reward/correct",
    "kl": "kl/k3",
    "length": "response/length",
    "entropy": "entropy/mean",
    "logp": "logp/mean",
}
GOOD = ("finished", "running", "evaluating", "evaluated", "starting", "not started")
#: Work is under way while progress.json is younger than this, in seconds, or than so many times its own pace.
FRESH_SECONDS, FRESH_UNITS = 600.0, 20.0


@dataclass(frozen=True)
class Standing:
    """Where a run stands: a row of the page and of the terminal; or a hole where a run should be.

    path: None for a hole. id: of a hole that a grid has planned. state: in a word. step, steps: None where nothing says it.
    work: what is under way beside the steps themselves. rate: of the work under way, units per second, 0 where it is not known.
    left: seconds to its end, or None. numbers: of the last step, by the names of `NUMBERS`. evaluations: how many. log: of the
    process that made it. age: seconds since anything was written, None where that is of no interest.
    """

    path: Path | None
    label: str
    method: str
    seed: str
    state: str
    step: int | None = None
    steps: int | None = None
    work: str = ""
    unit: str = "steps"
    rate: float = 0.0
    left: float | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    evaluations: str = ""
    error: str = ""
    log: Path | None = None
    id: str = ""
    age: float | None = None

    @property
    def name(self) -> str:
        return self.path.name if self.path else self.id

    @property
    def bad(self) -> bool:
        return self.state not in GOOD

    @property
    def going(self) -> bool:
        """Whether more is to come of it by itself."""
        return self.state in ("running", "evaluating", "starting")


class FollowedRun:
    """A run directory as it is written.

    Attributes:
        metrics, curve: numbers by step; those of the learning curve as `curve_points.series`. samples: the latest logged
            responses as text of JSON, with their steps. num_samples: of all that were logged. terms: of their coefficients.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics, self.curve = Series(), Series()
        self.samples: deque[tuple[int, str]] = deque(maxlen=KEPT_SAMPLES)
        self.num_samples = 0
        self.terms: dict[str, None] = {}
        self._logs = {name: Followed(path / f"{name}.jsonl") for name in ("metrics", "curve", "samples")}
        self._read: dict[str, Callable[[dict[str, Any]], None]] = {
            "metrics": lambda row: self.metrics.add(row["step"], row),
            "curve": self._add_curve,
            "samples": self._add_sample,
        }
        self._config: dict[str, Any] | None = None
        self._metas: tuple[tuple[str, ...], list[dict[str, Any]]] = ((), [])

    def look(self, *, samples: bool = True) -> None:
        """Take in what has been written since the last look."""
        for name, log in self._logs.items():
            if name == "samples" and not samples:
                continue
            before, rows = log.again, log.look()
            if log.again != before:
                self._forget(name)
            for row in rows:
                if type(row.get("step")) is int and 0 <= row["step"] < 2**53:
                    self._read[name](row)

    @property
    def behind(self) -> bool:
        """Whether a log has more than the last look read."""
        return any(log.behind for log in self._logs.values())

    @property
    def behind_in_numbers(self) -> bool:
        """The same, of looks without samples."""
        return any(log.behind for name, log in self._logs.items() if name != "samples")

    def standing(self, log: Path | None = None, record: Mapping[str, Any] | None = None) -> Standing | None:
        """Where it stands; None for a folder that holds no configuration, no status and no evaluation.

        Args:
            log: of the process that made it. record: how a grid's last attempt at it ended.
        """
        errors: list[str] = []
        config = self._configuration(errors)
        status = _tried(errors, lambda: reading.read_status(self.path), None) or {}
        none: list[dict[str, Any]] = []
        metas = _tried(errors, self._evaluations, none)
        if config is None and not metas and not errors:
            return None
        facts = config or (metas[0] if metas else {})
        method = BASELINE_METHOD if status.get("steps") == 0 else str(facts.get("method") or "unknown")
        state = "unreadable" if errors else str(status.get("state", "not started" if config is not None else "evaluated"))
        if status.get("error"):
            errors.append(str(status["error"]))
        under_way = self._under_way(state)
        if record and record.get("state") == "failed" and not under_way and state in ("finished", "running", "not started"):
            state, errors = "failed", [*errors, str(record.get("error"))]
        if under_way and state == "finished":
            state = "evaluating"
        steps = _count(status.get("steps"))
        return Standing(
            path=self.path,
            label=str(facts.get("label") or (method if facts else self.path.name)),
            method=method,
            seed=str(facts.get("seed", "")),
            state=state,
            step=self._step(status, under_way, state),
            steps=steps,
            numbers={name: self.metrics.last[metric] for name, metric in NUMBERS.items() if metric in self.metrics.last},
            evaluations=_evaluations_in_words(metas),
            error="; ".join(errors),
            log=log,
            age=self._age() if state in ("running", "evaluating") else None,
            **_pace(under_way, steps),
        )

    def _configuration(self, errors: list[str]) -> dict[str, Any] | None:
        if self._config is None:
            self._config = _tried(errors, lambda: reading.read_config(self.path), None)
        return self._config

    def _evaluations(self) -> list[dict[str, Any]]:
        """The facts of every evaluation, read once for as long as there are the same ones."""
        found = reading.list_evaluations(self.path)
        names = tuple(path.name for path in found)
        if names != self._metas[0]:
            self._metas = (names, [reading.read_evaluation_meta(path) for path in found])
        return self._metas[1]

    def _under_way(self, state: str) -> phase.Phase | None:
        """The work that progress.json tells of, where it is later than what status.json says, and not too old."""
        if state not in ("running", "finished", "failed"):
            return None
        found = phase.read(self.path)
        if found is None or (state != "running" and found.done >= found.total):
            return None
        written, noted = _written(self.path / phase.FILE), _written(self.path / "status.json")
        unit = FRESH_UNITS / found.rate if found.rate > 0 else 0.0
        fresh = time.time() - written < max(FRESH_SECONDS, unit)
        return found if fresh and (state == "running" or written > noted) else None

    def _step(self, status: Mapping[str, Any], under_way: phase.Phase | None, state: str) -> int | None:
        """The last step: of a run under way by its log, since its status is of its last checkpoint."""
        step = _count(status.get("step"))
        return max(step or 0, self.metrics.last_step) if state == "running" else step

    def _age(self) -> float:
        names = (phase.FILE, "status.json", "metrics.jsonl")
        return max(0.0, time.time() - max(_written(self.path / name) for name in names))

    def _forget(self, name: str) -> None:
        if name == "samples":
            self.samples.clear()
            self.num_samples = 0
        else:
            setattr(self, name, Series())

    def _add_curve(self, row: dict[str, Any]) -> None:
        right = row.get("correct")
        if right and not curve_points.problem(row):
            self.curve.add(row["step"], {curve_points.series(row): sum(right) / len(right)})

    def _add_sample(self, row: dict[str, Any]) -> None:
        self.num_samples += 1
        for name in term_names(row):
            if len(self.terms) < TERMS:
                self.terms.setdefault(name)
        self.samples.append((row["step"], as_logged(row)))


def _piece(under_way: phase.Phase) -> str:
    return f"{under_way.label} {under_way.done}/{under_way.total}"


def _pace(under_way: phase.Phase | None, steps: int | None) -> dict[str, Any]:
    """The fields of a standing that progress.json fills."""
    if under_way is None:
        return {}
    training = under_way.unit == "steps" and under_way.total == steps
    return {
        "work": ", ".join(filter(None, ["" if training else _piece(under_way), under_way.within])),
        "unit": under_way.unit,
        "rate": under_way.rate if under_way.done < under_way.total else 0.0,
        "left": under_way.seconds_left(time.time()),
    }


def _evaluations_in_words(metas: list[dict[str, Any]]) -> str:
    unfinished = sum(not meta["complete"] for meta in metas)
    return f"{len(metas)}" + (f" ({unfinished} unfinished)" if unfinished else "") if metas else ""


def _tried(errors: list[str], read: Callable[[], Found], otherwise: Found) -> Found:
    """What `read` gives, or `otherwise` and a message among the errors. A file may be in the middle of being replaced: twice."""
    for last in (False, True):
        try:
            return read()
        except DataError as error:
            if last:
                errors.append(str(error))
        except OSError as error:
            if last:
                errors.append(f"{error.filename}: {error.strerror}")
    return otherwise


def _count(value: Any) -> int | None:
    return value if type(value) is int else None


def _written(path: Path) -> float:
    """When a file was last written, in seconds since 1970; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
