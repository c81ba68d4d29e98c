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

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
ABLATION = str(EXPERIMENTS / "online_vs_offline.py")
#: Ablations whose question has tables of its own: arms that are enough for them, the tables, and the figure.
QUESTIONS = {
    "cot_pass": ("*", ("cot_pass",), "cot_pass"),
    "effective_rate": ("*_3e_5,*_1e_4", ("effective_rate", "effective_paths"), "effective_rate"),
    "replayed_reward_model": ("0_wrong,40_wrong", ("renewals", "renewal_quality"), "renewal_quality"),
}


def run_small(ablation: str, cwd: Path, *words: str) -> Path:
    """The ablation at its test size in `cwd`; its folder."""
    command = [
        sys.executable,
        "-m",
        "unified_rl.cli",
        "grid",
        ablation,
        "preset=testing",
        "out=grid",
        "artifacts=store",
        *words,
    ]
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return cwd / "grid"


@pytest.mark.timeout(900)
@pytest.mark.long
@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_with_tables_of_their_own(name, tmp_path):
    arms, tables, figure = QUESTIONS[name]
    folder = run_small(str(EXPERIMENTS / f"{name}.py"), tmp_path, f"arms={arms}")
    for table in tables:
        assert len((folder / "tables" / f"{table}.csv").read_text().splitlines()) > 2, table
    assert (folder / "figures" / f"{figure}.png").stat().st_size > 10_000
    assert json.loads((folder / "price.json").read_text())["core_seconds"] > 0


@pytest.mark.timeout(900)
@pytest.mark.long
def test_online_vs_offline(tmp_path):
    folder, (grid, _) = run_small(ABLATION, tmp_path), load_grid(ABLATION)
    labels = {cell["label"] for cell in json.loads((folder / "grid.json").read_text())["cells"]}
    assert labels == {"SFT", *(arm.label for arm in grid.arms)}
    for name in grid.figures:
        caption = (folder / "figures" / f"{name}.md").read_text()
        assert (folder / "figures" / f"{name}.png").stat().st_size > 10_000
        assert "Matched by updates" in " ".join(caption.split()), name
    page = (folder / "index.html").read_text()
    assert all(html.escape(label) in page for label in labels)
    assert (folder / "tables" / "grid_contrasts.csv").exists()
