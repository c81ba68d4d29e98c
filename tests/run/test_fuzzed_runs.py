"""Random damage of any file of a finished, evaluated run: the file is named, or every table is made again byte for byte.

The same damage before a resume: the file is named, or the logs are what they were.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny import words

from unified_rl.cli import main

LOGS = ("metrics.jsonl", "curve.jsonl", "samples.jsonl")


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, len(data), rng.integers(1, 4)) if data else ():
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def truncated(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(0, max(len(data), 1)))]


def doubled(data: bytes, rng: np.random.Generator) -> bytes:
    """All of it, or a piece or a line of it, twice."""
    start, end = sorted(int(place) for place in rng.integers(0, len(data) + 1, 2))
    lines = data.splitlines(keepends=True)
    line = int(rng.integers(len(lines))) if lines else 0
    ways = [data + data, data[:end] + data[start:], b"".join(lines[: line + 1] + lines[line:])]
    return ways[int(rng.integers(3))]


DAMAGES = (flipped, truncated, doubled, None)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzzed")
    assert main(["train", *words("grpo", root / "run", root / "artifacts", "sft.steps=4")]) == 0
    assert main(["evaluate", f"run={root / 'run'}", "name=test", "samples=2", "problems=2"]) == 0
    shutil.copytree(root / "run", root / "whole")
    return root


def made(root: Path) -> dict[str, bytes] | None:
    """The tables, None where they were refused."""
    out = root / "tables"
    shutil.rmtree(out, ignore_errors=True)
    if main(["tables", str(root / "run"), f"out={out}"]):
        return None
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def damaged(root: Path, trial: int) -> Path:
    """One file of the run, damaged as the trial's number says."""
    rng = np.random.default_rng([20260101, trial])
    files = sorted(path for path in (root / "run").rglob("*") if path.is_file())
    path, how = files[int(rng.integers(len(files)))], DAMAGES[int(rng.integers(len(DAMAGES)))]
    if how is None:
        path.unlink()
    else:
        path.write_bytes(how(path.read_bytes(), rng))
    return path


def restore(root: Path) -> None:
    shutil.rmtree(root / "run")
    shutil.copytree(root / "whole", root / "run")


def named(path: Path, said: str, root: Path) -> bool:
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    return len(errors) == 1 and str(path.relative_to(root / "run")) in errors[0]


def logs_of(run: Path) -> list[bytes | None]:
    return [(run / name).read_bytes() if (run / name).is_file() else None for name in LOGS]


def fuzz(root: Path, capsys, trials: range) -> None:
    wanted = made(root)
    assert wanted
    line = ["train", *words("grpo", root / "run", root / "artifacts", "sft.steps=4", "resume=true")]
    for trial in trials:
        restore(root)
        path = damaged(root, trial)
        capsys.readouterr()
        tables = made(root)
        said = capsys.readouterr().err
        assert tables == wanted or (tables is None and named(path, said, root)), (trial, path, said)
        status = main(line)
        said = capsys.readouterr().err
        same = logs_of(root / "run") == logs_of(root / "whole")
        assert (status == 0 and same) or (status == 2 and named(path, said, root)), (trial, path, said)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_five_hundred_damages(root, capsys):
    fuzz(root, capsys, range(500))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_tenth_of_them(root, capsys):
    fuzz(root, capsys, range(500, 550))
