"""Which pages a classifier is trained on: the seed as positives, a draw of other pages as negatives, never a held-out page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unified_rl.base.errors import DataError
from unified_rl.base.rng import derive_seed
from unified_rl.corpus.extraction import Page
from unified_rl.corpus.settings import CorpusConfig
from unified_rl.corpus.shards import Index, read_pages
from unified_rl.corpus.urls import priorities, url_keys


@dataclass(frozen=True)
class Chosen:
    """positive, negative: bool [n] over the crawl. outside: bool [m] over seed pages from elsewhere, all positive."""

    positive: np.ndarray
    negative: np.ndarray
    outside: np.ndarray

    @property
    def positives(self) -> int:
        return int(self.positive.sum() + self.outside.sum())

    @property
    def negatives(self) -> int:
        return int(self.negative.sum())


def seed_is_a_list(seed: str) -> bool:
    """Whether the first seed names pages of the crawl, by their URLs, and does not bring pages of its own."""
    return seed.endswith(".txt")


def first_seed(config: CorpusConfig, index: Index, held_out: np.ndarray) -> np.ndarray:
    """The seed pages that are of the crawl: bool [n]; held-out pages and copies are left out.

    Raises:
        DataError: a list of which no page is in the crawl.
    """
    if not seed_is_a_list(config.data.seed):
        return np.zeros(len(index), bool)
    path = Path(config.data.seed)
    if not path.is_file():
        raise DataError(f"data.seed={path} does not exist; give a .txt of URLs of the crawl, or JSON lines of pages")
    urls = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    found = np.isin(index.keys, url_keys(urls)) & index.kept & ~held_out
    if not found.any():
        raise DataError(f"data.seed={path}: none of its {len(urls)} URLs is a page of data.path to train on; name others")
    return found


def choose(
    config: CorpusConfig, number: int, index: Index, seed: np.ndarray, held_out: np.ndarray, outside: Index | None
) -> Chosen:
    """The pages of round `number`: of each kind those with the lowest draws, so that more pages only add to fewer.

    Raises:
        DataError: there is no page of one of the kinds.
    """
    allowed = index.kept & ~held_out
    draw = derive_seed(config.seed, "positives")
    inside = np.flatnonzero(seed & allowed)
    own = outside.keys if outside is not None else np.zeros(0, np.uint64)
    drawn = np.concatenate([priorities(index.keys[inside], draw), priorities(own, draw)])
    first = np.argsort(drawn, kind="stable")[: config.recall.positives]
    positive, from_outside = np.zeros(len(index), bool), np.zeros(len(own), bool)
    positive[inside[first[first < len(inside)]]] = True
    from_outside[first[first >= len(inside)] - len(inside)] = True
    others = np.flatnonzero(allowed & ~seed)
    last = np.argsort(priorities(index.keys[others], derive_seed(config.seed, "negatives", number)), kind="stable")
    negative = np.zeros(len(index), bool)
    negative[others[last[: config.recall.negatives]]] = True
    chosen = Chosen(positive, negative, from_outside)
    if not chosen.positives or not chosen.negatives:
        kind = "positive" if not chosen.positives else "negative"
        raise DataError(f"round {number} has no {kind} page to train on; check data.seed and data.held_out")
    return chosen


def labelled(index: Index, chosen: Chosen, outside: Index | None) -> Iterator[tuple[bool, Page]]:
    """(positive, page) of all chosen pages, streamed in the order of pages."""
    if outside is not None:
        for place, shard in enumerate(outside.shards):
            yield from ((True, page) for page in read_pages(shard, outside.of_shard(chosen.outside, place)))
    for place, shard in enumerate(index.shards):
        mine = index.of_shard(chosen.positive, place)
        either = mine | index.of_shard(chosen.negative, place)
        yield from zip((bool(one) for one in mine[either]), read_pages(shard, either), strict=True)
