"""What a cell costs, roughly: enough to see whether a grid takes minutes or days, and to start the longest cells first.

The model counts response tokens: 1 for a token that is sampled (in training, for the learning curve, in the evaluation), 4 for one
that is trained on (forward and backward, and the passes of old and reference policy), a response being half as long as its limit.
Besides, every cell has to start: a process, its imports, the policy loaded and saved. Cells that have been run from nothing to
their end on the same folder say how many units a second makes and how long a cell takes to start; before there are any, it is what
the tiny stack does on one core of a laptop.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unified_rl.base.errors import DataError
from unified_rl.config.schema import Config
from unified_rl.launch.cells import Cell, read_record
from unified_rl.presets import chain, loading
from unified_rl.records.reading import read_jsonl
from unified_rl.sources.registry import declared
from unified_rl.stages.jobs import PRETRAIN

TRAINED = 4.0
#: Of a token of a row: forward and backward, in a smaller model than the tiny stack's.
PRETRAINED = 1.0
TINY_UNITS_PER_SECOND = 25_000.0
STARTUP_SECONDS = 10.0
TIMINGS = "timings.jsonl"
SLICES = 2  # the arithmetic task's; other tasks differ by a small factor


@dataclass(frozen=True)
class Work:
    """Units of a cell, without the stages it shares and without what it takes to start."""

    training: float
    evaluation: float = 0.0

    @property
    def units(self) -> float:
        return self.training + self.evaluation


@dataclass(frozen=True)
class Pace:
    """What a cell takes: `startup` seconds and its units at `speed` a second. known: from how many finished cells; 0 = a guess."""

    speed: float = TINY_UNITS_PER_SECOND
    startup: float = STARTUP_SECONDS
    known: int = 0

    def seconds(self, units: float) -> float:
        return self.startup + units / self.speed


def work(cell: Cell, config: Config) -> Work:
    """Expected work of a cell.

    Args:
        config: what the cell's words say (`stages.jobs.config_of`).

    Raises:
        ConfigError: the words of its evaluation mean nothing.
    """
    evaluation = 0.0
    if cell.evaluate is not None:
        options = loading.override(config.evaluation, _options(cell.evaluate), "evaluation")
        responses = sum(problems * (1 + samples) for problems, samples in options.parts(options.problems))
        evaluation = SLICES * responses * options.max_new_tokens / 2
    return Work(_training(config, cell.command), evaluation)


def stage_units(config: Config, name: str) -> float | None:
    """Units of a stage that is trained; 0 of one that is made of nothing; None of others, whose cost is not estimated."""
    kind = chain.kind_of(config, name)
    if kind.as_run is None:
        return None if kind.needs else 0.0
    return _training(loading.stage_config(config, name), "train")


def pace(cells: Sequence[Cell], works: Mapping[str, Work], folder: Path) -> Pace:
    """How fast finished cells of this folder went: their steps by the clock say the speed, the rest of their time the start-up."""
    whole = {}
    for cell in cells:
        record, clocked = read_record(cell, folder), _clocked(cell.run_dir(folder))
        if record.get("whole") and cell.name in works and clocked:
            whole[cell.name] = (float(record["seconds"]), clocked)
    units = sum(works[name].training for name in whole)
    if not units:
        return Pace()
    speed = units / sum(clocked for _, clocked in whole.values())
    startup = statistics.median(max(seconds - works[name].units / speed, 0.0) for name, (seconds, _) in whole.items())
    return Pace(speed, startup, len(whole))


def _clocked(run_dir: Path) -> float:
    """Seconds of a run's steps, of all their phases; 0 where nothing is known."""
    path = run_dir / TIMINGS
    try:
        entries = read_jsonl(path) if path.is_file() else []
    except DataError:
        return 0.0
    found = [value for entry in entries for name, value in entry.items() if name != "step" and isinstance(value, float)]
    return sum(found)


def _training(config: Config, command: str) -> float:
    """Units of training and its learning curve."""
    if command == PRETRAIN:
        return config.trainer.steps * config.pretraining.step_tokens * PRETRAINED
    steps, provides = config.trainer.steps, declared(config.source).provides
    if command == "iterate":
        steps = (config.iterate.iterations + 1) * (config.iterate.steps + config.iterate.control_steps)
    length, rollout = config.generator.max_new_tokens / 2, config.rollout
    each = 1 if provides.responses == "one" else rollout.responses_per_prompt
    responses = rollout.prompts_per_step * each * length
    step = responses * (TRAINED * rollout.epochs + provides.fresh)
    points = 1 + (steps // config.logging.curve_every if config.logging.curve_every else 1)
    return steps * step + points * SLICES * config.logging.curve_problems * length


def _options(words: Sequence[str]) -> list[str]:
    """Those words of `evaluate` that are settings of the evaluation."""
    return [word for word in words if word.split("=")[0].split(".")[0] not in ("name", "task", "data", "threads")]
