"""Commands that run experiments: a grid, and the main job, which is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean
from unified_rl.cli.grammar import Call, Command
from unified_rl.config.ranges import one_of
from unified_rl.grids import reproduce as main_job
from unified_rl.grids import runner
from unified_rl.grids.definition import GROUPS, Grid, cells, in_another_world
from unified_rl.grids.line import HYPOTHESIS, grid_of_line
from unified_rl.stages.kinds.pretrain import config_of

SLURM = "slurm."
WAYS = {"--dry-run": runner.dry_run, "--status": runner.status}
FLAGS = {
    "--dry-run": "the cells, the shared stages and the cost; starts nothing",
    "--status": "where every cell stands; starts nothing",
}


@dataclass(frozen=True)
class GridOptions(runner.Choices):
    """Which grid.

    name: an ablation in the folder experiments, or the path of its file; words about the world, as in task=countdown, take it
    there. Without a name, the words list the grid: a,b are two arms.
    command: what the arms of such a line are, train or iterate.
    """

    name: list[str] = field(default_factory=list)
    command: str = "train"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("command", self.command, list(GROUPS))


@dataclass(frozen=True)
class ReproduceOptions(runner.Choices):
    """How large the main job is.

    preset: smoke (about a minute), default (one seed, under ten minutes) or full (five seeds, all methods). out: folder for runs,
    tables, figures and page; by default runs/PRESET.
    """


def _reproduce(call: Call) -> int:
    choices = replace(call.options, out=call.options.out or f"runs/{call.options.preset}")
    return _go(call, main_job.GRID, str(main_job.__doc__).strip(), choices)


def _grid(call: Call) -> int:
    options: GridOptions = call.options
    words = [word for word in call.rest if not word.startswith(SLURM)]
    if len(options.name) > 1:
        raise ConfigError(f"grid takes one name, got {' '.join(options.name)}")
    if options.name and words:
        return _go(call, *_elsewhere(options.name[0], words, options.preset), options)
    if not options.name and not words:
        raise ConfigError(
            "grid needs the name of an ablation, its file, or words as in: unified-rl grid method=grpo,rft seeds=0,1"
        )
    grid, hypothesis = runner.load_grid(options.name[0]) if options.name else (grid_of_line(words, options.command), HYPOTHESIS)
    return _go(call, grid, hypothesis, options)


def _elsewhere(name: str, words: Sequence[str], preset: str) -> tuple[Grid, str]:
    """A named grid in the world that the words say, and its hypothesis. Raises ConfigError where its first cell cannot be there."""
    key, own = words[0].partition("=")[0], [item.name for item in fields(runner.Choices)]
    grid, hypothesis = runner.load_grid(name)
    try:
        there = in_another_world(grid, words)
    except ConfigError as error:
        raise ConfigError(f"{key!r} is not an option of a named grid{did_you_mean(key, own)}; {error}") from error
    first = cells(there, preset)[0]
    config_of(first.command, first.train)  # refused here in one line, and not once for each cell within a plan
    return there, hypothesis


def _go(call: Call, grid: Grid, hypothesis: str, choices: runner.Choices) -> int:
    if len(call.flags) > 1:
        raise ConfigError(f"{' and '.join(sorted(call.flags))} are two questions; ask one")
    slurm = [word.removeprefix(SLURM).partition("=") for word in call.rest if word.startswith(SLURM)]
    plan = runner.make_plan(grid, hypothesis, choices, {key: value for key, _, value in slurm})
    (way,) = [WAYS[flag] for flag in call.flags] or [runner.run]
    return way(plan)


COMMANDS: Mapping[str, Command] = {
    "reproduce": Command(
        "the main job: every method from one SFT policy, evaluated, tabulated and drawn; preset=smoke|default|full",
        "preset=smoke",
        _reproduce,
        ReproduceOptions,
        flags=FLAGS,
        free=(SLURM,),
        goes_on="",
    ),
    "grid": Command(
        "an ablation, from nothing to its figures: NAME of a file in experiments/, or a grid on the line",
        "method=grpo,rft seeds=0,1 trainer.steps=8",
        _grid,
        GridOptions,
        "name",
        flags=FLAGS,
        sections=("config",),
        free=(SLURM,),
        goes_on="",
        more="The same command again completes what is missing. A line's words are those of `unified-rl train`; commas outside "
        "brackets separate the values of an arm. slurm.KEY=VALUE are options of launcher=slurm.",
    ),
}
