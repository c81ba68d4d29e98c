"""What a grid would do: its shared stages and cells, which of them are done, and what the rest costs. Builds and starts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from unified_rl.grids import costs as grid_costs
from unified_rl.grids import status as grid_status
from unified_rl.grids import tuning
from unified_rl.grids.costs import Costs
from unified_rl.grids.definition import Grid, is_start
from unified_rl.launch.cells import Cell
from unified_rl.launch.progress import duration


def render(
    grid: Grid, preset: str, cells: Sequence[Cell], folder: Path, cores: int, taken: Mapping[str, Path] = MappingProxyType({})
) -> str:
    """The dry run's text.

    Args:
        cores: how many the cells would share. taken: id of a cell -> the grid that it would be copied from.
    """
    found = grid_status.standings(cells, folder)
    costs = grid_costs.expected(cells, folder)
    arms = [cell for cell in cells if not is_start(cell)]
    common = [word for word in cells[-1].train if all(word in cell.train for cell in arms)]
    lines = [
        f"{grid.name}: {grid.title}; preset {preset}, into {folder}",
        grid.matching_in(preset).caption,
        f"learning rates: {'. '.join(filter(None, [tuning.sentence(cells, grid.sweep), grid.tuning]))}",
        "",
        *_stages(costs),
        "",
        f"every arm's cell: {' '.join(common)}",
        f"evaluation: {'none' if cells[0].evaluate is None else ' '.join(cells[0].evaluate) or 'the default'}",
        "",
        grid_status.summary(found),
    ]
    for cell in cells:
        words = " ".join(word for word in cell.train if word not in common)
        broken = costs.problems.get(cell.name)
        cost = f"error: {broken}" if broken else f"about {duration(costs.of_cell(cell.name))}"
        state = f"from {taken[cell.name]}" if cell.name in taken else found[cell.name].state
        lines += [f"  {cell.name}  {state if state != 'missing' else cost}", f"      {cell.command} {words}"]
    undone = [cell for cell in cells if found[cell.name].state != "done" and cell.name not in taken]
    return "\n".join([*lines, "", _left(cells, costs, undone, cores)])


def _left(cells: Sequence[Cell], costs: Costs, undone: Sequence[Cell], cores: int) -> str:
    """What is still to be paid for. A seed's cells wait for its start, so a grid takes no less than its longest chain."""
    total, stages = grid_costs.whole(undone, costs), sum(map(costs.of_stage, costs.stages))
    starts = max((costs.of_cell(cell.name) for cell in undone if is_start(cell)), default=0.0)
    arms = max((costs.of_cell(cell.name) for cell in undone if not is_start(cell)), default=0.0)
    wall = max(total / cores, starts + arms)
    basis = (
        f"as {costs.timed} finished cells took"
        if costs.timed
        else "at the speed of a busy server core; no cell has finished here"
    )
    shared = f", {duration(stages)} of it shared stages" if stages else ""
    return f"left: about {duration(total)} of one core{shared}; {duration(wall)} on {cores} ({basis})"


def _stages(costs: Costs) -> list[str]:
    """One line per shared stage: whether it is there or what it costs, its key, and how many cells read it."""
    lines = ["shared stages"]
    for key, stage in costs.stages.items():
        state = "there" if stage.there else "missing"
        cost = "" if stage.there else f"about {duration(costs.of_stage(key))}, "
        lines.append(f"  {stage.name:16} {state:8} {key}  ({cost}read by {costs.readers[key]} cells)")
    return lines + [f"  error: {fault}" for fault in costs.faults]
