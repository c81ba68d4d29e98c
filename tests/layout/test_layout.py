"""The house as it is told: the map and the floors are true, only the library is installed, the scripts of figures draw."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import setuptools

from tools import map as repository_map

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    pytest.param(path.name, marks=() if path.stem == "table10" else pytest.mark.long)
    for path in sorted((ROOT / "figures").glob("*.py"))
]


def test_the_map_names_every_module_as_it_stands():
    assert repository_map.MAP.read_text() == repository_map.map_text(), "run: python -m tools.map"
    listed = repository_map.MAP.read_text()
    for path in (ROOT / "unified_rl").rglob("*.py"):
        assert path.name == "__init__.py" or f"(../{path.relative_to(ROOT)})" in listed


def test_a_module_that_says_nothing_of_itself_is_refused(tmp_path):
    (tmp_path / "unified_rl").mkdir()
    (tmp_path / "unified_rl" / "silent.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"silent\.py has no docstring"):
        repository_map.map_text(tmp_path)


def test_the_floors_are_those_that_the_linter_checks():
    text = repository_map.CONTRIBUTING.read_text()
    assert text == repository_map.with_floors(text, repository_map.floors_text()), "run: python -m tools.map"


def test_only_the_library_is_installed():
    """`analysis`, `figures` or `experiments` in site-packages would be everybody's modules. What commands read goes along."""
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = setuptools.find_packages(str(ROOT), **facts["packages"]["find"])
    assert {name.split(".")[0] for name in packages} == {"unified_rl"}
    folders = {str(path.parent.relative_to(ROOT)).replace("/", ".") for path in (ROOT / "unified_rl").rglob("*.py")}
    assert set(packages) == folders, "a folder without __init__.py is left out"
    shipped = {path for pattern in facts["package-data"]["unified_rl"] for path in (ROOT / "unified_rl").glob(pattern)}
    tracked = subprocess.run(
        ["git", "ls-files", "unified_rl"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    data = {ROOT / name for name in tracked if not name.endswith(".py")}
    assert data <= shipped


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_figure_script_draws(script, tmp_path):
    tables = str(ROOT / "experiments" / "results" / "all_methods")
    subprocess.run([sys.executable, str(ROOT / "figures" / script), tables, str(tmp_path)], check=True, timeout=250, cwd=ROOT)
    assert {path.suffix for path in tmp_path.glob(f"{Path(script).stem}.*")} >= {".md"}
