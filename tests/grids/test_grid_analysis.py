"""Which commands make a grid's tables and figures."""

from __future__ import annotations

import json

from unified_rl.grids import analysis as grid_analysis
from unified_rl.grids.definition import cells
from unified_rl.grids.runner import load_grid


def test_arms_of_iterative_runs_have_tables_and_figures_of_their_own(tmp_path):
    grid, _ = load_grid("iterative_rl")
    found = cells(grid, "testing")
    for cell in found:
        if cell.command == "iterate":
            cell.run_dir(tmp_path).mkdir(parents=True)
            (cell.run_dir(tmp_path) / "iterate.json").write_text(json.dumps({}))
    steps = grid_analysis.commands(grid, found, tmp_path)
    analysed = {step[-1].removeprefix("out=") for step in steps if step[0] == "tables" and step[1] != str(tmp_path)}
    drawn = {step[-2].removeprefix("tables=") for step in steps if step[:3] == ["figures", *grid.figures]}
    assert len(analysed) == len(grid.arms)
    assert drawn == analysed


def test_a_grid_of_training_runs_is_drawn_once_from_one_folder(tmp_path):
    grid, _ = load_grid("online_vs_offline")
    steps = grid_analysis.commands(grid, cells(grid, "testing"), tmp_path)
    [drawn] = [step for step in steps if step[0] == "figures"]
    assert drawn[-2:] == [f"tables={tmp_path / 'tables'}", f"out={tmp_path / 'figures'}"]
    assert tuple(drawn[1:-2]) == grid.figures
