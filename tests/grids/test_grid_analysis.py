"""Which commands make a grid's tables and figures."""

from __future__ import annotations

import json

from experiments import iterative_rl, online_vs_offline
from unified_rl.grids import analysis as grid_analysis
from unified_rl.grids.definition import cells


def test_arms_of_iterative_runs_have_tables_and_figures_of_their_own(tmp_path):
    found = cells(iterative_rl.GRID, "testing")
    for cell in found:
        if cell.command == "iterate":
            cell.run_dir(tmp_path).mkdir(parents=True)
            (cell.run_dir(tmp_path) / "iterate.json").write_text(json.dumps({}))
    steps = grid_analysis.commands(iterative_rl.GRID, found, tmp_path)
    analysed = {step[-1] for step in steps if step[0] == "unified_rl.statistics.iterations"}
    drawn = {
        step[step.index("--tables") + 1] for step in steps if step[0] == "unified_rl.plotting.make" and step[-1] == "iterations"
    }
    assert len(analysed) == len(iterative_rl.GRID.arms)
    assert drawn == analysed


def test_a_grid_of_training_runs_is_drawn_once_from_one_folder(tmp_path):
    grid = online_vs_offline.GRID
    steps = grid_analysis.commands(grid, cells(grid, "testing"), tmp_path)
    [drawn] = [step for step in steps if step[0] == "unified_rl.plotting.make"]
    assert drawn[1:5] == ["--tables", str(tmp_path / "tables"), "--out", str(tmp_path / "figures")]
    assert tuple(drawn[5:]) == grid.figures
