"""What a dry run says of precision: how wide the primary contrasts will be, the seeds that their margins take, and at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unified_rl.grids import costs as grid_costs
from unified_rl.grids.definition import Grid
from unified_rl.launch.cells import Cell
from unified_rl.launch.progress import duration
from unified_rl.presets import loading
from unified_rl.statistics.grid_table import read_data
from unified_rl.statistics.precision import Expectation, expectations, in_words

#: Metrics of a primary contrast that are scores of problems, which a pilot's spread is computed from.
_OF_PROBLEMS = ("greedy", "avg", "maj", "pass", "cot_pass")


def render(grid: Grid, cells: Sequence[Cell], folder: Path, pilot: Path) -> str:
    """A line per primary contrast and slice, then what the seeds that are needed would cost.

    Raises:
        DataError: the pilot is no folder of runs, or holds none.
    """
    if not grid.primary:
        return f"precision: {grid.name} declares no primary contrast (Grid.primary), so that there is no margin to meet"
    data = read_data([pilot])
    seeds = len({seed for cell in cells if (seed := _seed(cell)) is not None})
    lines, needed = [f"precision, from the pilot {pilot}:"], 0
    for one in grid.primary:
        pair, found = (one.label, one.baseline), list[Expectation]()
        if one.metric in _OF_PROBLEMS:
            found = list(expectations(data, pair, one.metric, one.margin, _problems(cells), seeds))
        lines += [f"  {in_words(slice_, pair, one.metric, one.margin, seeds)}" for slice_ in found]
        if not found:
            lines.append(
                f"  {one.label} - {one.baseline}, {one.metric}: the pilot says nothing of it (it takes both labels, this metric "
                "by problem, and three seeds)"
            )
        needed = max([needed, *(slice_.seeds_needed or 0 for slice_ in found)])
    if needed:
        costs = grid_costs.expected(cells, folder)
        whole = sum(costs.of_cell(cell.name) * cell.cores for cell in cells)
        lines.append(f"  {needed} seeds of every cell: about {duration(whole * needed / max(seeds, 1))} of one core")
    return "\n".join(lines)


def _seed(cell: Cell) -> int | None:
    return next((int(word.partition("=")[2]) for word in reversed(cell.train) if word.startswith("seed=")), None)


def _problems(cells: Sequence[Cell]) -> int:
    """Problems per slice of the planned evaluations; 0 where the configuration says all."""
    cell = cells[-1]
    words = [word for word in cell.evaluate or () if word.startswith("problems=")]
    return int(words[-1].partition("=")[2]) if words else loading.load_config(cell.train).evaluation.problems
