"""Shipping: a finished grid's tables, figures and cost become a result; what is none is refused."""

from __future__ import annotations

import json

import pytest
from coin_grid import GRID
from grid_processes import finish

from unified_rl.base.errors import DataError
from unified_rl.cli import main
from unified_rl.grids.definition import cells
from unified_rl.grids.folder import PRICE, describe, note_price, open_folder
from unified_rl.grids.shipping import ship
from unified_rl.launch.cells import write_record


def planned(folder, preset="default"):
    found = cells(GRID, preset)
    open_folder(folder, describe(GRID, preset, found, "Does it work?"))
    return found


def test_what_is_no_result_is_refused(tmp_path):
    with pytest.raises(DataError, match="no plan of a grid"):
        ship(tmp_path, tmp_path / "results")
    planned(tmp_path / "small", "testing")
    with pytest.raises(DataError, match="preset testing, which shows that a grid runs"):
        ship(tmp_path / "small", tmp_path / "results")
    planned(tmp_path / "begun")
    with pytest.raises(DataError, match="5 of 5 cells are not done"):
        ship(tmp_path / "begun", tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_price_is_noted_once_and_before_anything_has_run(tmp_path):
    found = planned(tmp_path / "grid")
    note_price(tmp_path / "grid", found)
    first = json.loads((tmp_path / "grid" / PRICE).read_text())["core_seconds"]
    assert first > 0
    (tmp_path / "grid" / "cells").mkdir()
    write_record(found[-1], tmp_path / "grid", state="done", seconds=1e6, whole=True)
    note_price(tmp_path / "grid", found)
    assert json.loads((tmp_path / "grid" / PRICE).read_text())["core_seconds"] == first
    (tmp_path / "grid" / PRICE).unlink()
    note_price(tmp_path / "grid", found)  # too late: what has run would be its own estimate
    assert not (tmp_path / "grid" / PRICE).exists()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_finished_grid_becomes_a_result_with_its_cost(tmp_path, capsys):
    finish(tmp_path, "preset=default", f"out={tmp_path / 'grid'}")
    old = tmp_path / "results" / "coin"
    (old / "figures").mkdir(parents=True)
    (old / "stale.csv").write_text("label\n")
    (old / "reading.md").write_text("<!-- tables 00000000 -->\nOnce it was so.\n")
    assert main(["results", str(tmp_path / "grid"), f"shipped={tmp_path / 'results'}", f"out={tmp_path / 'page.md'}"]) == 0
    assert not (old / "stale.csv").exists() and (old / "reading.md").exists()
    tables = {path.name for path in (tmp_path / "grid" / "tables").glob("*.csv")}
    assert {path.name for path in old.glob("*.csv")} == tables
    records = [json.loads(path.read_text()) for path in (tmp_path / "grid" / "cells").glob("*.json")]
    cost = json.loads((old / "cost.json").read_text())
    assert cost["took_core_seconds"] == pytest.approx(sum(one["cpu_seconds"] for one in records), abs=0.1)
    assert all(one["cpu_seconds"] > 0 for one in records)
    assert cost["priced_core_seconds"] > 0 and (cost["cells"], cost["copied"], cost["interrupted"]) == (5, 0, 0)
    page = (tmp_path / "page.md").read_text()
    assert "### coin" in page and "before it began." in page and "Once it was so." not in page
    assert "reading.md is of other tables" in capsys.readouterr().out
    shipped = [path.read_text() for path in old.rglob("*") if path.suffix in (".csv", ".json", ".md")]
    assert not [text for text in shipped if str(tmp_path) in text or "artifacts=store" in text]
    assert "unified-rl tables runs/coin_default" in (old / "grid.csv").read_text().splitlines()[0]
    assert json.loads((old / "grid.json").read_text())["cells"][1]["words"]
