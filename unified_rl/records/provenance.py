"""What a run was made of: command, code and packages per session, and which code made which steps. No torch."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.errors import ConfigError, DataError

FILE = "provenance.json"
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "omegaconf", "numpy", "scipy", "pandas", "pyarrow")
_PACKAGE = Path(__file__).parents[1]


def read(path: Path) -> dict[str, Any] | None:
    """provenance.json of a run, None where there is none.

    Raises:
        DataError: it is damaged.
    """
    if not path.exists():
        return None
    try:
        facts = files.read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not JSON ({str(error)[:200]}); restore it, or use a new run_dir") from error
    sessions = facts.get("sessions") if isinstance(facts, dict) else None
    if not isinstance(sessions, list) or not all(_is_session(item) for item in sessions) or not sessions:
        raise DataError(f"{path} does not say what the run was made of; restore it, or use a new run_dir")
    return facts


def _is_session(item: Any) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("from_step"), int):
        return False
    return isinstance(item.get("code"), str) and isinstance(item.get("git"), dict) and isinstance(item.get("packages"), dict)


def extended(
    before: Mapping[str, Any] | None, inputs: Mapping[str, Any], machine: Mapping[str, Any], step: int, path: Path
) -> dict[str, Any]:
    """The provenance of a run with this session added. step: steps behind it when the session began.

    Raises:
        ConfigError: it would read other inputs than it began with. path: of provenance.json, for the message.
    """
    known = before.get("inputs", {}) if before else {}
    changed = [name for name, value in inputs.items() if name in known and known[name] != value]
    if changed:
        raise ConfigError(
            f"{path.parent} cannot be resumed: its {', '.join(changed)} changed since it began (see {path}); "
            "restore what it read, or use a new run_dir"
        )
    session = {
        "from_step": step,
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": git_state(),
        "code": code_hash(),
        **machine,
    }
    sessions = [*(before["sessions"] if before else []), session]
    return {**sessions[0], "inputs": dict(inputs), "sessions": sessions}


def changes(facts: Mapping[str, Any]) -> list[str]:
    """What the last session does otherwise than the one before it, in words: one line, or none."""
    if len(facts["sessions"]) < 2:
        return []
    before, now = facts["sessions"][-2:]
    said = [] if before["code"] == now["code"] else [f"code {_name(before)} -> {_name(now)}"]
    said += [
        f"{name} {before['packages'].get(name)} -> {version}"
        for name, version in now["packages"].items()
        if before["packages"].get(name) != version
    ]
    if not said:
        return []
    return [
        f"steps from {now['from_step'] + 1} on are made by other code than those before them ({', '.join(said)}); see {FILE}"
    ]


def code_by_steps(facts: Mapping[str, Any], last: int) -> list[tuple[int, int, str]]:
    """(first step, last step, code) of the ranges of steps that one code made; one range for a run that was never changed.

    Args:
        last: the last step that was made.
    """
    sessions, ranges = facts["sessions"], list[tuple[int, int, str]]()
    ends = [session["from_step"] for session in sessions[1:]] + [last]
    for session, end in zip(sessions, ends, strict=True):
        start, code = session["from_step"] + 1, _name(session)
        while ranges and ranges[-1][0] >= start:  # made again by this session
            ranges.pop()
        if ranges and ranges[-1][1] >= start:
            ranges[-1] = (ranges[-1][0], start - 1, ranges[-1][2])
        if end < start:
            continue
        if ranges and ranges[-1][2] == code:
            start = ranges.pop()[0]
        ranges.append((start, end, code))
    return ranges


def _name(session: Mapping[str, Any]) -> str:
    """The code of a session as tables show it: the commit where the sources are the commit's, else the hash of the sources too."""
    commit, dirty = session["git"].get("commit"), session["git"].get("dirty")
    source = f"source {session['code'][:12]}"
    if not commit:
        return source
    return f"{commit[:12]} with {source}" if dirty else str(commit)[:12]


@cache
def code_hash() -> str:
    """A hash of the sources of this package: what is run, whether or not it was committed."""
    digest = hashlib.sha256()
    for path in sorted(path for kind in ("*.py", "*.yaml") for path in _PACKAGE.rglob(kind)):
        digest.update(f"{path.relative_to(_PACKAGE)} {files.file_hash(path)}\n".encode())
    return digest.hexdigest()


def git_state() -> dict[str, Any]:
    """Commit and cleanliness of the code's repository; nulls outside one."""
    commit = _git("rev-parse", "HEAD")
    return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "-uno")) if commit else None}


def _git(*words: str) -> str | None:
    try:
        line = ["git", "-C", str(_PACKAGE), *words]
        result = subprocess.run(line, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
