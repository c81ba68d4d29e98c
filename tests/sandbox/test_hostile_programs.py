"""Hostile programs, each contained, each with an honest one beside it that must not notice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import hostile_programs
import pytest

from unified_rl.isolation.sandbox import Sandbox, SandboxError

SECONDS = 1.5


def outcome_of(*boundaries: str) -> dict:
    """All programs in one sandbox; where it cannot be had, that it is refused is checked, and the test skipped."""
    os.environ["SANDBOX_TEST_SECRET"] = hostile_programs.SECRET
    try:
        sandbox = Sandbox(boundaries=boundaries)
    except SandboxError as refusal:
        assert "allow_unsandboxed=true" in str(refusal)
        pytest.skip(f"refused, as it should be: {refusal}")
    finally:
        del os.environ["SANDBOX_TEST_SECRET"]
    with sandbox:
        return hostile_programs.run_all(sandbox, SECONDS)


@pytest.fixture(scope="module")
def outcome():
    return outcome_of("unshare", "bubblewrap")


def test_protections_are_printed(outcome, capsys):
    with capsys.disabled():
        print(f"\n{outcome['sandbox']} (user {os.getuid()}; {len(outcome['results'])} hostile programs)")
    assert "missing: none" in outcome["sandbox"]
    assert len(hostile_programs.PROGRAMS) >= 40


@pytest.mark.parametrize("name", hostile_programs.PROGRAMS)
def test_contained(outcome, name):
    assert [complaint for complaint in hostile_programs.complaints(outcome) if complaint.startswith(f"{name}:")] == []


def test_nobody_else_is_harmed(outcome):
    assert outcome["harmed"] == []
    assert all(outcome["honest"])
    assert outcome["left"] == 0


def test_through_bubblewrap(capsys):
    """Everything again where bubblewrap is installed."""
    outcome = outcome_of("bubblewrap")
    with capsys.disabled():
        print(f"\n{outcome['sandbox']}")
    assert hostile_programs.complaints(outcome) == []


@pytest.mark.long
def test_as_a_user_without_privileges(capsys):
    """Everything again as another user: user namespaces in place of root's own means."""
    if os.getuid() != 0:
        pytest.skip("this user has no privileges, so the tests above were that already")
    if not all(shutil.which(tool) for tool in ("unshare", "setpriv", "mount")):
        pytest.skip("needs unshare, setpriv and mount")
    if not Path("/mnt").is_dir():
        pytest.skip("needs /mnt")
    script = (  # root's interpreter may lie where only root may look
        f"mount --make-rprivate / && mount --bind {sys.base_prefix} /mnt && cd / && exec setpriv --reuid=65534 --regid=65534 "
        f'--clear-groups /mnt/bin/{Path(os.path.realpath(sys.executable)).name} "$@"'
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{Path(__file__).parents[2]}:{sysconfig.get_path('purelib')}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [
        "unshare",
        "-m",
        "sh",
        "-c",
        script,
        "sh",
        str(Path(__file__).with_name("hostile_programs.py")),
        str(SECONDS),
        "unshare",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    if "SandboxError" in done.stderr:
        assert "allow_unsandboxed=true" in done.stderr
        pytest.skip(f"refused, as it should be: {done.stderr.splitlines()[-1]}")
    if "Permission denied" in done.stderr or "No module named 'unified_rl'" in done.stderr:
        pytest.skip(f"another user cannot read this project or its packages: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr[-2000:]
    outcome = json.loads(done.stdout)
    with capsys.disabled():
        print(f"\n{outcome['sandbox']} (user 65534)")
    assert "missing: none" in outcome["sandbox"]
    assert hostile_programs.complaints(outcome) == []
