"""A pipe in the place of any file of a stranger's run or grid: every command that reads it ends, with at most one line of error.

Whoever opens a pipe that nobody writes to waits for ever, and no signal that Python handles ends it: so the commands are tried in
a process of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import environment, words

from unified_rl.cli import main

SECONDS = 200
GRID = Path(__file__).parents[1] / "coin_grid.py"
SAY = """
import json, sys
from unified_rl.cli import main
for line in json.loads(sys.argv[1]):
    print("COMMAND", *line, flush=True)
    print("STATUS", main(line), flush=True)
"""


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    root = tmp_path_factory.mktemp("pipes")
    line = words("grpo", root / "runs" / "run", root / "artifacts", "sft.steps=2", "trainer.steps=2")
    assert main(["train", *line]) == 0
    assert main(["evaluate", f"run={root / 'runs' / 'run'}", "name=test", "samples=2", "problems=2"]) == 0
    assert (
        main(["grid", str(GRID), f"out={root / 'grid'}", f"artifacts={root / 'artifacts'}", "preset=testing", "seeds=1"]) == 0
    )
    return root


def end(lines: list[list[str]], place: str, output: Path) -> None:
    """Asserts that the commands end one after another, as they should on what a stranger gave."""
    with output.open("wb", buffering=0) as file:
        process = subprocess.Popen([sys.executable, "-c", SAY, json.dumps(lines)], env=environment(), stdout=file, stderr=file)
        try:
            status = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            process.kill()
            process.wait()
    text = output.read_text(errors="replace")
    assert status is not None, f"{place} as a pipe: it never ends: {text[text.rfind('COMMAND') :]}"
    assert status == 0 and "Traceback" not in text, (place, text[-3000:])
    for part in text.split("COMMAND ")[1:]:
        assert sum(line.startswith("error: ") for line in part.splitlines()) <= 1, (place, part)
        assert part.rstrip().endswith(("STATUS 0", "STATUS 2")), (place, part)


def each_as_a_pipe(folder: Path, lines: list[list[str]], aside: Path) -> int:
    """How many files were tried. What only training reads (checkpoints) is left alone."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and "checkpoints" not in path.parts)
    for path in found:
        path.rename(aside / "aside")
        os.mkfifo(path)
        end(lines, str(path.relative_to(folder)), aside / "output")
        path.unlink()
        (aside / "aside").rename(path)
    return len(found)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_of_a_run(given, tmp_path):
    run = Path(shutil.copytree(given / "runs", tmp_path / "given")) / "run"
    lines = [
        ["tables", str(run), f"out={tmp_path / 'tables'}"],
        ["page", str(run.parent), f"out={tmp_path / 'page.html'}"],
        ["export", str(run), f"out={tmp_path / 'votes.parquet'}"],
        ["browse", str(run), "limit=2"],
        ["diff", str(run), str(run)],
    ]
    assert each_as_a_pipe(run, lines, tmp_path) > 8


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_of_a_grid(given, tmp_path):
    grid = Path(shutil.copytree(given / "grid", tmp_path / "given"))
    (one, *others) = sorted(path.parent for path in grid.rglob("config.yaml"))
    for run in others:
        shutil.rmtree(run)  # one stands for all
    lines = [["tables", str(grid), f"out={tmp_path / 'tables'}"], ["page", str(grid), f"out={tmp_path / 'page.html'}"]]
    assert one.is_dir() and each_as_a_pipe(grid, lines, tmp_path) > 8
