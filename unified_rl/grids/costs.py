"""What a cell costs, roughly: enough to see whether a grid takes minutes or days, and to start the longest cells first.

The model counts response tokens: 1 for a token that is sampled (in training, for the learning curve, in the evaluation), 4 for one
that is trained on (forward and backward, and the passes of old and reference policy), a response being half as long as its limit.
Cells that have been run from nothing to their end on the same folder say how many such units a second makes; before there are any,
it is what the tiny stack does on one core of a laptop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from unified_rl.config.schema import Config
from unified_rl.launch.cells import Cell, read_record
from unified_rl.presets import loading
from unified_rl.sources.registry import declared

TRAINED = 4.0
TINY_UNITS_PER_SECOND = 25_000.0
SLICES = 2  # the arithmetic task's; other tasks differ by a small factor


def work(cell: Cell, config: Config) -> float:
    """Expected work of a cell in units, without the stages it shares.

    Args:
        config: what the cell's words say (`loading.load_config(cell.train)`).

    Raises:
        ConfigError: the words of its evaluation mean nothing.
    """
    evaluation = 0.0
    if cell.evaluate is not None:
        options = loading.override(config.evaluation, _options(cell.evaluate), "evaluation")
        responses = sum(problems * (1 + samples) for problems, samples in options.parts(options.problems))
        evaluation = SLICES * responses * options.max_new_tokens / 2
    return _training(config, cell.command) + evaluation


def units_per_second(cells: Sequence[Cell], units: Mapping[str, float], folder: Path) -> tuple[float, int]:
    """The speed, and from how many finished cells it is known (0: it is the tiny stack's)."""
    records = {cell.name: read_record(cell, folder) for cell in cells}
    timed = {name: record["seconds"] for name, record in records.items() if record.get("whole") and units.get(name)}
    if not timed or not sum(timed.values()):
        return TINY_UNITS_PER_SECOND, 0
    return sum(units[name] for name in timed) / sum(timed.values()), len(timed)


def _training(config: Config, command: str) -> float:
    """Units of training and its learning curve."""
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
