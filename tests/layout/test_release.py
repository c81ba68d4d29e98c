"""A release: one version everywhere, a section of the changelog, and a wheel that holds the library, its data and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from unified_rl import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_version_is_one():
    assert PROJECT["project"]["version"] == __version__
    assert re.search(rf"^version: {re.escape(__version__)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    sections = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == "Unreleased" and re.fullmatch(rf"{re.escape(__version__)} - \d{{4}}-\d\d-\d\d", sections[1])
    released = sections[1].partition(" - ")[2]
    assert f'date-released: "{released}"' in (ROOT / "CITATION.cff").read_text()


@pytest.mark.long
def test_the_wheel_holds_the_library_and_its_data_and_nothing_else(tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "unified_rl", tmp_path / "unified_rl", ignore=shutil.ignore_patterns("__pycache__"))
    line = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        "out",
        ".",
    ]
    subprocess.run(line, cwd=tmp_path, check=True, capture_output=True, timeout=250)
    (wheel,) = (tmp_path / "out").glob("*.whl")
    assert wheel.name == f"unified_rl-{__version__}-py3-none-any.whl"
    held = zipfile.ZipFile(wheel)
    files = {name for name in held.namelist() if not name.startswith(f"unified_rl-{__version__}.dist-info/")}
    listed = subprocess.run(["git", "ls-files", "unified_rl"], cwd=ROOT, capture_output=True, text=True, check=False)
    tracked = set(listed.stdout.split()) or {str(path.relative_to(tmp_path)) for path in (tmp_path / "unified_rl").rglob("*.*")}
    assert files == tracked
    facts = held.read(f"unified_rl-{__version__}.dist-info/METADATA").decode()
    assert "Requires-Python: >=3.11" in facts and "License-Expression: Apache-2.0" in facts
    assert b"unified-rl = unified_rl.cli:main" in held.read(f"unified_rl-{__version__}.dist-info/entry_points.txt")


def bounds():
    """Package -> its lower bound, of all that `pip install` brings."""
    stated = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    return {one.name: next(part.version for part in one.specifier if part.operator == ">=") for one in stated}


def pins(name):
    lines = (ROOT / "constraints" / name).read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def test_lower_bounds_are_those_that_are_run():
    """`make test-lowest` installs what this file says: a bound that is lowered is one that somebody has to run."""
    assert pins("lowest.txt") == bounds()


def test_what_is_installed_is_within_the_bounds():
    exact = pins("cpu.txt")
    assert {name: version for name, version in bounds().items() if Version(exact[name]) < Version(version)} == {}
