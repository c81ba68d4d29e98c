"""Pages on disk: a run's shards, each a folder that is there whole or not at all; and what is known of every page in memory.

A shard holds `pages.jsonl`, `urls.txt` (a line per page), `keys.npy` (uint64 [pages, 1 + bands]: URL, then bands), `tokens.npy`
(int32 [pages]) and `facts.json`. All steps walk pages in the order of shards and lines, which is a page's number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unified_rl.base import files
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.corpus.extraction import Page

MADE_OF = "made_of.json"


def shard_folder(folder: Path, number: int) -> Path:
    """Where shard `number` of a step's folder is."""
    return folder / f"{number:06d}"


def shard_folders(folder: Path) -> list[Path]:
    """The shards of a step's folder, in order."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name.isdecimal())


def page_line(page: Page) -> str:
    """A page as its line of `pages.jsonl`."""
    return json.dumps(asdict(page), ensure_ascii=False) + "\n"


def read_pages(shard: Path, only: np.ndarray | None = None) -> Iterator[Page]:
    """The pages of a shard, streamed. only: bool [pages], which ones to read."""
    with (shard / "pages.jsonl").open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines):
            if only is None or only[number]:
                yield Page(**json.loads(line))


def read_urls(shard: Path) -> Iterator[str]:
    """The URLs of a shard's pages, streamed."""
    with (shard / "urls.txt").open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield line[:-1]


def made_of(folder: Path, what: Mapping[str, Any], remedy: str = "") -> None:
    """Record what a step's results depend on, or compare with what they were made of.

    Raises:
        ConfigError: they were made of something else.
    """
    now = json.loads(json.dumps(what))
    path = folder / MADE_OF
    if path.exists():
        before = files.read_json(path)
        differing = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if differing:
            raise ConfigError(
                f"{folder} was made with other settings or data ({', '.join(differing)}); "
                f"{remedy or 'delete it to make it again'}, or choose another run_dir"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(path, now)


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write a shard's or round's `facts.json`."""
    (folder / "facts.json").write_text(json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def added_facts(shards: Iterable[Path]) -> dict[str, Any]:
    """The counts in the `facts.json` of several shards, added up; mappings of counts entry by entry."""
    total: dict[str, Any] = {}
    for shard in shards:
        for name, value in files.read_json(shard / "facts.json").items():
            if isinstance(value, dict):
                into = total.setdefault(name, {})
                for key, count in value.items():
                    into[key] = into.get(key, 0) + count
            else:
                total[name] = total.get(name, 0) + value
    return total


@dataclass(frozen=True)
class Index:
    """What is held of every page in memory: 13 bytes each.

    shards: their folders. starts: number of each shard's first page, and of all pages at the end. keys: uint64 [n], of URLs.
    tokens: int32 [n]. kept: bool [n], false for copies.
    """

    shards: list[Path]
    starts: np.ndarray
    keys: np.ndarray
    tokens: np.ndarray
    kept: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def of_shard(self, values: np.ndarray, place: int) -> np.ndarray:
        """The part of an array over all pages that is of shard number `place`."""
        return values[self.starts[place] : self.starts[place + 1]]


def read_index(folder: Path, kept: np.ndarray | None = None) -> Index:
    """The index of the shards in `folder`.

    Raises:
        DataError: there is no page in them.
    """
    shards = shard_folders(folder)
    sizes = [len(np.load(shard / "tokens.npy", mmap_mode="r")) for shard in shards]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    count = int(starts[-1])
    if not count:
        raise DataError(
            f"{folder} holds no page: all were dropped, see facts.json of its shards; change the section extraction"
        )
    keys, tokens = np.empty(count, np.uint64), np.empty(count, np.int32)
    for place, shard in enumerate(shards):
        at = slice(starts[place], starts[place + 1])
        keys[at] = np.load(shard / "keys.npy", mmap_mode="r")[:, 0]
        tokens[at] = np.load(shard / "tokens.npy")
    return Index(shards, starts, keys, tokens, np.ones(count, bool) if kept is None else kept)
