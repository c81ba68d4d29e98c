"""The append-only logs of a run (`.jsonl`), with the count and hash of what was written. No torch.

A checkpoint holds the extents of the logs that belong to it, and is synced after them. On resume a log is cut back to its extent;
one that does not reach it, or differs within it, is mended where that can be done for certain, and else refused by name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError, RunDirectoryError
from unified_rl.records import seals

EMPTY: Mapping[str, Any] = seals.extent(b"")


class Log:
    """One log, appended to by this process alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        data = path.read_bytes() if path.exists() else b""
        self._hash = hashlib.sha256(data)
        self._bytes, self._lines = len(data), data.count(b"\n")

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write one object as a line. Raises RunDirectoryError."""
        # ASCII: a line separator inside a model's text must not look like the end of the record
        line = f"{json.dumps(entry)}\n".encode("ascii")
        with files.disk_errors(self.path), self.path.open("ab") as file:
            file.write(line)
        self._hash.update(line)
        self._bytes, self._lines = self._bytes + len(line), self._lines + 1

    def extent(self) -> dict[str, Any]:
        """Count and hash of what was written."""
        return {"bytes": self._bytes, "lines": self._lines, "sha256": self._hash.hexdigest()}

    def sync(self) -> None:
        """Flush the log to the disk."""
        if self.path.exists():
            with files.disk_errors(self.path):
                files.sync(self.path)


def restored(path: Path, known: Mapping[str, Any], checkpoint: Path) -> bytes:
    """The bytes of a log that a checkpoint knows by their extent.

    What was appended later is left out. Lines that were doubled or added within are too, where what remains is what was written.

    Raises:
        CheckpointError: the log does not hold what the checkpoint belongs to.
    """
    if path.is_symlink():
        raise RunDirectoryError(f"{path} is a link, which a run would write through; put the file itself there")
    try:
        data = files.read_large(path)
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read: {error}; restore it from a copy, or use a new run_dir") from error
    wanted = known["sha256"]
    for candidate in (data[: known["bytes"]], _without_additions(data, known)):
        if hashlib.sha256(candidate).hexdigest() == wanted:
            return candidate
    raise CheckpointError(
        f"{path} is not the log that {checkpoint.name} was written with: {_difference(data, known)}; restore it from a copy, or "
        f"delete {checkpoint} to go on from the checkpoint before it"
    )


def _without_additions(data: bytes, known: Mapping[str, Any]) -> bytes:
    """The log with each line once and in order, torn ones left out: what was written, if lines were only doubled or added."""
    kept: list[bytes] = []
    seen: set[bytes] = set()
    for line in data.splitlines(keepends=True):
        if line not in seen and line.endswith(b"\n") and _is_entry(line):
            kept.append(line)
            seen.add(line)
    return b"".join(kept[: known["lines"]])


def _is_entry(line: bytes) -> bool:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(entry, dict) and isinstance(entry.get("step"), int)


def _difference(data: bytes, known: Mapping[str, Any]) -> str:
    lines = data.count(b"\n")
    if lines < known["lines"]:
        return f"it has {lines} of {known['lines']} lines"
    return f"its first {known['lines']} lines were altered"


def cut_to_step(path: Path, last: int) -> bytes:
    """The lines of a log up to a step, whatever is no entry left out: for a log that nothing is derived from."""
    data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    kept = [line for line in data.splitlines() if _is_entry(line) and json.loads(line)["step"] <= last]
    return b"".join(line + b"\n" for line in kept)
