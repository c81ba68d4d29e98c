"""A shipped ablation at its test size, from nothing to its figure and page, by the command that a user types."""

from __future__ import annotations

import html
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import environment

from unified_rl.grids.runner import load_grid

ABLATION = str(Path(__file__).parents[2] / "experiments" / "online_vs_offline.py")


@pytest.mark.timeout(900)
@pytest.mark.long
def test_online_vs_offline(tmp_path):
    command = [
        sys.executable,
        "-m",
        "unified_rl.cli",
        "grid",
        ABLATION,
        "preset=testing",
        "out=grid",
        "artifacts=store",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    folder, (grid, _) = tmp_path / "grid", load_grid(ABLATION)
    labels = {cell["label"] for cell in json.loads((folder / "grid.json").read_text())["cells"]}
    assert labels == {"SFT", *(arm.label for arm in grid.arms)}
    for name in grid.figures:
        caption = (folder / "figures" / f"{name}.md").read_text()
        assert (folder / "figures" / f"{name}.png").stat().st_size > 10_000
        assert "Matched by updates" in " ".join(caption.split()), name
    page = (folder / "index.html").read_text()
    assert all(html.escape(label) in page for label in labels)
    assert (folder / "tables" / "grid_contrasts.csv").exists()
