"""Run an ablation, from nothing to its figures; or say what would be done, or where it stands. `unified-rl grid` calls this.

The same choices again complete what is missing: a finished cell is not run again, an interrupted one goes on from its checkpoint,
a failed one is tried again. docs/grids.md says more.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean, import_by_path
from unified_rl.config.ranges import at_least, between
from unified_rl.grids import analysis as grid_analysis
from unified_rl.grids import costs as grid_costs
from unified_rl.grids import folder as grid_folder
from unified_rl.grids import plan as grid_plan
from unified_rl.grids import reuse
from unified_rl.grids import status as grid_status
from unified_rl.grids.definition import Grid, cells, is_start, matching_of, with_choices
from unified_rl.launch.cells import Cell
from unified_rl.launch.local import LocalPool
from unified_rl.launch.resources import Ledger, cores, gpus

EXPERIMENTS = Path("experiments")


@dataclass(frozen=True)
class Choices:
    """What the command line chooses for a whole grid.

    preset: how large it is run; a grid's file names its presets. out: folder for runs, tables, figures and page; by default
    runs/NAME_PRESET. workers: most cells at a time; 0 = as many as there are cores or GPUs for. launcher: where cells run: local
    (this machine) or slurm. seeds: how many, or which, as in 0,1,2 or 0..4; none = those of the preset. matching: equal_updates,
    equal_sampled_tokens:TOKENS or equal_training_tokens:TOKENS; none = the grid's. arms: only those whose names match one of
    these patterns, as in grpo*; none = all. artifacts: folder of shared stages; none = what the configuration says. cell_cores:
    cores of each cell; 0 = the preset's. cell_gpus: GPUs of each cell; -1 = the preset's. page_every: seconds, at least, between
    two writings of the page while cells run; 0 = only at the end. pilot: folder of a finished grid with the labels of the primary
    contrasts, from whose spread --dry-run says how wide their intervals will be, and the seeds that their margins take. reuse:
    folders of other grids; what they have finished of the same cells, evaluated in the same way, is copied instead of run again.
    """

    preset: str = "default"
    out: str = ""
    workers: int = 0
    launcher: str = "local"
    seeds: list[int] = field(default_factory=list)
    matching: str = ""
    arms: list[str] = field(default_factory=list)
    artifacts: str = ""
    cell_cores: int = 0
    cell_gpus: int = -1
    page_every: float = 10.0
    pilot: str = ""
    reuse: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        at_least("workers", self.workers, 0)
        at_least("cell_cores", self.cell_cores, 0)
        at_least("cell_gpus", self.cell_gpus, -1)
        between("page_every", self.page_every, 0.0, 86_400.0)
        if self.launcher not in LAUNCH:
            raise ConfigError(f"launcher={self.launcher} is not known{did_you_mean(self.launcher, LAUNCH)}")


@dataclass(frozen=True)
class Plan:
    """A grid in one preset, its cells in one folder, and the choices of the command line. slurm: options of submitit."""

    grid: Grid
    preset: str
    cells: tuple[Cell, ...]
    folder: Path
    hypothesis: str
    choices: Choices
    slurm: Mapping[str, str]

    @property
    def workers(self) -> int | None:
        return self.choices.workers or None

    def cores(self) -> int:
        """How many cores of this machine the cells share."""
        each = max(cell.cores for cell in self.cells)
        return cores() if self.workers is None else min(cores(), self.workers * each)


def make_plan(grid: Grid, hypothesis: str, choices: Choices, slurm: Mapping[str, str]) -> Plan:
    """A grid as the command line asks for it.

    Raises:
        ConfigError: no such preset, matching rule or arm; options of Slurm without it.
    """
    if slurm and choices.launcher != "slurm":
        raise ConfigError("slurm.KEY=VALUE goes with launcher=slurm; leave it out, or set that")
    matching = matching_of(choices.matching) if choices.matching else None
    chosen = with_choices(grid, choices.preset, seeds=choices.seeds, matching=matching, arms=choices.arms)
    folder = Path(choices.out or f"runs/{grid.name}_{choices.preset}")
    found = tuple(_as_asked(cell, choices) for cell in cells(chosen, choices.preset))
    return Plan(chosen, choices.preset, found, folder, hypothesis, choices, slurm)


def load_grid(name: str) -> tuple[Grid, str]:
    """The `GRID` of an ablation file and the file's docstring. name: a path, or that of a file in the folder `experiments`.

    Raises:
        ConfigError: no such file, or it holds no grid.
    """
    path = Path(name) if name.endswith(".py") else EXPERIMENTS / f"{name}.py"
    if not path.is_file():
        known = sorted(file.stem for file in EXPERIMENTS.glob("*.py"))
        hint = did_you_mean(name, known) if known else f"; there is no folder {EXPERIMENTS} here, so give the path of its file"
        raise ConfigError(f"grid {name}: {path} does not exist{hint}")
    grid = import_by_path(f"{path}:GRID", "grid")
    if not isinstance(grid, Grid):
        raise ConfigError(f"grid={name}: its GRID must be a unified_rl.grids.definition.Grid, found {type(grid).__name__}")
    return grid, str(import_by_path(f"{path}:__doc__", "grid") or "").strip()


def status(plan: Plan) -> int:
    """Print where every cell stands."""
    print(grid_status.render(plan.cells, grid_status.standings(plan.cells, plan.folder)))
    return 0


def dry_run(plan: Plan) -> int:
    """Print what would be done, at what cost, and what is there already. Starts nothing."""
    taken = reuse.available(plan.cells, plan.folder, plan.choices.reuse)
    print(grid_plan.render(plan.grid, plan.preset, plan.cells, plan.folder, plan.cores(), taken))
    if plan.choices.pilot:
        from unified_rl.grids import expected_precision  # loads pandas, which nothing else here waits for

        print(f"\n{expected_precision.render(plan.grid, plan.cells, plan.folder, Path(plan.choices.pilot))}")
    return 0


def run(plan: Plan) -> int:
    """Run what is missing, then make tables, figures and page. 1 if a cell failed."""
    from unified_rl.pages.live import LivePage  # loads pandas, which a command that is refused does not wait for

    launch = LAUNCH[plan.choices.launcher]
    grid_folder.open_folder(plan.folder, grid_folder.describe(plan.grid, plan.preset, plan.cells, plan.hypothesis))
    taken = reuse.take(plan.cells, plan.folder, plan.choices.reuse)
    grid_folder.note_price(plan.folder, [cell for cell in plan.cells if cell.name not in taken])
    copied = f", {len(taken)} of them copied from other grids" if taken else ""
    print(f"{plan.grid.title}: {len(plan.cells)} cells into {plan.folder}{copied}", flush=True)
    signal.signal(signal.SIGTERM, _interrupt)  # a batch system's way of saying Ctrl-C
    page = LivePage(plan.folder, plan.choices.page_every)
    try:
        failed = launch(plan, page.tick)
    except BaseException:
        page.end()
        raise
    broken = grid_analysis.analyse(plan.grid, plan.cells, plan.folder)
    for command in broken:
        print(f"analysis failed: {command}", file=sys.stderr)
    if failed:
        print(f"failed cells: {', '.join(failed)}; mend and run the same command again to complete", file=sys.stderr)
    print(f"tables: {plan.folder / 'tables'}   figures: {plan.folder / 'figures'}   page: {plan.folder / 'index.html'}")
    return 1 if failed or broken else 0


def _run_local(plan: Plan, beside: Callable[[], None]) -> list[str]:
    """The start policies before the rest, which waits for them, then the costliest cells first. A lone start has all the cores."""
    ledger, costs = Ledger(cores(), gpus()), grid_costs.order(plan.cells)
    starts, arms = [cell for cell in plan.cells if is_start(cell)], [cell for cell in plan.cells if not is_start(cell)]
    if len(starts) == 1:
        first = replace(starts[0], evaluate=None, cores=plan.cores())
        if LocalPool(plan.folder, ledger, beside=beside).run([first]):
            return [first.name]
        starts, arms = [], list(plan.cells)
    longest_first = sorted(arms, key=lambda cell: -costs[cell.name])
    return LocalPool(plan.folder, ledger, workers=plan.workers, costs=costs, beside=beside).run([*starts, *longest_first])


def _run_slurm(plan: Plan, beside: Callable[[], None]) -> list[str]:
    from unified_rl.launch.slurm import SlurmPool

    pool = SlurmPool(plan.folder, plan.slurm, workers=plan.workers, costs=grid_costs.order(plan.cells), beside=beside)
    return pool.run([replace(cell, evaluate=None) for cell in plan.cells if is_start(cell)]) or pool.run(plan.cells)


LAUNCH = {"local": _run_local, "slurm": _run_slurm}


def _as_asked(cell: Cell, choices: Choices) -> Cell:
    """The cell with what the command line says of all cells."""
    chosen: dict[str, Any] = {}
    if choices.cell_cores:
        chosen["cores"] = choices.cell_cores
    if choices.cell_gpus >= 0:
        chosen["gpus"] = choices.cell_gpus
    if choices.artifacts:
        chosen["train"] = (*cell.train, f"artifacts={choices.artifacts}")
    return replace(cell, **chosen)


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
