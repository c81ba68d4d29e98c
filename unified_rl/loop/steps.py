"""The loop of everything that is trained: steps, metrics, learning curve, checkpoints, resume. It does not know what is trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_rl.base.errors import TrainingError
from unified_rl.config.schema import Config
from unified_rl.records.progress import doing
from unified_rl.records.runs import Run

#: The parts of a step whose times are noted, in words for whoever waits.
PHASES = {
    "source": "responses",
    "prepare": "log-probs",
    "update": "update",
    "curve": "point of the curve",
    "checkpoint": "checkpoint",
    "held_out": "held-out text",
    "keep": "copy of the model",
}

#: A step's metrics, and the samples it shows.
Made = tuple[dict[str, float], list[dict[str, Any]]]


@dataclass(frozen=True)
class Work:
    """What is repeated and saved.

    Attributes:
        step: makes step 1, 2 ..., noting the seconds of its phases in the dictionary it is given. Its entry has the `step`.
        save: writes everything that a checkpoint holds to a folder; called by all ranks.
        curve: entries for `curve.jsonl` under the present weights.
        totals: from a step's entry and the one before it ({} before the first) to the entry with its running totals.
    """

    step: Callable[[int, dict[str, float]], Made]
    save: Callable[[Path], None]
    curve: Callable[[], list[dict[str, Any]]] = list
    totals: Callable[[dict[str, float], Mapping[str, Any]], dict[str, float]] = lambda entry, before: entry


def repeat(work: Work, config: Config, run: Run, on_step: Callable[[int, dict[str, float]], None] = lambda *_: None) -> None:
    """Make the steps that are left, from the run's latest checkpoint to `config.trainer.steps` or the end of the token budget.

    Raises:
        TrainingError: a step that could not be made; the last checkpoint stays good.
    """
    steps = config.trainer.steps
    run.set_status("running", run.step, steps)
    totals: dict[str, Any] = run.last_entry("metrics")
    if not run.has_checkpoint:
        _log_curve(work, run, 0, totals)
        if steps == 0:
            run.save_checkpoint(0, work.save, config.logging.keep_checkpoints)
    for step in range(run.step + 1, steps + 1):
        if _budget_spent(config, totals):
            break
        timings: dict[str, float] = {}
        try:
            entry, samples = work.step(step, timings)
        except TrainingError as error:
            good = f"the last checkpoint (step {run.step}) is good" if run.has_checkpoint else "there is no checkpoint yet"
            raise TrainingError(f"step {step}: {error}; {good}") from error
        totals = work.totals(entry, totals)
        run.log("metrics", totals)
        for sample in samples:
            run.log("samples", {"step": step, **sample})
        last = step if _budget_spent(config, totals) else steps
        if due(step, config.logging.curve_every, last):
            with timed(timings, "curve"):
                _log_curve(work, run, step, totals)
        if due(step, config.logging.checkpoint_every, last):
            with timed(timings, "checkpoint"):
                run.save_checkpoint(step, work.save, config.logging.keep_checkpoints)
                run.set_status("running", step, steps)
        run.log("timings", {"step": step, **timings})
        on_step(step, totals)
    run.set_status("finished", run.step, steps, ended_by="token_budget" if _budget_spent(config, totals) else "steps")


def due(step: int, every: int, last: int) -> bool:
    """Whether something happens after this step that happens every so many, and after the last one (0: only then)."""
    return step == last or (every > 0 and step % every == 0)


@contextmanager
def timed(timings: dict[str, float], phase: str) -> Iterator[None]:
    """Note how many seconds the block took, and say that it is under way."""
    doing(PHASES.get(phase, phase))
    start = time.perf_counter()
    yield
    timings[phase] = time.perf_counter() - start


def _log_curve(work: Work, run: Run, step: int, totals: Mapping[str, Any]) -> None:
    tokens = {name: int(totals.get(f"tokens/{name}", 0)) for name in ("sampled", "trained")}
    for entry in work.curve():
        run.log("curve", {"step": step, **entry, "sampled_tokens": tokens["sampled"], "trained_tokens": tokens["trained"]})


def _budget_spent(config: Config, totals: Mapping[str, Any]) -> bool:
    """Whether the run has reached its token budget, if it has one."""
    budget = config.trainer.token_budget
    return budget > 0 and totals.get(f"tokens/{config.trainer.budget_counts}", 0) >= budget
