"""Writing files so that a reader, or a run resumed after a kill, never sees half of one. No torch."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unified_rl.base.errors import RunDirectoryError

MANIFEST = "manifest.json"
EVALUATIONS = "evaluations"
#: Files that are hashed at a time, one to a core: at most as many as a node's ranks write of a checkpoint.
HASHED_AT_ONCE = min(8, os.cpu_count() or 1)
#: More than any file of settings or facts of ours holds.
SMALL_BYTES = 64 << 20
#: More than any log or table of samples holds.
LARGE_BYTES = 8 << 30


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the system's word for a full or unwritable disk into ours, naming the path."""
    try:
        yield
    except RunDirectoryError:
        raise
    except OSError as error:
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else (error.strerror or str(error))
        raise RunDirectoryError(f"cannot write {path}: {reason}; free space or choose another folder, then resume") from error


def aside_of(path: Path) -> Path:
    """Where `replacing` has a file or folder written before it is whole."""
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Save aside: the block writes the file or folder whose path it is given, which then takes the place of `path`.

    It is flushed to the disk first, so that the rename is durable. A block that fails leaves `path` as it was.

    Raises:
        RunDirectoryError: it cannot be written, or is a file where a folder stands, which may hold anybody's work.
    """
    aside = aside_of(path)
    with disk_errors(path):
        if aside.is_dir() or (aside.is_symlink() and aside.is_file()):
            remove(aside)  # what a killed attempt left; a link would be written through
        yield aside
        if path.is_dir() and not path.is_symlink() and not aside.is_dir():
            remove(aside)
            raise RunDirectoryError(f"cannot write {path}: a folder stands where the file is to go; move it away")
        sync_tree(aside)
        if path.is_dir():
            remove(path)  # a folder cannot be renamed over another
        aside.replace(path)
        sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, saved aside. Raises RunDirectoryError."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, saved aside. Raises RunDirectoryError."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def settle_text(path: Path, text: str) -> None:
    """Write a text as `write_text` does, unless the file holds it: what is taken up again and again comes on each time."""
    if not path.is_file() or path.read_bytes() != text.encode("utf-8"):
        write_text(path, text)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path) -> dict[str, str]:
    """Hash every file below `folder` into its `manifest.json`, and return {relative path: hash}. Its own entry is of the others."""
    hashes = _hashes(_listed(folder))
    write_json(folder / MANIFEST, hashes | {MANIFEST: _digest(hashes)})
    return hashes


def damage(folder: Path) -> str | None:
    """What is wrong with a folder that has a manifest, in words; None if its files are those that were hashed, all unchanged."""
    try:
        hashes = read_json(folder / MANIFEST)
    except (OSError, ValueError):
        return f"{folder / MANIFEST} is missing or unreadable"
    if not isinstance(hashes, dict) or len(hashes) < 2:
        return f"{folder / MANIFEST} lists no files"
    if hashes.pop(MANIFEST, None) != _digest(hashes):
        return f"{folder / MANIFEST} does not match its own hash"
    there = _listed(folder)
    found = _hashes({name: path for name, path in there.items() if name in hashes and not path.is_symlink()})
    for name in sorted(hashes.keys() | there.keys()):
        path = folder / name
        if name not in hashes:
            return f"{path} is not in its {MANIFEST}"
        if name not in there:
            return f"{path} is missing"
        if path.is_symlink():
            return f"{path} is a link"
        if found[name] != hashes[name]:
            return f"{path} does not match its recorded hash"
    return None


def _hashes(paths: Mapping[str, Path]) -> dict[str, str]:
    """The hash of each file, several at a time: a large model's checkpoint is a file of each rank's, and many seconds to hash."""
    with ThreadPoolExecutor(HASHED_AT_ONCE) as pool:
        return dict(zip(paths, pool.map(file_hash, paths.values()), strict=True))


def _digest(hashes: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def _listed(folder: Path) -> dict[str, Path]:
    """The files that a folder's manifest is of, by relative path: all but itself and evaluations, which are made later."""
    below = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_symlink() or path.is_file()}
    return {str(name): path for name, path in below.items() if path.name != MANIFEST and name.parts[0] != EVALUATIONS}


def read_json(path: Path) -> Any:
    """The value in a small JSON file.

    Raises:
        OSError: it cannot be read. ValueError: it is not JSON, or too large or too deep for a record of ours.
    """
    try:
        return json.loads(read_small(path))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def plain(path: Path) -> Path:
    """The path of a file that others may have put there, before it is opened: a pipe or a device would never end.

    Raises:
        FileNotFoundError: there is none, or it is no plain file.
    """
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    return path


def read_small(path: Path) -> str:
    """The text of a file of settings or facts. Raises OSError, or ValueError: it is not UTF-8, or larger than such files are."""
    with plain(path).open("rb") as file:
        data = file.read(SMALL_BYTES + 1)
    if len(data) > SMALL_BYTES:
        raise ValueError(f"it is larger than {SMALL_BYTES >> 20} MiB")
    return data.decode("utf-8")


def read_large(path: Path) -> bytes:
    """The bytes of a log, b"" where there is none. Raises ValueError: it is no plain file, or larger than logs are."""
    if not path.exists():
        return b""
    if not path.is_file():
        raise ValueError("it is no plain file")
    if path.stat().st_size > LARGE_BYTES:
        raise ValueError(f"it is larger than {LARGE_BYTES >> 30} GiB")
    return path.read_bytes()


def sync_tree(folder: Path) -> None:
    """Flush a file, or a folder with every file and folder below it, to the disk, so that a rename after it is durable."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def sync(path: Path) -> None:
    """Flush one file's content, or one folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a file or folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Delete a folder so that a kill in the middle leaves none of its name: it is renamed aside first."""
    aside = aside_of(path)
    remove(aside)
    path.rename(aside)
    remove(aside)
