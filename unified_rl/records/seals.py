"""Records that say what they and the files beside them were when they were written, by hashes and counts. No torch.

A record (`manifest.json` of a run, `meta.json` of an evaluation) holds the hash of its own facts as `seal`. Among its facts it
lists files beside it, and a reader compares what it reads with that list. So damage of any byte that a table depends on is
noticed, and the file is named. A seal guards against accidents, not against an author who computes it anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.errors import DataError

SEAL = "seal"
STATUS = "status.json"
#: Field of a run's manifest: what each file holds.
LISTING = "files"
#: Version of a run's manifest.
SCHEMA = 1
#: What commands of ours write only beside a manifest.
_AFTER_MANIFEST = ("provenance.json", "forks")
_FIELDS: Mapping[str, Any] = {
    "state": str,
    "step": int | None,
    "steps": int | None,
    "error": str | None,
    "ended_by": str | None,
}


def sealed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A record with the hash of its facts."""
    return {**facts, SEAL: _digest(facts)}


def read_sealed(path: Path, listing: str, remedy: str) -> dict[str, Any]:
    """The facts of a record, without the seal.

    A record that was not written by a command of ours may have no seal, and then lists no files either: there is nothing to
    compare it with.

    Args:
        listing: the field in which such a record lists files.

    Raises:
        DataError: it is missing or not a JSON object, or does not match its seal.
    """
    try:
        value = files.read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is missing or not JSON ({_words(error)}); {remedy}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} does not hold a JSON object; {remedy}")
    facts = {name: item for name, item in value.items() if name != SEAL}
    unsealed = SEAL not in value and listing not in value
    if not unsealed and (value.get(SEAL) != _digest(facts) or not isinstance(facts.get(listing), dict)):
        raise DataError(f"{path} does not match its own seal, so it was changed after it was written; {remedy}")
    return facts


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def extent(data: bytes) -> dict[str, Any]:
    """What is recorded of a file's bytes: how many, how many lines, and their SHA-256."""
    return {"bytes": len(data), "lines": data.count(b"\n"), "sha256": hashlib.sha256(data).hexdigest()}


def extents(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """What is recorded of those of the named files that are there."""
    return {name: extent((folder / name).read_bytes()) for name in names if (folder / name).is_file()}


def problem(path: Path, known: Any, *, grows: bool = False) -> str | None:
    """What is wrong with a file that is recorded as `known`, in words; None if nothing is.

    Args:
        grows: whether more may have been appended since.
    """
    if not _is_extent(known):
        return "is recorded in a way that this version does not read"
    if not path.is_file():
        return "is missing, or no plain file" if path.exists() else "is missing"
    size = path.stat().st_size
    if size > files.LARGE_BYTES:
        return f"is larger than {files.LARGE_BYTES >> 30} GiB, and so is no record of ours"
    if size < known["bytes"] or (size != known["bytes"] and not grows):
        return f"has {size} bytes, and {known['bytes']} were recorded"
    return None if _hash_of(path, known["bytes"]) == known["sha256"] else "does not match its recorded hash"


def _is_extent(known: Any) -> bool:
    return isinstance(known, dict) and isinstance(known.get("bytes"), int) and isinstance(known.get("sha256"), str)


def _hash_of(path: Path, count: int) -> str:
    """SHA-256 of the first `count` bytes of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while count > 0 and (piece := file.read(min(count, 1 << 20))):
            digest.update(piece)
            count -= len(piece)
    return digest.hexdigest()


# ---- the files of a run ---------------------------------------------------------------------------------------------------------


def write_status(run_dir: Path, facts: Mapping[str, Any], listed: Mapping[str, Any]) -> None:
    """Write status.json, and before it the manifest that lists it beside the other files of the run.

    Between the two writes status.json may still be what it was, so the manifest knows both.

    Args:
        listed: extents of the other files, by name. Those of logs are of their beginnings, until the run is finished.
    """
    path = run_dir / STATUS
    text = json.dumps(dict(facts), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    before = extent(path.read_bytes()) if path.is_file() else None
    known = {**listed, STATUS: extent(text.encode("utf-8", "replace")) | {"before": before}}
    whole = facts["state"] == "finished"
    files.write_json(run_dir / files.MANIFEST, sealed({"schema": SCHEMA, "finished": whole, LISTING: known}))
    with files.replacing(path) as aside:
        aside.write_bytes(text.encode("utf-8", "replace"))


def read_status(run_dir: Path) -> dict[str, Any] | None:
    """status.json of a run directory; None where it was never recorded.

    Raises:
        DataError: it or the manifest is damaged, or missing although the directory holds what is only written after it.
    """
    path, remedy = run_dir / STATUS, "resume the run to write it again"
    _check(run_dir, STATUS, _manifest(run_dir))
    if not path.exists():
        return None
    try:
        status = files.read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not JSON ({_words(error)}); {remedy}") from error
    if not isinstance(status, dict):
        raise DataError(f"{path} does not hold a JSON object; {remedy}")
    wrong = [name for name, kind in _FIELDS.items() if not isinstance(status.get(name), kind)]
    if wrong:
        raise DataError(f"{path}: {wrong[0]} is missing or of another type; {remedy}")
    return status


def listed(run_dir: Path) -> dict[str, Any]:
    """The extents of the files that the manifest of a run lists, by name; {} without a manifest. Raises DataError."""
    return dict(_manifest(run_dir).get(LISTING, {}))


def check_file(run_dir: Path, name: str) -> None:
    """Compare a file of a run directory with what its manifest says of it; nothing where it says nothing.

    Raises:
        DataError: it was changed, shortened or lost since; or the manifest is damaged.
    """
    _check(run_dir, name, _manifest(run_dir))


def _manifest(run_dir: Path) -> dict[str, Any]:
    """The manifest of a run directory; {} for a run that was not made by a command of ours, or has hardly begun."""
    path, remedy = run_dir / files.MANIFEST, "restore it, or resume the run to write it again"
    if not path.exists():
        later = [name for name in _AFTER_MANIFEST if (run_dir / name).exists()]
        if later:
            raise DataError(f"{path} is missing, although {later[0]} is there; {remedy}")
        return {}
    found = read_sealed(path, LISTING, remedy)
    if found.get("schema") != SCHEMA:
        raise DataError(f"{path}: schema {str(found.get('schema'))[:40]} is not {SCHEMA}, which this version reads; {remedy}")
    return found


def _check(run_dir: Path, name: str, manifest: Mapping[str, Any]) -> None:
    known = manifest.get(LISTING, {}).get(name)
    if known is None:
        return
    path, grows = run_dir / name, name.endswith(".jsonl") and not manifest.get("finished")
    found = problem(path, known, grows=grows)
    if found and "before" in known:
        earlier = known["before"]
        found = found if earlier is not None or path.exists() else None
        found = problem(path, earlier) if earlier is not None else found
    if found:
        raise DataError(f"{path} {found}; restore it, or resume the run, which mends what it can")


def _words(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
