"""Run an ablation, from nothing to its figures; or say what would be done, or where it stands.

    python -m unified_rl.grids.runner NAME|FILE.py [preset=default|testing|...] [out=DIR] [workers=N] [launcher=local|slurm]
                               [seeds=N]
                               [matching=RULE[:TOKENS]] [artifacts=DIR] [cell_cores=N] [cell_gpus=N] [slurm.KEY=VALUE ...]
                               [--dry-run | --status]

NAME is a module of `experiments` that holds a `GRID`. The same command again completes what is missing: a finished cell is not run
again, an interrupted one goes on from its checkpoint, a failed one is tried again. docs/grids.md says more.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from unified_rl import loading
from unified_rl.errors import ConfigError, UnifiedRLError
from unified_rl.grids import analysis as grid_analysis
from unified_rl.grids import costs as grid_costs
from unified_rl.grids import folder as grid_folder
from unified_rl.grids import plan as grid_plan
from unified_rl.grids import status as grid_status
from unified_rl.grids.definition import Grid, cells, matching_of, with_choices
from unified_rl.launch.cells import Cell
from unified_rl.launch.local import LocalPool
from unified_rl.launch.resources import Ledger, cores, gpus
from unified_rl.plugins import did_you_mean, import_by_path

#: Options that are numbers, with the least each may be.
NUMBERS = {"workers": 1, "seeds": 1, "cell_cores": 1, "cell_gpus": 0}
KEYS = ("preset", "out", "launcher", "matching", "artifacts", *NUMBERS)
SLURM = "slurm."
INTERRUPTED = 130


@dataclass(frozen=True)
class Plan:
    """A grid in one preset, its cells in one folder, and the choices of the command line."""

    grid: Grid
    preset: str
    cells: tuple[Cell, ...]
    folder: Path
    hypothesis: str
    given: dict[str, str]

    def number(self, key: str) -> int | None:
        """A whole number from the command line, None where it is not given."""
        text, least = self.given.get(key), NUMBERS[key]
        if text is not None and not (text.isdecimal() and int(text) >= least):
            raise ConfigError(f"{key}={text} must be a whole number, {least} or more")
        return None if text is None else int(text)

    def cores(self) -> int:
        """How many cores of this machine the cells share."""
        each, workers = max(cell.cores for cell in self.cells), self.number("workers")
        return cores() if workers is None else min(cores(), workers * each)


def main(arguments: Sequence[str]) -> int:
    flags = [word for word in arguments if word.startswith("--")]
    try:
        if len(flags) > 1 or set(flags) - {"--dry-run", "--status"} or len(arguments) == len(flags):
            raise ConfigError(f"usage:{str(__doc__).split('    python', 1)[1].split('NAME is', 1)[0].rstrip()}")
        plan = read_plan([word for word in arguments if word not in flags])
        return {"--dry-run": dry_run, "--status": status}[flags[0]](plan) if flags else run(plan)
    except UnifiedRLError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command goes on with what is missing", file=sys.stderr)
        return INTERRUPTED


def read_plan(words: Sequence[str]) -> Plan:
    """What the words of the command line ask for.

    Raises:
        ConfigError: no such grid, preset or option.
    """
    grid, hypothesis = load_grid(words[0])
    given = dict(word.partition("=")[::2] for word in words[1:])
    for key in given:
        if key not in KEYS and not key.startswith(SLURM):
            raise ConfigError(f"{key!r} is not an option of grids{did_you_mean(key, KEYS)}")
    preset = given.get("preset", "default")
    plan = Plan(grid, preset, (), Path(given.get("out", f"runs/{grid.name}_{preset}")), hypothesis, given)
    for key in NUMBERS:
        plan.number(key)
    _launcher(plan)
    matching = matching_of(given["matching"]) if "matching" in given else None
    grid = with_choices(grid, preset, seeds=plan.number("seeds"), matching=matching)
    return replace(plan, grid=grid, cells=tuple(_as_asked(cell, plan) for cell in cells(grid, preset)))


def load_grid(name: str) -> tuple[Grid, str]:
    """The `GRID` of a module of `experiments` or of a file, and the module's docstring."""
    place = name if name.endswith(".py") else f"experiments.{name.removeprefix('experiments.')}"
    grid = import_by_path(f"{place}:GRID", "grid")
    if not isinstance(grid, Grid):
        raise ConfigError(f"grid={name}: its GRID must be an unified_rl.grids.definition.Grid, found {type(grid).__name__}")
    return grid, str(import_by_path(f"{place}:__doc__", "grid") or "").strip()


def status(plan: Plan) -> int:
    """Print where every cell stands."""
    print(grid_status.render(plan.cells, grid_status.standings(plan.cells, plan.folder)))
    return 0


def dry_run(plan: Plan) -> int:
    """Print what would be done, at what cost, and what is there already. Starts nothing."""
    print(grid_plan.render(plan.grid, plan.preset, plan.cells, plan.folder, plan.cores()))
    return 0


def run(plan: Plan) -> int:
    """Run what is missing, then make tables, figures and page. 1 if a cell failed."""
    launch = LAUNCH[_launcher(plan)]
    grid_folder.open_folder(plan.folder, grid_folder.describe(plan.grid, plan.preset, plan.cells, plan.hypothesis))
    print(f"{plan.grid.title}: {len(plan.cells)} cells into {plan.folder}", flush=True)
    signal.signal(signal.SIGTERM, _interrupt)  # a batch system's way of saying Ctrl-C
    failed = launch(plan)
    broken = grid_analysis.analyse(plan.grid, plan.cells, plan.folder)
    for command in broken:
        print(f"analysis failed: {command}", file=sys.stderr)
    if failed:
        print(f"failed cells: {', '.join(failed)}; mend and run the same command again to complete", file=sys.stderr)
    print(f"tables: {plan.folder / 'tables'}   figures: {plan.folder / 'figures'}   page: {plan.folder / 'index.html'}")
    return 1 if failed or broken else 0


def _run_local(plan: Plan) -> list[str]:
    """First the start policy with all cores, since everything waits for it; then all cells, the costliest first."""
    ledger, costs = Ledger(cores(), gpus()), _costs(plan.cells)
    start = plan.cells[0]
    first = replace(start, evaluate=None, cores=plan.cores())
    if LocalPool(plan.folder, ledger).run([first]):
        return [start.name]
    longest_first = sorted(plan.cells, key=lambda cell: -costs[cell.name])
    return LocalPool(plan.folder, ledger, workers=plan.number("workers"), costs=costs).run(longest_first)


def _costs(cells: Sequence[Cell]) -> dict[str, float]:
    """Expected work by cell id; 0 for a cell whose words mean nothing, which its worker will say."""
    costs = dict.fromkeys((cell.name for cell in cells), 0.0)
    for cell in cells:
        with contextlib.suppress(UnifiedRLError):
            costs[cell.name] = grid_costs.work(cell, loading.load_config(cell.train))
    return costs


def _run_slurm(plan: Plan) -> list[str]:
    from unified_rl.launch.slurm import SlurmPool

    options = {key.removeprefix(SLURM): value for key, value in plan.given.items() if key.startswith(SLURM)}
    pool = SlurmPool(plan.folder, options, workers=plan.number("workers"), costs=_costs(plan.cells))
    return pool.run([replace(plan.cells[0], evaluate=None)]) or pool.run(plan.cells)


LAUNCH = {"local": _run_local, "slurm": _run_slurm}


def _launcher(plan: Plan) -> str:
    name = plan.given.get("launcher", "local")
    if name not in LAUNCH:
        raise ConfigError(f"launcher={name} is not known{did_you_mean(name, LAUNCH)}")
    if name != "slurm" and any(key.startswith(SLURM) for key in plan.given):
        raise ConfigError("slurm.KEY=VALUE goes with launcher=slurm; leave it out, or set that")
    return name


def _as_asked(cell: Cell, plan: Plan) -> Cell:
    """The cell with what the command line says of all cells."""
    chosen: dict[str, Any] = {}
    for key in ("cores", "gpus"):
        number = plan.number(f"cell_{key}")
        if number is not None:
            chosen[key] = number
    if "artifacts" in plan.given:
        chosen["train"] = (*cell.train, f"artifacts={plan.given['artifacts']}")
    return replace(cell, **chosen)


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
