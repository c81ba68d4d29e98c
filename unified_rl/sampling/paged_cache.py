"""Keys and values of the sequences that the lean decoder is decoding: pages of `CHUNK` tokens, as many as each sequence has.

Token t of a sequence lies in slot t % CHUNK of the page of its chunk t // CHUNK. Pages lie in one pool per layer, in whatever
order they were taken, and attention is over the pool: a product per page and head, whoever the page belongs to. So no sequence
pays for another's length, a row is handed to another sequence, or moved, without a copy, and growth adds pages to the pool.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from unified_rl.sampling.fixed_shapes import CHUNK

NO_PAGE = 0
"""The page that stands where a row has none: zeros that are hidden from everybody."""

SPARE = 8
"""Pages that nobody holds are left in the pool up to one in so many: they are read at every step, and to fill a gap is a copy."""


class Pages(NamedTuple):
    """Where a step finds its keys and values. B rows hold pages of the first P; C is the most that a row holds.

    Attributes:
        keys, values: per layer [P, kv_heads, CHUNK, head_dim], contiguous.
        table: int64 [B, C], the page of each row's chunk, NO_PAGE behind its last one.
        rows, chunks: int64 [P], whose page it is, and which chunk; those of any other page for one that nobody holds.
        visible: int64 [P], the slots of a page that are in use.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    table: torch.Tensor
    rows: torch.Tensor
    chunks: torch.Tensor
    visible: torch.Tensor


class PagedCache:
    """The pools of all layers, and who holds which page. Rows hold the chunks up to the one that they write, and no others."""

    def __init__(self, layers: int, heads: int, dim: int, like: torch.Tensor) -> None:
        """
        Args:
            heads, dim: heads of keys and values, and their width. like: a tensor of their dtype and device.
        """
        self._pools = [like.new_zeros(1, heads, CHUNK, dim) for _ in range(2 * layers)]  # keys and values, layer by layer
        self._table = np.full((0, 1), NO_PAGE, dtype=np.int64)
        self._held = np.zeros(0, dtype=np.int64)  # chunks of each row
        self._rows, self._chunks = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)  # of each page
        self._used = 1  # pages behind these were not taken yet
        self._free: list[int] = []  # of those in front

    @property
    def length(self) -> int:
        """Tokens that a row has room for without `fit`."""
        return self._table.shape[1] * CHUNK

    def fit(self, rows: int, length: int) -> None:
        """Make room for `rows` sequences of `length` tokens in the books; pages are taken as they are written."""
        more_rows, more_chunks = max(0, rows - len(self._held)), max(0, -(-length // CHUNK) - self._table.shape[1])
        if more_rows or more_chunks:
            self._table = np.pad(self._table, ((0, more_rows), (0, more_chunks)), constant_values=NO_PAGE)
            self._held = np.pad(self._held, (0, more_rows))

    def load(self, rows: np.ndarray, prompt_kv: list[tuple[torch.Tensor, torch.Tensor]], prompts: np.ndarray) -> None:
        """Start row `rows[i]` with entry `prompts[i]` of the prefilled keys and values, one pair per layer."""
        length, device = prompt_kv[0][0].shape[2], self._pools[0].device
        for held in (0, -(-length // CHUNK)):
            wanted = self._held.copy()
            wanted[rows] = held
            self._hold(wanted)
        pick = torch.from_numpy(prompts).to(device)
        for chunk, start in enumerate(range(0, length, CHUNK)):
            pages, end = torch.from_numpy(self._table[rows, chunk]).to(device), min(start + CHUNK, length)
            for pool, found in zip(self._pools, (each for pair in prompt_kv for each in pair), strict=True):
                pool[pages, :, : end - start] = found[pick, :, start:end]

    def copy(self, source: np.ndarray, target: np.ndarray) -> None:
        """Give the rows `target` copies of what the rows `source` hold."""
        for held in (np.zeros_like(source), self._held[source]):
            wanted = self._held.copy()
            wanted[target] = held
            self._hold(wanted)
        within = np.arange(self._table.shape[1]) < self._held[source][:, None]
        old, new = (torch.from_numpy(self._table[rows][within]).to(self._pools[0].device) for rows in (source, target))
        for pool in self._pools:
            pool.index_copy_(0, new, pool.index_select(0, old))

    def move(self, source: np.ndarray, target: np.ndarray) -> None:
        """Give what the rows `source` hold to the rows `target`."""
        wanted = self._held.copy()
        wanted[target] = 0
        self._hold(wanted)
        self._table[target], self._held[target] = self._table[source], self._held[source]
        self._table[source], self._held[source] = NO_PAGE, 0
        pages = self._table[target]
        self._rows[pages] = target[:, None]
        self._rows[NO_PAGE] = 0

    def pages(self, positions: np.ndarray) -> Pages:
        """Where the first rows find theirs, which write a token each at `positions` (int64 [B]). Others lose what they hold."""
        wanted = np.zeros_like(self._held)
        wanted[: len(positions)] = positions // CHUNK + 1
        if not np.array_equal(wanted, self._held):
            self._hold(wanted)
        self._close_gaps()
        used = self._used
        rows, chunks = self._rows[:used], self._chunks[:used]
        visible = np.clip(positions[rows] + 1 - CHUNK * chunks, 0, CHUNK)
        visible[NO_PAGE] = 0
        table = np.ascontiguousarray(self._table[: len(positions), : wanted.max()])
        books = (torch.from_numpy(book).to(self._pools[0].device) for book in (table, rows, chunks, visible))
        pools = [pool[:used] for pool in self._pools]
        return Pages(pools[::2], pools[1::2], *books)

    def _hold(self, wanted: np.ndarray) -> None:
        """Let each row hold as many chunks as `wanted` [rows] says, giving back its last ones or taking pages for more."""
        chunk = np.arange(self._table.shape[1])
        within, had = chunk < wanted[:, None], chunk < self._held[:, None]
        given = had & ~within
        pages = self._table[given]
        self._free.extend(pages.tolist())
        self._rows[pages] = self._chunks[pages] = 0
        self._table[given] = NO_PAGE
        rows, chunks = np.nonzero(within & ~had)
        pages = self._take(len(rows))
        self._table[rows, chunks], self._rows[pages], self._chunks[pages] = pages, rows, chunks
        self._held = wanted

    def _take(self, count: int) -> np.ndarray:
        """Pages that nobody holds: those given back, then ones that the pool has not seen yet."""
        reused = min(count, len(self._free))
        pages = [self._free.pop() for _ in range(reused)] + list(range(self._used, self._used + count - reused))
        self._used += count - reused
        if self._used > len(self._rows):
            self._grow(2 * self._used)
        return np.array(pages, dtype=np.int64)

    def _grow(self, pages: int) -> None:
        """Have `pages` in the pools. New ones are zero, for a hidden slot is multiplied by zero, and 0 * NaN is NaN."""
        present = len(self._rows)
        for place, pool in enumerate(self._pools):
            self._pools[place] = pool.new_empty(pages, *pool.shape[1:])
            self._pools[place][:present] = pool
            self._pools[place][present:] = 0
        self._rows, self._chunks = (np.pad(book, (0, pages - present)) for book in (self._rows, self._chunks))

    def _close_gaps(self) -> None:
        """Where too many pages are nobody's, fill their places with the last ones that are somebody's."""
        if len(self._free) * SPARE <= self._used:
            return
        held = np.ones(self._used, dtype=bool)
        held[self._free] = False
        count = self._used - len(self._free)
        (gaps,), last = np.nonzero(~held[:count]), count + np.nonzero(held[count:])[0]
        into, out = (torch.from_numpy(pages).to(self._pools[0].device) for pages in (gaps, last))
        for pool in self._pools:
            pool.index_copy_(0, into, pool.index_select(0, out))
        rows, chunks = self._rows[last], self._chunks[last]
        self._rows[gaps], self._chunks[gaps], self._table[rows, chunks] = rows, chunks, gaps
        self._used, self._free = count, []
