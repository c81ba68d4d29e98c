"""What the disk holds at every file operation of a command: as a kill leaves it, and as a power cut does.


A power cut loses what was not synced. Python reports each opening for writing, renaming, removing and making of a folder before
it happens (audit events), and `os.fsync` is wrapped. At each, the tree is copied twice: as it is, and with every file cut to what
had been synced of it. Names of files and folders are taken to be on the disk at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

_EVENTS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "open")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Recorder:
    """Copies of a tree, one for each state that it was in. copies: the folders, in the order in which they were taken."""

    def __init__(self, root: Path, into: Path) -> None:
        self._root, self._into = root, into
        self._seen: set[str] = set()
        self._synced: dict[int, int] = {}
        self._busy = False
        self.copies: list[Path] = []
        self.operations = 0

    def before_operation(self) -> None:
        if self._busy:
            return
        self._busy, self.operations = True, self.operations + 1
        try:
            found = {path: path.stat() for path in self._root.rglob("*") if path.is_file()}
            there = {stat.st_ino for stat in found.values()}
            self._synced = {inode: size for inode, size in self._synced.items() if inode in there}
            kept = {path: min(self._synced.get(stat.st_ino, 0), stat.st_size) for path, stat in found.items()}
            for sizes in ({path: stat.st_size for path, stat in found.items()}, kept):
                self._copy(sizes)
        finally:
            self._busy = False

    def synced(self, descriptor: int) -> None:
        stat = os.fstat(descriptor)
        self._synced[stat.st_ino] = stat.st_size

    def _copy(self, sizes: dict[Path, int]) -> None:
        """Keep the tree with its files cut to these sizes, unless it was like that before."""
        data = {path: path.read_bytes()[:size] for path, size in sizes.items()}
        folders = sorted(path for path in self._root.rglob("*") if path.is_dir())
        digest = hashlib.sha256(repr(folders).encode())
        for path in sorted(data):
            digest.update(f"{path} {len(data[path])} ".encode() + data[path])
        if digest.hexdigest() in self._seen:
            return
        self._seen.add(digest.hexdigest())
        copy = self._into / f"{len(self.copies):05d}"
        copy.mkdir(parents=True)
        for folder in folders:
            (copy / folder.relative_to(self._root)).mkdir(parents=True, exist_ok=True)
        for path, content in data.items():
            (copy / path.relative_to(self._root)).write_bytes(content)
        self.copies.append(copy)


_ACTIVE: list[Recorder] = []


def _hook(event: str, arguments: tuple) -> None:
    if not _ACTIVE or event not in _EVENTS:
        return
    place, flags = arguments[0], arguments[2] if event == "open" else None
    if isinstance(place, (str, os.PathLike)) and (flags is None or flags & _WRITING):
        recorder = _ACTIVE[0]
        if event != "open" or str(place).startswith(str(recorder._root)):
            recorder.before_operation()


@contextlib.contextmanager
def recording(root: Path, into: Path) -> Iterator[Recorder]:
    """Record every state of the tree at `root` within this context."""
    if not getattr(sys, "_power_hook", False):
        sys.addaudithook(_hook)
        sys._power_hook = True  # a hook cannot be taken away
    recorder, fsync = Recorder(root, into), os.fsync

    def watched(descriptor: int) -> None:
        recorder.before_operation()
        fsync(descriptor)
        recorder.synced(descriptor)

    _ACTIVE.append(recorder)
    os.fsync = watched
    try:
        yield recorder
    finally:
        os.fsync = fsync
        _ACTIVE.remove(recorder)


def put(copy: Path, root: Path) -> None:
    """Make the tree at `root` what a copy holds."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(copy, root)
