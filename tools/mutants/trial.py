"""One trial: tests run in a process of their own on a copy of the code, with a mutant in it or without.

The process is forked from one that has imported what takes long (torch, transformers, pytest) and nothing of ours, so that a trial
costs what its tests cost.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]
PARTS = ("unified_rl", "tests", "analysis", "examples", "experiments", "docs")
OUTPUT = 4000  # characters of a trial's output that are kept


@dataclass(frozen=True)
class Outcome:
    """`killed_by`: the test in which an assertion failed; `broken`: tests that failed otherwise; `ran`: whether any ran."""

    killed_by: str
    broken: tuple[str, ...]
    ran: bool
    output: str


class Watch:
    """A pytest plugin that stops at the first failed assertion, and notes what fails in another way."""

    def __init__(self) -> None:
        self.killed_by = ""
        self.broken: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        report = yield
        if call.excinfo is None or call.excinfo.errisinstance(pytest.skip.Exception):
            return report
        if call.when == "call" and _asserts(call.excinfo.value):
            self.killed_by = item.nodeid
            item.session.shouldfail = "an assertion has failed"
        else:
            self.broken.append(f"{item.nodeid}: {call.excinfo.exconly()}"[:300])
        return report


def _asserts(error: BaseException) -> bool:
    """Whether an assertion failed: `assert`, `raises` that saw nothing, and groups of them. A time limit is none."""
    if isinstance(error, BaseExceptionGroup):
        return all(_asserts(inner) for inner in error.exceptions)
    failed = isinstance(error, pytest.fail.Exception) and not str(error).startswith("Timeout")
    return isinstance(error, AssertionError) or failed


def start(mutant: Mutant | None, suite: tuple[str, ...]) -> tuple[int, Path]:
    """(process id, file): forks a process that runs the suite, which leaves its outcome in the file."""
    handle, name = tempfile.mkstemp(suffix=".json")
    os.close(handle)
    process = os.fork()
    if process:
        return process, Path(name)
    try:
        outcome = _run(mutant, suite)
        Path(name).write_text(json.dumps(vars(outcome)), encoding="utf-8")
    finally:
        os._exit(0)


def read(file: Path) -> Outcome:
    """What a process that has ended left."""
    text = file.read_text(encoding="utf-8")
    file.unlink()
    if not text:
        return Outcome("", (), False, "the process died")
    found = json.loads(text)
    return Outcome(found["killed_by"], tuple(found["broken"]), found["ran"], found["output"])


def _run(mutant: Mutant | None, suite: tuple[str, ...]) -> Outcome:
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile("w+") as output:
        folder = Path(name)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        _copy(folder, mutant)
        watch = Watch()
        with _inside(folder):
            import unified_rl

            if not Path(str(unified_rl.__file__)).is_relative_to(folder):
                raise RuntimeError("the tests would not see the copy")
            code = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--durations=0", *suite], plugins=[watch])
        sys.stdout.flush()
        sys.stderr.flush()
        output.seek(0)
        ran = code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        stopped = code == pytest.ExitCode.INTERRUPTED and bool(watch.killed_by)
        return Outcome(watch.killed_by, tuple(watch.broken), ran or stopped, output.read()[-OUTPUT:])


def _copy(folder: Path, mutant: Mutant | None) -> None:
    """Compiled modules come along: those of unchanged files are used."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part)
    shutil.copy(ROOT / "pyproject.toml", folder)
    if mutant is None:
        return
    target = folder / "unified_rl" / mutant.file
    target.write_text(mutated(mutant), encoding="utf-8")


def mutated(mutant: Mutant) -> str:
    """The mutant's file. Raises ValueError where it, or its text, is no longer there."""
    file = ROOT / "unified_rl" / mutant.file
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    if mutant.old not in text:
        raise ValueError(f"mutant {mutant.what!r}: its text is no longer in {mutant.file}; update tools/mutants")
    return text.replace(mutant.old, mutant.new, 1)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """The folder is where this process, and those that its tests start, find the package."""
    os.setpgid(0, 0)
    os.chdir(folder)
    os.environ |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    sys.path[:] = [str(folder), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]
    yield
