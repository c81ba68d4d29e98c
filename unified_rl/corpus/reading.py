"""Raw pages from inputs, streamed. What was crawled is hostile: sizes are bounded before a page is held, and nothing is trusted."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from unified_rl.base.errors import DataError
from unified_rl.corpus.inputs import Input

#: JSON spells a character in at most six.
_JSON_EXPANSION = 6


@dataclass(frozen=True)
class RawPage:
    """A page as it was found. html: its bytes, or `text` where it came as text. content_type: as the server said it. source: of the
    page, for counts."""

    url: str
    html: bytes = b""
    text: str | None = None
    content_type: str = ""
    source: str = ""


def raw_pages(one: Input, max_bytes: int, dropped: Counter[str]) -> Iterator[RawPage]:
    """The pages of an input, in its order.

    Args:
        max_bytes: of a page; larger ones are passed over without being read. dropped: counts, by reason, of what is passed over.

    Raises:
        DataError: the file is damaged (naming it).
    """
    readers = {"warc": _warc, "jsonl": _json_lines, "html": _html_files}
    for file in one.files:
        try:
            yield from readers[one.kind](file, one.root, max_bytes, dropped)
        except (OSError, EOFError) as error:
            raise DataError(
                f"{file}: damaged or not readable ({str(error)[:200] or type(error).__name__}); fetch it again"
            ) from error


def _warc(file: Path, root: Path, max_bytes: int, dropped: Counter[str]) -> Iterator[RawPage]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    with file.open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
            url = record.headers.get("WARC-Target-URI") or ""
            if not url or record.http_headers is None:
                dropped["no HTTP response"] += 1
                continue
            status, kind = record.http_headers.status_code, record.http_content_type or ""
            if status is not None and not 200 <= status < 300:
                dropped["HTTP status"] += 1
            elif kind and "html" not in kind:
                dropped["no HTML"] += 1
            else:
                yield from _bounded(
                    RawPage(url, record.reader.read(max_bytes + 1), None, _header(record), file.name), max_bytes, dropped
                )


def _header(record: object) -> str:
    headers = record.http_headers  # type: ignore[attr-defined]
    return headers.get("Content-Type") or ""


def _bounded(page: RawPage, max_bytes: int, dropped: Counter[str]) -> Iterator[RawPage]:
    if len(page.html) > max_bytes or len(page.text or "") > max_bytes:
        dropped["too large"] += 1
    else:
        yield page


def _json_lines(file: Path, root: Path, max_bytes: int, dropped: Counter[str]) -> Iterator[RawPage]:
    most = max_bytes * _JSON_EXPANSION
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
        while line := stream.readline(most):
            if not line.endswith(b"\n") and len(line) == most:
                _skip_line(stream)
                dropped["too large"] += 1
            elif line.strip():
                page = _of_record(line, file.name)
                if page is None:
                    dropped["no record"] += 1
                else:
                    yield from _bounded(page, max_bytes, dropped)


def _skip_line(stream: IO[bytes] | gzip.GzipFile) -> None:
    while (piece := stream.readline(1 << 20)) and not piece.endswith(b"\n"):
        pass


def _of_record(line: bytes, source: str) -> RawPage | None:
    """A page from `{"url": ..., "html" or "text": ..., "source": ...}`; None where the line is no such record."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("url"), str):
        return None
    own = record.get("source")
    source = own if isinstance(own, str) else source
    if isinstance(record.get("text"), str):
        return RawPage(record["url"], text=record["text"], source=source)
    if isinstance(record.get("html"), str):
        return RawPage(record["url"], record["html"].encode("utf-8", "replace"), None, "text/html; charset=utf-8", source)
    return None


def _html_files(file: Path, root: Path, max_bytes: int, dropped: Counter[str]) -> Iterator[RawPage]:
    """A file's address is its place below the root: the first folder is the domain."""
    with file.open("rb") as stream:
        page = RawPage(f"https://{file.relative_to(root).as_posix()}", stream.read(max_bytes + 1), None, "", file.parts[-2])
    yield from _bounded(page, max_bytes, dropped)
