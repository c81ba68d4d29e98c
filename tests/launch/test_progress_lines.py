"""What a grid says while its cells run: nothing for a while, then what each of them is at."""

import pytest

from unified_rl.launch import progress as module
from unified_rl.launch.cells import Cell
from unified_rl.records import phase
from unified_rl.records.progress import doing, progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_silent_grid_says_what_its_cells_are_at(tmp_path, clock, capsys):
    cells = [Cell(f"cell-{number}", (), None) for number in range(6)]
    cells[0].run_dir(tmp_path).mkdir(parents=True)
    with phase.noted(cells[0].run_dir(tmp_path)), progress("SFT stage", 500) as hook:
        clock[0] += 2 * phase.INTERVAL_SECONDS
        hook(499, {})
        clock[0] += 2 * phase.INTERVAL_SECONDS
        doing("update, pass 3")
    capsys.readouterr()
    said = module.Progress(cells, {})
    clock[0] += module.SILENT_SECONDS / 2
    said.under_way(cells, tmp_path)
    assert capsys.readouterr().err == ""
    clock[0] += module.SILENT_SECONDS
    said.under_way(cells, tmp_path)
    said.under_way(cells, tmp_path)
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        line
        == "[0/6] 22 s so far; cell-0 SFT stage 499/500 steps (update, pass 3); cell-1 begins; cell-2 begins; cell-3 begins; 2 more"
    )
    clock[0] += 60
    said.done(cells[0])
    said.under_way(cells[1:], tmp_path)
    assert capsys.readouterr().err == ""
