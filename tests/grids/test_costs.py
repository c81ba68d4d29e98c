"""Cost estimates: the start of every cell and missing stages are in them, and finished cells correct them."""

from __future__ import annotations

import json
import re

import pytest

from unified_rl.cli import main
from unified_rl.grids import costs
from unified_rl.grids.definition import cells
from unified_rl.grids.line import grid_of_line
from unified_rl.launch.cells import write_record
from unified_rl.presets.loading import load_config

WORDS = ["coefficient=grpo,rloo", "trainer.steps=4,8", "evaluation.problems=10"]


@pytest.fixture
def planned():
    found = cells(grid_of_line(WORDS), "default")[1:]
    return found, {cell.name: costs.work(cell, load_config(cell.train)) for cell in found}


def run_of(cell, folder, works, speed, startup):
    """What a cell leaves that starts in `startup` seconds and makes `speed` units a second."""
    place = cell.run_dir(folder)
    place.mkdir(parents=True)
    training = works[cell.name].training / speed
    lines = [{"step": 1, "source": training / 4, "update": training / 4}, {"step": 2, "update": training / 2}]
    (place / "timings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    cell.record(folder).parent.mkdir(exist_ok=True)
    seconds = startup + works[cell.name].units / speed
    write_record(cell, folder, state="done", seconds=seconds, whole=True)


def test_finished_cells_say_their_speed_and_their_start(planned, tmp_path):
    found, works = planned
    assert costs.pace(found, works, tmp_path) == costs.Pace()
    for cell in found[:3]:
        run_of(cell, tmp_path, works, speed=5000.0, startup=7.0)
    pace = costs.pace(found, works, tmp_path)
    assert (pace.speed, pace.startup, pace.known) == (pytest.approx(5000), pytest.approx(7), 3)
    rest = works[found[3].name].units
    assert pace.seconds(rest) == pytest.approx(7 + rest / 5000)


def test_a_cell_that_was_interrupted_or_whose_clock_is_damaged_says_nothing(planned, tmp_path):
    found, works = planned
    for cell in found[:2]:
        run_of(cell, tmp_path, works, speed=5000.0, startup=7.0)
    write_record(found[0], tmp_path, state="done", seconds=1.0, whole=False)
    (found[1].run_dir(tmp_path) / "timings.jsonl").write_text("[]\n{}\n")
    assert costs.pace(found, works, tmp_path) == costs.Pace()


def test_a_dry_run_counts_starts_and_missing_stages(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["grid", *WORDS, "seeds=0..4", "--dry-run"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert re.search(r"  sft +missing .*read by 21 cells, about \d+ min of one core", text)
    assert "10 s of every cell to start" in text and "not counted" not in text
    minutes = int(re.search(r"left: about (\d+) min of one core", text)[1])
    assert minutes >= 21 * 10 / 60 + 5, "twenty-one starts, and the SFT policy"
    assert not list(tmp_path.iterdir())


def test_a_stage_that_is_not_estimated_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["grid", "method=rft,grpo", "trainer.steps=2", "--dry-run"]) == 0
    assert "not counted: offline_samples" in capsys.readouterr().out
