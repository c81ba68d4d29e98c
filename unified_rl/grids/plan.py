"""What a grid would do: its shared stages and cells, which of them are done, and what the rest costs. Builds and starts nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
from unified_rl.stages.kinds.pretrain import config_of


def render(grid: Grid, preset: str, cells: Sequence[Cell], folder: Path, cores: int) -> str:
    """The dry run's text.

    Args:
        cores: how many the cells would share.
    """
    found = grid_status.standings(cells, folder)
    configs, units, problems = _read(cells)
    arms = [cell for cell in cells if not is_start(cell)]
    common = [word for word in cells[-1].train if all(word in cell.train for cell in arms)]
    lines = [
        f"{grid.name}: {grid.title}; preset {preset}, into {folder}",
        grid.matching_in(preset).caption,
        f"learning rates: {'. '.join(filter(None, [tuning.sentence(cells), grid.tuning]))}",
        "",
        *_stages(configs),
        "",
        f"every arm's cell: {' '.join(common)}",
        f"evaluation: {'none' if cells[0].evaluate is None else ' '.join(cells[0].evaluate) or 'the default'}",
        "",
        grid_status.summary(found),
    ]
    speed, timed = grid_costs.units_per_second(cells, units, folder)
    for cell in cells:
        words = " ".join(word for word in cell.train if word not in common)
        cost = f"about {duration(units[cell.name] / speed)}" if cell.name in units else f"error: {problems[cell.name]}"
        state = found[cell.name].state
        lines += [f"  {cell.name}  {state if state != 'missing' else cost}", f"      {cell.command} {words}"]
    left = sum(units.get(cell.name, 0.0) * cell.cores for cell in cells if found[cell.name].state != "done") / speed
    basis = f"as {timed} finished cells took" if timed else "of the right order: no cell has finished here yet"
    whole = f"left: about {duration(left)} of one core, {duration(left / cores)} on {cores}"
    lines += ["", f"{whole} ({basis}; shared stages come on top)"]
    return "\n".join(lines)


def _read(cells: Sequence[Cell]) -> tuple[list[Config], dict[str, float], dict[str, str]]:
    """What the words of the cells say; work by cell id; and the errors of cells whose words mean nothing."""
    configs: list[Config] = []
    units: dict[str, float] = {}
    problems: dict[str, str] = {}
    for cell in cells:
        try:
            configs.append(config_of(cell.command, cell.train))
            units[cell.name] = grid_costs.work(cell, configs[-1])
        except UnifiedRLError as error:
            problems[cell.name] = str(error)
    return configs, units, problems


def _stages(configs: Sequence[Config]) -> list[str]:
    """One line per shared stage: whether it is there, its key, and how many cells read it."""
    readers: Counter[SharedStage] = Counter()
    problems: dict[str, None] = {}
    for config in configs:
        try:
            readers.update(dict.fromkeys(shared_stages(config), 1))
        except UnifiedRLError as error:
            problems[str(error)] = None
    lines = ["shared stages"]
    for stage in readers:
        state = "there" if stage.there else "missing"
        lines.append(f"  {stage.name:16} {state:8} {stage.key}  (read by {readers[stage]} cells)")
    return lines + [f"  error: {problem}" for problem in problems]
