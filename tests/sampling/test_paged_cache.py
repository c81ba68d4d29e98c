"""Pages of keys and values against a list of tokens per row, over random lives of rows."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.base.rng import generator
from unified_rl.sampling.fixed_shapes import CHUNK
from unified_rl.sampling.paged_cache import NO_PAGE, SPARE, PagedCache

LAYERS, HEADS, DIM = 2, 2, 3


class Life:
    """Rows as a decoder leads them, in a cache and as plain tokens: a token's keys are a number, its values the negative."""

    def __init__(self, seed: int) -> None:
        self.cache = PagedCache(LAYERS, HEADS, DIM, torch.empty(0))
        self.rows: list[list[float]] = []  # by row its tokens, the last one still to be written
        self.numbers = generator(seed, "life")

    def seat(self, lengths: list[int], padded: int, copies: int) -> None:
        """Start rows, `copies` of each prompt, whose prefilled keys and values are padded with numbers of nobody."""
        found = self.numbers.normal(size=(len(lengths), padded))
        first, padding = len(self.rows), -(-(len(self.rows) + len(lengths) * copies) // 16) * 16
        self.cache.fit(padding, max(self.cache.length, padded))
        kv = torch.from_numpy(found).float()[:, None, :, None].expand(-1, HEADS, -1, DIM)
        prompts = np.repeat(np.arange(len(lengths)), copies)
        if padded:
            pairs = [(kv + layer, -kv - layer) for layer in range(LAYERS)]
            self.cache.load(np.arange(first, first + len(prompts)), pairs, prompts)
        self.rows += [[*found[prompt, : lengths[prompt]], 0.0] for prompt in prompts]

    def step(self, fillers: int) -> None:
        """Write a token in each row, and look at all of them. Rows at position 0 fill up the step."""
        active = len(self.rows)
        positions = np.array([len(row) - 1 for row in self.rows] + [0] * fillers)
        self.cache.fit(active + fillers, positions.max() + 1)
        pages = self.cache.pages(positions)
        written = torch.from_numpy(self.numbers.normal(size=active)).float()
        page = pages.table[torch.arange(active), torch.from_numpy(positions[:active]) // CHUNK]
        for layer in range(LAYERS):
            new = (written + layer)[:, None, None].expand(-1, HEADS, DIM)
            pages.keys[layer][page, :, positions[:active] % CHUNK] = new
            pages.values[layer][page, :, positions[:active] % CHUNK] = -new
        for row, number in zip(self.rows, written.tolist(), strict=True):
            row[-1] = number
        self.look(pages, positions)
        for row in self.rows:
            row.append(0.0)

    def look(self, pages, positions) -> None:
        table, held = pages.table.numpy(), pages.table.numpy() != NO_PAGE
        assert held.sum(axis=1).tolist() == (positions // CHUNK + 1).tolist()
        row, chunk = np.nonzero(held)
        page = table[row, chunk]
        assert len(set(page.tolist())) == len(page), "a page is held twice"
        assert (pages.rows.numpy()[page] == row).all() and (pages.chunks.numpy()[page] == chunk).all()
        assert (pages.visible.numpy()[page] == np.minimum(positions[row] + 1 - CHUNK * chunk, CHUNK)).all()
        assert pages.visible[NO_PAGE] == 0 and not pages.keys[0][NO_PAGE].any() and not pages.values[0][NO_PAGE].any()
        assert all(book.min() >= 0 for book in pages[2:]) and pages.rows.max() < len(positions)
        assert len(pages.rows) - 1 - len(page) <= len(pages.rows) / SPARE + 1, "too many pages are nobody's"
        keys = torch.stack(pages.keys)
        assert (keys == keys[:, :, :1, :, :1]).all() and (torch.stack(pages.values) == -keys).all()
        slots, layers = keys[:, :, 0, :, 0].numpy(), np.arange(LAYERS, dtype=np.float32)[:, None]
        for pages_of_row, tokens in zip(table, self.rows, strict=False):
            found = slots[:, pages_of_row].reshape(LAYERS, -1)[:, : len(tokens)]
            assert np.array_equal(found, np.float32(tokens) + layers)

    def branch(self, parents: np.ndarray) -> None:
        """Copies of some rows, at the end of the others."""
        new = np.arange(len(self.rows), len(self.rows) + len(parents))
        self.cache.fit(-(-(len(self.rows) + len(parents)) // 16) * 16, self.cache.length)
        self.cache.copy(parents, new)
        self.rows += [list(self.rows[parent]) for parent in parents]

    def end(self, ended: np.ndarray) -> None:
        """Fill the rows that ended with the last ones that did not."""
        remaining = len(self.rows) - len(ended)
        target, source = ended[ended < remaining], np.setdiff1d(np.arange(remaining, len(self.rows)), ended)
        if len(target):
            self.cache.move(source, target)
        for old, new in zip(source, target, strict=True):
            self.rows[new] = self.rows[old]
        del self.rows[remaining:]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_row_finds_its_own_tokens_however_rows_come_and_go(seed):
    life = Life(seed)
    numbers = life.numbers
    for _ in range(int(numbers.integers(2, 6))):
        padded = 16 * int(numbers.integers(0, 6))
        prompts = int(numbers.integers(1, 4))
        lengths = numbers.integers(max(0, padded - 15), padded + 1, size=prompts).tolist()
        life.seat(lengths, padded, int(numbers.integers(1, 4)))
        for _ in range(int(numbers.integers(1, 40))):
            life.step(int(-len(life.rows) % 16))
            ended = np.flatnonzero(numbers.random(len(life.rows)) < 0.04)
            life.end(ended[: len(life.rows) - 1])
            life.branch(
                numbers.integers(len(life.rows), size=numbers.integers(0, 3)) if len(life.rows) < 40 else np.zeros(0, int)
            )


def test_what_a_row_holds_is_given_back_when_it_becomes_a_filler():
    life = Life(0)
    life.seat([80] * 4, 80, 4)
    life.step(0)
    life.end(np.arange(15))
    pages = life.cache.pages(np.array([81] + [0] * 15))
    assert (pages.table != NO_PAGE).sum(dim=1).tolist() == [3] + [1] * 15
    assert len(pages.rows) == 1 + 3 + 15, "the pool is closed up"


def test_new_pages_are_zero():
    """A hidden slot is multiplied by zero, and 0 * NaN is NaN. Deterministic mode fills uninitialised memory with NaN."""
    cache = PagedCache(1, HEADS, DIM, torch.empty(0))
    cache.fit(16, CHUNK)
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(0).new_empty(4).isnan().all()
        pages = cache.pages(np.zeros(16, dtype=np.int64))
    finally:
        torch.use_deterministic_algorithms(False)
    assert len(pages.rows) == 17 and not any(pool.any() or pool.isnan().any() for pool in pages.keys + pages.values)
