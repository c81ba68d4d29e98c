"""The files that a crawl lies in: WARC, JSON lines, HTML; each is one shard, HTML files are joined to shards of a fixed number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unified_rl.base.errors import DataError

WARC = (".warc", ".warc.gz", ".warc.zst")
JSON_LINES = (".jsonl", ".jsonl.gz", ".ndjson")
HTML = (".html", ".htm", ".xhtml")
#: HTML files in one shard.
HTML_FILES = 1000


@dataclass(frozen=True)
class Input:
    """What a shard is read from. kind: warc, jsonl or html. files: one, or up to `HTML_FILES` of HTML. root: of addresses."""

    kind: str
    files: tuple[Path, ...]
    root: Path


def inputs_of(path: str, field: str) -> list[Input]:
    """The inputs below a path, in the order of their names.

    Raises:
        DataError: it does not exist, or holds no file of a known kind.
    """
    root = Path(path)
    if not path or not root.exists():
        raise DataError(f"{field}={path!r} does not exist; set it to a WARC, JSON-lines or HTML file, or to a folder of them")
    files = [root] if root.is_file() else sorted(file for file in root.rglob("*") if file.is_file())
    base = root.parent if root.is_file() else root
    found = [Input(kind, (file,), base) for file in files if (kind := _kind(file)) in ("warc", "jsonl")]
    pages = [file for file in files if _kind(file) == "html"]
    found += [Input("html", tuple(pages[at : at + HTML_FILES]), base) for at in range(0, len(pages), HTML_FILES)]
    if not found:
        raise DataError(
            f"{field}={path}: no file ends in {', '.join((*WARC, *JSON_LINES, *HTML))}; set {field} to where the pages are"
        )
    return found


def listing(inputs: Sequence[Input]) -> list[list[object]]:
    """What is recorded of inputs, so that other data under the same path is noticed: [kind, first file, files, bytes] of each."""
    return [
        [one.kind, str(one.files[0].relative_to(one.root)), len(one.files), sum(file.stat().st_size for file in one.files)]
        for one in inputs
    ]


def _kind(file: Path) -> str:
    name = file.name.lower()
    kinds = {"warc": WARC, "jsonl": JSON_LINES, "html": HTML}
    return next((kind for kind, endings in kinds.items() if name.endswith(endings)), "")
