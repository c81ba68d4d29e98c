"""Copies: pages whose URL, or a band of whose MinHash signature, an earlier page has. One sort per key and partition.

A page is dropped if any earlier page, itself dropped or not, shares a key. So the result depends neither on how pages lie in
shards nor on the number of partitions, and the first page of every group of copies is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unified_rl.corpus.extraction import Page
from unified_rl.corpus.grams import gram_hashes, grams, ngram_hashes
from unified_rl.corpus.settings import Duplicates
from unified_rl.corpus.urls import url_keys

_SEED = 1
_MIX = np.uint64(0x9E3779B97F4A7C15)


def page_keys(pages: Sequence[Page], settings: Duplicates) -> np.ndarray:
    """The keys of pages: uint64 [n, 1 + bands], that of the URL first."""
    if not pages:
        return np.zeros((0, 1 + settings.bands), np.uint64)
    return np.concatenate([url_keys([page.url for page in pages])[:, None], band_keys(pages, settings)], axis=1)


def band_keys(pages: Sequence[Page], settings: Duplicates) -> np.ndarray:
    """A key for each band of each page's MinHash signature: uint64 [n, bands]. Equal in all rows of a band, equal in its key."""
    from rensa import RMinHash

    sets = [shingles(page.text, settings.shingle) for page in pages]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in sets])]).astype(np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(sets), offsets, settings.permutations, _SEED)
    rows = np.array(matrix.to_rows(), dtype=np.uint64).reshape(len(pages), settings.bands, -1)
    keys = np.zeros(rows.shape[:2], np.uint64)
    with np.errstate(over="ignore"):
        for row in range(rows.shape[2]):
            keys = (keys ^ rows[:, :, row]) * _MIX
            keys ^= keys >> np.uint64(29)
    return keys


def shingles(text: str, n: int) -> np.ndarray:
    """Distinct hashes of a text's n-grams; of a shorter text that of all of it: uint64 [k], k at least 1."""
    hashes = gram_hashes(grams(text))
    return np.unique(ngram_hashes(hashes, min(n, len(hashes)))) if len(hashes) else np.zeros(1, np.uint64)


def copies(shards: Sequence[Path], partitions: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pages of all shards are copies of an earlier one: (by URL, by a band), each bool [pages].

    Memory: a key and a place (16 bytes) for each page of a partition, and 2 bytes for each page.
    """
    sizes = [len(np.load(shard / "tokens.npy", mmap_mode="r")) for shard in shards]
    width = np.load(shards[0] / "keys.npy", mmap_mode="r").shape[1]
    by_url, by_band = np.zeros(sum(sizes), bool), np.zeros(sum(sizes), bool)
    for column in range(width):
        for partition in range(partitions):
            _mark(by_band if column else by_url, shards, column, partition, partitions)
    return by_url, by_band


def _mark(copy: np.ndarray, shards: Sequence[Path], column: int, partition: int, partitions: int) -> None:
    """Mark the pages of one partition of the keys in one column that repeat an earlier page's key."""
    keys, places, start = [], [], 0
    for shard in shards:
        column_of_shard = np.array(np.load(shard / "keys.npy", mmap_mode="r")[:, column])
        mine = np.flatnonzero(column_of_shard % np.uint64(partitions) == partition)
        keys.append(column_of_shard[mine])
        places.append(mine + start)
        start += len(column_of_shard)
    every, where = np.concatenate(keys), np.concatenate(places)
    order = np.argsort(every, kind="stable")  # equal keys stay in the order of pages
    sorted_keys = every[order]
    copy[where[order[1:]][sorted_keys[1:] == sorted_keys[:-1]]] = True
