"""The examples, run as a reader would; what they print is the file beside them, numbers apart."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import notebooks
import pytest
from tiny import environment

EXAMPLES = Path(__file__).parents[2] / "examples"
RUN = [path.stem for path in sorted(EXAMPLES.glob("*.py")) if path.stem != "tiny"]


def masked(text: str) -> list[str]:
    """The lines that do not depend on time, without numbers and columns' widths."""
    text = text.replace(str(EXAMPLES), "examples")
    lines = [" ".join(re.sub(r"-?\d+(\.\d+)?(e-?\d+)?", "#", line).split()) for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith(("[#/#]", "made by"))]


def test_every_example_is_listed_and_says_what_it_prints():
    listed = (EXAMPLES / "README.md").read_text()
    assert "first_experiment.ipynb" in listed and "stranger.sh" in listed
    assert RUN and all(f"[{name}.py]" in listed and (EXAMPLES / f"{name}.expected").is_file() for name in RUN)


@pytest.mark.long
@pytest.mark.parametrize("name", RUN)
def test_an_example_prints_what_it_says(name, tmp_path):
    line = [sys.executable, str(EXAMPLES / f"{name}.py")]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, env=environment(), timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert masked(done.stdout) == masked((EXAMPLES / f"{name}.expected").read_text())


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_notebook_runs_and_is_kept_without_outputs(tmp_path):
    path = EXAMPLES / "first_experiment.ipynb"
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in nbformat.read(path, as_version=4).cells)
    shown = [output for cell in notebooks.executed_notebook(path, tmp_path).cells for output in cell.get("outputs", ())]
    tables = [output["data"]["text/html"] for output in shown if "text/html" in output.get("data", {})]
    assert any("coef/advantage/abs_mean" in table for table in tables) and any("RLOO" in table for table in tables)
    assert any("image/png" in output.get("data", {}) for output in shown)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_strangers_hour(tmp_path):
    there = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([EXAMPLES / "stranger.sh"], cwd=tmp_path, capture_output=True, text=True, env=there, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.rstrip().endswith("== done")
