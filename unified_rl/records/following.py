"""Following a `.jsonl` log while it is written: each look reads what came since the last one. No torch.

What follows a log holds nobody up and trusts nothing: a look reads a bounded number of bytes, a line that is no JSON object or
longer than any of ours is passed over, nothing is read of a file that is larger than logs are, and a log that was cut back (a run
that is resumed does it) is read again from its start.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from unified_rl.base import files

#: Most bytes of one look, and of one line.
LOOK_BYTES = 16 << 20
LINE_BYTES = 4 << 20


class Followed:
    """A log, and how far it has been read.

    Attributes:
        again: how often it had to be read from its start.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.again = 0
        self._offset = 0
        self._rest = b""  # of a line whose end is not written yet
        self._overlong = False  # the line under way is passed over
        self._identity: tuple[int, int] | None = None

    @property
    def behind(self) -> bool:
        """Whether there is more to read than the last look read."""
        try:
            return files.LARGE_BYTES >= self.path.stat().st_size > self._offset
        except OSError:
            return False

    def look(self) -> list[dict[str, Any]]:
        """The objects that were written since the last look, as far as one look goes."""
        try:
            if files.plain(self.path).stat().st_size > files.LARGE_BYTES:
                return []
            with self.path.open("rb") as file:
                self._begin_again_if_other(file)
                file.seek(self._offset)
                data = file.read(LOOK_BYTES)
        except OSError:
            return []
        self._offset += len(data)
        return self._objects(data)

    def _begin_again_if_other(self, file: Any) -> None:
        """A file that took the place of the one before, or has fewer bytes than were read of it, is read from its start."""
        size, identity = file.seek(0, 2), _identity(file)
        if size < self._offset or (self._identity is not None and identity != self._identity):
            self._offset, self._rest, self._overlong = 0, b"", False
            self.again += 1
        self._identity = identity

    def _objects(self, data: bytes) -> list[dict[str, Any]]:
        *lines, rest = data.split(b"\n")
        found = []
        for line in lines:
            whole, self._rest = self._rest + line, b""
            passed, self._overlong = self._overlong, False
            if not passed and len(whole) <= LINE_BYTES and (row := _object(whole)) is not None:
                found.append(row)
        self._rest += rest
        if len(self._rest) > LINE_BYTES:
            self._rest, self._overlong = b"", True
        return found


def _identity(file: Any) -> tuple[int, int]:
    facts = os.fstat(file.fileno())
    return facts.st_dev, facts.st_ino


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and type(row.get("step", 0)) is int else None
