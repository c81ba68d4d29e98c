"""Cells of another grid: taken where they are the same and finished, whole or not at all."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from coin_grid import GRID

from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.grids import reuse
from unified_rl.grids.definition import Arm, cells
from unified_rl.grids.folder import describe, open_folder
from unified_rl.launch.cell_worker import work


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A grid's folder whose start is finished, and nothing else."""
    folder = tmp_path_factory.mktemp("other") / "grid"
    planned = made(folder)
    open_folder(folder, describe(GRID, "testing", planned, ""))
    assert work(planned[0], folder).state == "done"
    return folder


def made(folder):
    return cells(replace(GRID, common=(f"artifacts={folder.parent / 'store'}",)), "testing")


def test_only_the_same_and_finished_cells_are_taken(other, tmp_path):
    planned = made(other)
    assert reuse.available(planned, tmp_path, [other]) == {planned[0].name: other}
    assert reuse.available(planned, other, [other]) == {}, "not from itself"
    evaluated_otherwise = replace(planned[0], evaluate=("samples=3",))
    trained_otherwise = replace(planned[0], train=(*planned[0].train, "sft.learning_rate=1e-5"))
    assert reuse.available([evaluated_otherwise, trained_otherwise], tmp_path, [other]) == {}
    assert reuse.take(planned, tmp_path, [other]) == [planned[0].name]
    theirs, ours = (planned[0].run_dir(folder) for folder in (other, tmp_path))
    files = [path.relative_to(theirs) for path in theirs.rglob("*") if path.is_file()]
    assert files and all((ours / name).read_bytes() == (theirs / name).read_bytes() for name in files)
    assert reuse.available(planned, tmp_path, [other]) == {}, "what is there is left alone"


def test_a_copy_that_is_killed_leaves_nothing_that_is_taken_for_a_run(other, tmp_path, monkeypatch):
    def killed(source, target, **_):
        target.mkdir(parents=True)
        shutil.copy(source / "config.yaml", target)
        raise KeyboardInterrupt

    planned = made(other)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(shutil, "copytree", killed)
        reuse.take(planned, tmp_path, [other])
    assert not planned[0].run_dir(tmp_path).exists()
    open_folder(tmp_path, describe(GRID, "testing", planned, ""))  # what is left aside is no stranger
    assert reuse.take(planned, tmp_path, [other]) == [planned[0].name]


def test_a_run_that_is_not_finished_is_not_taken(other, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(other, damaged)
    planned = made(other)
    shutil.rmtree(planned[0].run_dir(damaged) / "evaluations")
    assert reuse.available(planned, tmp_path / "new", [damaged, other]) == {planned[0].name: other}


@pytest.mark.parametrize(
    "line, other_word", [("  reference_kl: false\n", "logging.reference_kl=true"), ("jsd_beta: 0.5\n", "jsd_beta=0.4")]
)
def test_a_setting_younger_than_a_run_is_no_difference_while_it_has_its_default(line, other_word, other, tmp_path):
    older, planned = tmp_path / "older", made(other)
    shutil.copytree(other, older)
    stored = planned[0].run_dir(older) / "config.yaml"
    text = stored.read_text()
    assert text.count(line) == 1
    stored.write_text(text.replace(line, ""))
    assert reuse.available(planned, tmp_path / "new", [older]) == {planned[0].name: older}
    chosen = replace(planned[0], train=(*planned[0].train, other_word))
    assert reuse.available([chosen], tmp_path / "new", [older]) == {}
    stored.write_text(text + "gone: 1\n")
    assert reuse.available(planned, tmp_path / "new", [older]) == {}, "a setting that is no more"


@pytest.mark.parametrize("content", [None, "{", "[]", json.dumps({"cells": [{"id": 1}]})])
def test_what_is_no_grid_is_refused_in_one_line(other, content, tmp_path, capsys):
    folder = tmp_path / "grid"
    if content is not None:
        shutil.copytree(other, folder)
        (folder / "grid.json").write_text(content)
    with pytest.raises(ConfigError, match=r"name a grid's folder|no folder; name those of finished grids"):
        reuse.available(made(other), tmp_path / "new", [folder])
    if content is None:
        assert main(["grid", "method=grpo,rft", f"out={tmp_path / 'out'}", f"reuse={folder}", "--dry-run"]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and f"reuse={folder} is no folder" in error


def test_an_arm_that_both_grids_have_has_one_id():
    grown = replace(GRID, arms=(*GRID.arms, Arm("PPO", ("method=ppo",))), title="Three methods")
    assert {cell.name for cell in cells(GRID, "testing")} < {cell.name for cell in cells(grown, "testing")}
