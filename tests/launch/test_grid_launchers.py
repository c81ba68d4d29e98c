"""Several launchers at once on one folder and one store, jobs through submitit, and what is said before anything is started."""

from __future__ import annotations

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from grid_processes import COIN_GRID, run_dirs, start, tables
from tiny import WORDS

from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.launch.cells import Cell, done, standing
from unified_rl.launch.slurm import SlurmPool

pytestmark = pytest.mark.timeout(900)  # a minute on an idle machine, many processes on a busy one
SMALL = ("preset=testing", "workers=1")
ONE_ARM = """
from dataclasses import replace
from coin_grid import GRID
GRID = replace(GRID, arms=GRID.arms[:1], contrasts=())
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder with a store, on which two launchers of one grid and one of another folder were started at once."""
    cwd = tmp_path_factory.mktemp("at_once")
    (cwd / "one_arm.py").write_text(ONE_ARM)
    launchers = [start(cwd, *SMALL, *more, grid="one_arm.py") for more in ((), (), ("out=other",))]
    try:
        with ThreadPoolExecutor(len(launchers)) as readers:  # a full pipe would stop a launcher that the others wait for
            printed = list(readers.map(lambda launcher: launcher.communicate(timeout=800)[0], launchers))
    finally:
        for launcher in launchers:
            launcher.kill()  # and with it its workers, if it is still there
    assert [launcher.returncode for launcher in launchers] == [0, 0, 0], "\n".join(printed)
    (cwd / "printed.txt").write_text("\n".join(printed[:2]))
    return cwd


@pytest.mark.long
def test_two_launchers_share_the_cells_of_one_folder(store):
    printed = (store / "printed.txt").read_text()
    assert "FAILED" not in printed and len(run_dirs(store)) == 2
    for run in run_dirs(store):
        assert len(_sessions(run)) == 1, f"{run.name} was worked on twice"
        assert f"{run.name}: done (" in printed


@pytest.mark.long
def test_two_grids_share_the_stages_of_one_store(store):
    built = [path for path in (store / "store").glob("*/*") if path.is_dir()]
    assert sorted(path.parent.name for path in built) == ["base", "offline_samples", "sft"]
    assert not list((store / "store").glob("*/*.partial"))
    sft = next(path for path in built if path.parent.name == "sft")
    assert len(_sessions(sft)) == 1, "built once, by one process"
    ours, theirs = tables(store), {path.name: path.read_bytes() for path in (store / "other" / "tables").glob("*.csv")}
    assert _rows(ours["grid.csv"]) == _rows(theirs["grid.csv"]) and ours.keys() == theirs.keys()


@pytest.mark.long
def test_what_another_grid_has_finished_is_copied_and_not_run_again(store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(store)
    words = ["grid", str(COIN_GRID), f"out={tmp_path / 'both'}", "artifacts=store", "reuse=grid,other", *SMALL]
    assert main([*words, "--dry-run"]) == 0
    assert capsys.readouterr().out.count("  from grid") == 2 and not list(tmp_path.iterdir())
    assert main(words) == 0
    assert "3 cells into" in (printed := capsys.readouterr().out) and "2 of them copied from other grids" in printed
    copied = run_dirs(store)
    for run in copied:
        theirs = {path.relative_to(run): path.read_bytes() for path in run.rglob("*") if path.is_file()}
        ours = tmp_path / "both" / "runs" / run.name
        assert {path.relative_to(ours): path.read_bytes() for path in ours.rglob("*") if path.is_file()} == theirs
    assert len(list((tmp_path / "both" / "runs").iterdir())) == 3
    assert {path.stem for path in (tmp_path / "both" / "logs").iterdir()}.isdisjoint(run.name for run in copied)
    priced = json.loads((tmp_path / "both" / "price.json").read_text())["core_seconds"]
    assert priced < json.loads((store / "grid" / "price.json").read_text())["core_seconds"]


@pytest.mark.long
def test_a_dry_run_and_a_status_start_nothing(store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(store)
    before = sorted(store.rglob("*"))
    assert main(["grid", "one_arm.py", "out=grid", "artifacts=store", *SMALL, "--dry-run"]) == 0
    plan = capsys.readouterr().out
    for stage in ("base", "sft", "offline_samples"):
        key = next(path.name for path in (store / "store" / stage).iterdir() if path.is_dir())
        assert any(line.split()[:3] == [stage, "there", key] for line in plan.splitlines()), "the very key that the stage made"
    assert "2 cells: 2 done" in plan and "finished cells took" in plan
    assert main(["grid", "one_arm.py", f"out={tmp_path / 'new'}", "artifacts=store", *SMALL, "--dry-run", "seeds=3"]) == 0
    new = capsys.readouterr().out
    assert "4 cells: 0 done, 0 running, 0 failed, 4 missing" in new and "      train seed=2" in new
    assert "no cell has finished here)" in new and "Matched by updates" in new
    assert main(["grid", "one_arm.py", "out=grid", f"artifacts={tmp_path / 'empty'}", *SMALL, "--dry-run"]) == 0
    empty = capsys.readouterr().out
    assert [line.split()[:2] for line in empty.splitlines() if "read by" in line] == [
        ["base", "missing"],
        ["sft", "missing"],
        ["offline_samples", "missing"],
    ]
    assert main(["grid", "one_arm.py", "out=grid", "artifacts=store", *SMALL, "--status"]) == 0
    assert "2 cells: 2 done, 0 running, 0 failed, 0 missing" in capsys.readouterr().out
    assert sorted(store.rglob("*")) == before and not list(tmp_path.iterdir())


@pytest.mark.long
def test_cells_run_as_submitit_jobs(store, capsys):
    words = ("method=grpo", *WORDS, "trainer.steps=1", f"artifacts={store / 'store'}")
    good, bad = Cell("job", words, None, label="GRPO+OS"), Cell("bad", (*words, "generator.top_k=5"), None)
    pool = SlurmPool(store / "jobs", {"cluster": "local", "timeout_min": "5"}, poll_seconds=0.2)
    assert pool.run([bad, good]) == ["bad"]
    printed = capsys.readouterr().out
    assert "job: done (" in printed and "bad: FAILED: training on samples with" in printed
    assert done(good, store / "jobs") and standing(bad, store / "jobs").state == "failed"
    assert SlurmPool(store / "jobs", {"cluster": "local"}, poll_seconds=0.2).run([good]) == []
    assert "job: done already" in capsys.readouterr().out
    assert len(list((store / "jobs" / "slurm").glob("*_submitted.pkl"))) == 2


def test_what_slurm_lacks_is_one_line_with_a_remedy(tmp_path, monkeypatch):
    if shutil.which("sbatch") is None:
        with pytest.raises(ConfigError, match="sbatch, which is not on this machine; use launcher=local"):
            SlurmPool(tmp_path, {})
    with pytest.raises(ConfigError, match="slurm options"):
        SlurmPool(tmp_path, {"cluster": "local", "no_such_option": "1"}).run([Cell("a", (), None)])
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ConfigError, match=r"pip install 'unified-rl\[slurm\]'"):
        SlurmPool(tmp_path, {})


def _sessions(run: Path) -> list:
    return json.loads((run / "provenance.json").read_text())["sessions"]


def _rows(table: bytes) -> bytes:
    """Without the line of provenance, which names the folder."""
    return table.partition(b"\n")[2]
