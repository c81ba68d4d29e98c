"""Records from files: JSON lines, JSON, Parquet, CSV and TSV; from a local path, or from the Hugging Face Hub by name."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from unified_rl.base.errors import ConfigError, DataError

#: `data.path=hub:OWNER/NAME` or `hub:OWNER/NAME@REVISION` names a data set repository of the Hub.
HUB = "hub:"
_SURROGATE = re.compile("[\ud800-\udfff]")
#: Problems of a file that are named in one message; the others are counted.
NAMED = 10
Made = TypeVar("Made")
FORMATS = (".jsonl", ".json", ".parquet", ".csv", ".tsv")


def local_path(path: str | Path, patterns: Sequence[str] = ()) -> Path:
    """The place on this machine of what `path` names; of a repository of the Hub, the files that fit `patterns` are fetched.

    Raises:
        ConfigError: a malformed name. DataError: the Hub, or the repository, cannot be reached and is not in the cache.
    """
    return _hub_folder(str(path), tuple(patterns)) if str(path).startswith(HUB) else Path(path)


def find_files(
    path: Path, layouts: Mapping[str, Sequence[str]], task: str, formats: Sequence[str] = FORMATS
) -> dict[str, list[Path]]:
    """Split -> its files.

    Args:
        path: a folder in which the first of a split's `layouts` (globs) that finds files counts; or one file. The file is of
            the split whose name is in the file's name, else of the first split.
        formats: suffixes that a single file may have.

    Raises:
        DataError: nothing is found, naming what was looked for, or the file is of no known format.
    """
    if path.is_file():
        if path.suffix not in formats:
            raise DataError(f"task {task} reads {', '.join(formats)} files, and path={path} is none of them")
        named = next((split for split in ("test", "validation", "train") if split in path.name and split in layouts), None)
        return {named or next(iter(layouts)): [path]}
    if not path.is_dir():
        raise DataError(
            f"task {task}: path={path} does not exist; set data.path to the file or folder with its records, or to "
            f"{HUB}OWNER/NAME to fetch them"
        )
    found = {}
    for split, globs in layouts.items():
        files = (sorted(file for file in path.glob(glob) if file.is_file()) for glob in globs)
        if first := next(filter(None, files), None):
            found[split] = first
    if not found:
        looked_for = "; ".join(f"{split}: {', '.join(globs)}" for split, globs in layouts.items())
        raise DataError(f"task {task} found no data in {path}; looked for {looked_for}")
    return found


def read_records(file: Path, columns: Sequence[str] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, record) of every record of a file; the place names file and line or row, for error messages.

    Args:
        columns: names of the columns of a table (.csv, .tsv) that has no header; () where its first row is one.

    Raises:
        DataError: a file that cannot be read, or a record that is not one, naming its place.
    """
    if not file.is_file():
        raise DataError(f"{file} does not exist; name a file of records ({', '.join(FORMATS)})")
    readers: dict[str, Callable[..., Iterator[Any]]] = {".parquet": _parquet, ".json": _json, ".csv": _table, ".tsv": _table}
    reader = readers.get(file.suffix, _json_lines)
    try:
        yield from reader(file, columns) if reader is _table else reader(file)
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 text ({error}); convert it") from error


def all_of(records: Iterable[tuple[str, dict[str, Any]]], make: Callable[[str, dict[str, Any]], Made]) -> list[Made]:
    """What is made of every record. Raises DataError: with all that is wrong with them, in one message."""
    made: list[Made] = []
    wrong: list[str] = []
    try:
        for place, record in records:
            try:
                made.append(make(place, record))
            except DataError as error:
                wrong.append(str(error))
    except DataError as error:  # of the reading itself, when all that could be read has been
        wrong.append(str(error))
    refuse(wrong)
    return made


def refuse(wrong: Sequence[str]) -> None:
    """Raise DataError of all these problems, the first of them in full."""
    if wrong:
        more = f"; and {len(wrong) - NAMED} more like these" if len(wrong) > NAMED else ""
        raise DataError("; ".join(wrong[:NAMED]) + more)


def hub_commit(path: str) -> str:
    """`hub:OWNER/NAME@COMMIT` of a Hub name, its revision resolved: what a result that depends on the data records."""
    return f"{path.split('@')[0]}@{_hub_folder(path, ()).name}"


def _parquet(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow.parquet as parquet

    try:
        rows = parquet.read_table(file, use_threads=False).to_pylist()
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: not a readable parquet file ({error}); fetch it again") from error
    yield from ((f"{file}, row {number}", row) for number, row in enumerate(rows))


def _json_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    wrong: list[str] = []
    with file.open(encoding="utf-8-sig", newline="\n") as lines:  # other separators may stand inside a text
        for number, line in enumerate(lines, start=1):
            if line.strip():
                place = f"{file}, line {number}"
                try:
                    record = _record(place, _parsed(place, line))
                except DataError as error:
                    wrong.append(str(error))
                    continue
                yield place, record
    refuse(wrong)


def _json(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """One record, or a list of them."""
    value = _parsed(str(file), file.read_text(encoding="utf-8-sig"))
    records = value if isinstance(value, list) else [value]
    for number, record in enumerate(records):
        place = f"{file}, record {number}" if isinstance(value, list) else str(file)
        yield place, _record(place, record)


def _table(file: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    tabs = file.suffix == ".tsv"
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = csv.reader(text, delimiter="\t" if tabs else ",", quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL)
        header = list(columns)
        try:
            for row in rows:
                if not header:
                    header = row
                elif row:
                    place = f"{file}, line {rows.line_num}"
                    if len(row) != len(header):
                        raise DataError(f"{place}: {len(row)} fields where there are {len(header)} columns; mend the line")
                    yield place, dict(zip(header, row, strict=True))
        except csv.Error as error:
            raise DataError(f"{file}, line {rows.line_num}: not a readable table ({error}); mend the line") from error


def _parsed(place: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not a JSON record ({error}); mend or drop it") from error


def _record(place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{place}: a JSON {type(value).__name__}, where a record with named fields is needed")
    if half := _half_characters(value):
        raise DataError(f"{place}: field {half!r} holds half of a character (a lone surrogate); mend or drop the record")
    return value


def _half_characters(record: Mapping[str, Any]) -> str | None:
    """The field whose text no file can hold; None if there is none."""
    return next(
        (name for name, value in record.items() if _SURROGATE.search(json.dumps([name, value], ensure_ascii=False))), None
    )


@cache
def _hub_folder(name: str, patterns: tuple[str, ...]) -> Path:
    """The snapshot of a data set repository in the Hub's cache, its files that fit `patterns` fetched where they are missing."""
    repository, _, revision = name.removeprefix(HUB).partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise ConfigError(f"path={name!r} must be {HUB}OWNER/NAME or {HUB}OWNER/NAME@REVISION")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        folder = snapshot_download(
            repository, repo_type="dataset", revision=revision or None, allow_patterns=list(patterns) or ["README.md"]
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise DataError(
            f"cannot fetch the data set {repository} from the Hugging Face Hub ({str(error).splitlines()[0]}); check the name and "
            f"the network, or fetch it elsewhere (hf download --repo-type dataset {repository}) and set data.path to that folder"
        ) from error
    return Path(folder)
