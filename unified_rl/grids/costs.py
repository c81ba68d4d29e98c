"""What a grid costs: seconds of one core for every cell and shared stage, from counts of tokens and measured speeds.

    seconds = start-up + sampled / SAMPLED_PER_SECOND + trained / TRAINED_PER_SECOND        (both by the size of the model)

Sampled: response tokens that are decoded, in training, for the learning curve, in the evaluation; what responses to one prompt
share is decoded once (`chain.DISTINCT`). Trained: tokens that are read forward and backward, prompts included (one copy for the
responses that share it); a pass without gradient, such as the reference's, counts a third, and a trained value model as much as the
policy. A response is `chain.RESPONSE_SHARE` of its limit long, and so is a prompt.

The speeds are those of the tiny stack while every core is busy with such runs, as a grid keeps them; a run alone is faster, by up
to a third. Cells that were run here from nothing to their end say how much faster or slower this machine is: the median of what
they took, over what was expected of them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from unified_rl.base.errors import UnifiedRLError
from unified_rl.config.problems import ModelConfig
from unified_rl.config.schema import Config
from unified_rl.grids.definition import is_start
from unified_rl.grids.shared_stages import SharedStage, shared_stages
from unified_rl.launch.cells import Cell, read_record
from unified_rl.methods.losses import all_needs
from unified_rl.methods.signals import beside_policy
from unified_rl.planning.plan import judging_responses
from unified_rl.presets import loading
from unified_rl.presets.chain import Work, decoded_tokens, response_tokens
from unified_rl.sources.registry import declared
from unified_rl.stages.kinds.pretrain import COMMAND as PRETRAIN
from unified_rl.stages.kinds.pretrain import config_of

#: Measured on one thread of a server core whose others are as busy, in CPU seconds: imports and the first model; 0.33M parameters
#: at lengths of 36 tokens (experiments/LOG.md, "what grids cost").
STARTUP_SECONDS = 10.0
SAMPLED_PER_SECOND, TRAINED_PER_SECOND = 16_000.0, 16_000.0
MEASURED_PARAMETERS = 331_776
#: Of the time per token, what does not grow with the model: small operations, drawing, packing.
FIXED_SHARE = 0.45
FORWARD = 1 / 3
SLICES = 2  # of the tasks that make their problems; others differ by a small factor


@dataclass(frozen=True)
class Costs:
    """Expected seconds of one core. cells: id -> without shared stages; problems: id -> why its words mean nothing.

    stages: what is shared, each once, in the order in which it is first read; first_reader: key -> the id of that cell;
    readers: key -> cells that read it. faults: stages whose keys cannot be known. factor, timed: what finished cells took over what
    was expected, by so many of them (1 and 0 where there are none).
    """

    cells: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    stages: dict[str, SharedStage] = field(default_factory=dict)
    first_reader: dict[str, str] = field(default_factory=dict)
    readers: dict[str, int] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    factor: float = 1.0
    timed: int = 0

    def of_cell(self, name: str) -> float:
        """Of a cell with the missing stages that it is the first to read."""
        made = sum(self.of_stage(key) for key, reader in self.first_reader.items() if reader == name)
        return self.factor * self.cells.get(name, 0.0) + made

    def of_stage(self, key: str) -> float:
        """Of a stage that is still to be made; 0 for one that is there."""
        return 0.0 if self.stages[key].there else self.factor * seconds(self.stages[key].work, self.stages[key].model)


def expected(cells: Sequence[Cell], folder: Path) -> Costs:
    """What the cells and their shared stages cost, by what finished cells of the folder took. Builds and starts nothing."""
    found, faults = Costs(), dict[str, None]()
    for cell in cells:
        try:
            config = config_of(cell.command, cell.train)
            found.cells[cell.name] = of_cell(cell, config)
        except UnifiedRLError as error:
            found.problems[cell.name] = str(error)
            continue
        try:
            for stage in shared_stages(config):
                found.stages.setdefault(stage.key, stage)
                found.first_reader.setdefault(stage.key, cell.name)
                found.readers[stage.key] = found.readers.get(stage.key, 0) + 1
        except UnifiedRLError as error:
            faults[str(error)] = None
    factor, timed = _factor(cells, found.cells, folder)
    return Costs(**{**vars(found), "faults": tuple(faults), "factor": factor, "timed": timed})


def whole(cells: Sequence[Cell], costs: Costs) -> float:
    """Of all cells and of the shared stages that are missing."""
    return sum(costs.factor * costs.cells.get(cell.name, 0.0) * cell.cores for cell in cells) + sum(
        map(costs.of_stage, costs.stages)
    )


def order(cells: Sequence[Cell]) -> dict[str, float]:
    """Expected seconds by cell id, for who starts them; 0 for a cell whose words mean nothing, which its worker will say."""
    costs = dict.fromkeys((cell.name for cell in cells), 0.0)
    for cell in cells:
        with contextlib.suppress(UnifiedRLError):
            costs[cell.name] = of_cell(cell, config_of(cell.command, cell.train))
    return costs


def of_cell(cell: Cell, config: Config) -> float:
    """Expected seconds of a cell without the stages it shares.

    Raises:
        ConfigError: the words of its evaluation mean nothing.
    """
    evaluation = Work()
    if cell.evaluate is not None:
        options = loading.override(config.evaluation, _options(cell.evaluate), "evaluation")
        limit, parts = options.max_new_tokens, options.parts(options.problems)
        decoded = sum(
            decoded_tokens(problems, 1, limit) + decoded_tokens(problems, samples, limit) for problems, samples in parts
        )
        evaluation = Work(sampled=(len(options.slices) or SLICES) * decoded)
    return STARTUP_SECONDS + seconds(_training(config, cell.command) + evaluation, config.model)


def seconds(work: Work, model: ModelConfig) -> float:
    """Of one core, for a model of this shape."""
    grown = FIXED_SHARE + (1 - FIXED_SHARE) * parameters(model) / MEASURED_PARAMETERS
    return grown * (work.sampled / SAMPLED_PER_SECOND + work.trained / TRAINED_PER_SECOND)


def parameters(model: ModelConfig) -> int:
    """Of the decoder's matrices: the embeddings are read, not multiplied. Of a model that is brought, those of its section."""
    return model.num_layers * model.hidden_size * (4 * model.hidden_size + 3 * model.intermediate_size)


def _training(config: Config, command: str) -> Work:
    """Training and its learning curve."""
    if command == PRETRAIN:
        return Work(trained=config.trainer.steps * config.pretraining.step_tokens)
    steps, provides, rollout = config.trainer.steps, declared(config.source).provides, config.rollout
    if command == "iterate":
        steps = (config.iterate.iterations + 1) * (config.iterate.steps + config.iterate.control_steps)
    length = response_tokens(config.generator.max_new_tokens)
    each = 1 if provides.responses == "one" else rollout.responses_per_prompt
    responses = rollout.prompts_per_step * each
    read = responses * length * (1 + 1 / each)
    others = beside_policy(all_needs(config))
    trained = read * (
        rollout.epochs * (1 + sum(not role.frozen for role in others)) + FORWARD * sum(role.frozen for role in others)
    )
    if config.trainer.token_budget:  # by whichever tokens: both are a response's
        steps = min(steps, math.ceil(config.trainer.token_budget / (responses * length)))
    beside = rollout.prompts_per_step * provides.untrained + judging_responses(config, responses)
    own = decoded_tokens(rollout.prompts_per_step, each, config.generator.max_new_tokens)
    sampled = (own + beside * length) * provides.fresh
    return Work(sampled=steps * sampled + _curve(config, steps), trained=steps * trained)


def _curve(config: Config, steps: int) -> float:
    """Tokens decoded for the learning curve: of the start, and then of every point, by greedy answers or by samples."""
    logging = config.logging
    points = 1 + (math.ceil(steps / logging.curve_every) if logging.curve_every else min(steps, 1))
    return (
        points * SLICES * decoded_tokens(logging.curve_problems, logging.curve_samples or 1, config.evaluation.max_new_tokens)
    )


def _factor(cells: Sequence[Cell], expected: Mapping[str, float], folder: Path) -> tuple[float, int]:
    """How much slower this machine is, and how many finished cells say so. Starts made their policy on the way, and count last."""
    records = {cell: read_record(cell, folder) for cell in cells}
    whole = {cell: record["seconds"] for cell, record in records.items() if record.get("whole") and expected.get(cell.name)}
    ratios = [took / expected[cell.name] for cell, took in whole.items() if not is_start(cell) and took]
    return (median(ratios), len(ratios)) if ratios else (1.0, 0)


def _options(words: Sequence[str]) -> list[str]:
    """Those words of `evaluate` that are settings of the evaluation."""
    return [word for word in words if word.split("=")[0].split(".")[0] not in ("name", "task", "data", "threads")]
