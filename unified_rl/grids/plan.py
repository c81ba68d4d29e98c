"""What a grid would do: its shared stages and cells, which of them are done, and what the rest costs. Builds and starts nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from unified_rl.base.errors import UnifiedRLError
from unified_rl.config.schema import Config
from unified_rl.grids import costs as grid_costs
from unified_rl.grids import status as grid_status
from unified_rl.grids import tuning
from unified_rl.grids.definition import Grid, is_start
from unified_rl.grids.shared_stages import SharedStage, shared_stages
from unified_rl.launch.cells import Cell
from unified_rl.launch.progress import duration
from unified_rl.stages.jobs import config_of


def render(grid: Grid, preset: str, cells: Sequence[Cell], folder: Path, cores: int) -> str:
    """The dry run's text.

    Args:
        cores: how many the cells would share.
    """
    found = grid_status.standings(cells, folder)
    configs, works, problems = _read(cells)
    pace = grid_costs.pace(cells, works, folder)
    stages, refused = _shared(configs)
    arms = [cell for cell in cells if not is_start(cell)]
    common = [word for word in cells[-1].train if all(word in cell.train for cell in arms)]
    lines = [
        f"{grid.name}: {grid.title}; preset {preset}, into {folder}",
        grid.matching_in(preset).caption,
        f"learning rates: {'. '.join(filter(None, [tuning.sentence(cells), grid.tuning]))}",
        "",
        *_stages(stages, refused, pace),
        "",
        f"every arm's cell: {' '.join(common)}",
        f"evaluation: {'none' if cells[0].evaluate is None else ' '.join(cells[0].evaluate) or 'the default'}",
        "",
        grid_status.summary(found),
    ]
    seconds = {name: pace.seconds(one.units) for name, one in works.items()}
    for cell in cells:
        words = " ".join(word for word in cell.train if word not in common)
        cost = f"about {duration(seconds[cell.name])}" if cell.name in seconds else f"error: {problems[cell.name]}"
        state = found[cell.name].state
        lines += [f"  {cell.name}  {state if state != 'missing' else cost}", f"      {cell.command} {words}"]
    of_cells = sum(seconds.get(cell.name, 0.0) * cell.cores for cell in cells if found[cell.name].state != "done")
    return "\n".join([*lines, "", _left(of_cells, stages, pace, cores)])


def _left(of_cells: float, stages: Mapping[SharedStage, int], pace: grid_costs.Pace, cores: int) -> str:
    """What is left, with the start of every cell and the stages that are missing."""
    missing = [stage for stage in stages if not stage.there]
    left = of_cells + sum((stage.units or 0.0) / pace.speed for stage in missing)
    basis = f"as {pace.known} finished cells took" if pace.known else "of the right order: no cell has finished here yet"
    unknown = [stage.name for stage in missing if stage.units is None]
    more = f"; not counted: {', '.join(unknown)}" if unknown else ""
    start = f"{duration(pace.startup)} of every cell to start and shared stages among it"
    return f"left: about {duration(left)} of one core, {duration(left / cores)} on {cores} ({basis}; {start}{more})"


def _read(cells: Sequence[Cell]) -> tuple[list[Config], dict[str, grid_costs.Work], dict[str, str]]:
    """What the words of the cells say; work by cell id; and the errors of cells whose words mean nothing."""
    configs: list[Config] = []
    works: dict[str, grid_costs.Work] = {}
    problems: dict[str, str] = {}
    for cell in cells:
        try:
            configs.append(config_of(cell.command, cell.train))
            works[cell.name] = grid_costs.work(cell, configs[-1])
        except UnifiedRLError as error:
            problems[cell.name] = str(error)
    return configs, works, problems


def _shared(configs: Sequence[Config]) -> tuple[Counter[SharedStage], list[str]]:
    """Shared stage -> how many cells read it; and the errors of configurations whose stages cannot be told."""
    readers: Counter[SharedStage] = Counter()
    problems: dict[str, None] = {}
    for config in configs:
        try:
            readers.update(dict.fromkeys(shared_stages(config), 1))
        except UnifiedRLError as error:
            problems[str(error)] = None
    return readers, list(problems)


def _stages(readers: Mapping[SharedStage, int], problems: Sequence[str], pace: grid_costs.Pace) -> list[str]:
    """One line per shared stage: whether it is there or what it costs, its key, and how many cells read it."""
    lines = ["shared stages"]
    for stage in readers:
        state = "there" if stage.there else "missing"
        cost = f", about {duration(stage.units / pace.speed)} of one core" if stage.units and not stage.there else ""
        lines.append(f"  {stage.name:16} {state:8} {stage.key}  (read by {readers[stage]} cells{cost})")
    return lines + [f"  error: {problem}" for problem in problems]
