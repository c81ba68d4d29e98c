"""Writing files so that a reader, or a run resumed after a kill, never sees half of one. No torch."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unified_rl.base.errors import RunDirectoryError

MANIFEST = "manifest.json"


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
        RunDirectoryError: it cannot be written.
    """
    aside = aside_of(path)
    with disk_errors(path):
        if aside.is_dir():
            remove(aside)  # what a killed attempt left
        yield aside
        sync_tree(aside)
        if path.is_dir():
            remove(path)  # a folder cannot be renamed over another
        aside.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, saved aside. Raises RunDirectoryError."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, saved aside. Raises RunDirectoryError."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path) -> dict[str, str]:
    """Hash every file below `folder` into its `manifest.json`, and return {relative path: hash}."""
    hashes = {
        str(path.relative_to(folder)): file_hash(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    write_json(folder / MANIFEST, hashes)
    return hashes


def damage(folder: Path) -> str | None:
    """What is wrong with a folder that has a manifest, in words; None if every file is there and unchanged."""
    try:
        hashes = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return f"{folder / MANIFEST} is missing or unreadable"
    for name, expected in hashes.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if file_hash(path) != expected:
            return f"{path} does not match its recorded hash"
    return None


def sync_tree(folder: Path) -> None:
    """Flush a file, or a folder with every file and folder below it, to the disk, so that a rename after it is durable."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a file or folder if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def keep_lines(path: Path, last_step: int) -> None:
    """Cut a `.jsonl` file of objects with a `step` back to the lines of steps up to `last_step`, dropping a torn last line."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # torn by a kill in the middle of a write
        if entry["step"] <= last_step:
            kept.append(line)
    write_text(path, "".join(f"{line}\n" for line in kept))
