"""Rows of tokens from token files: every row a function of (seed, number), so that ranks and a resumed run need no state.

Of each source an epoch is all of its documents in a random order, end to end, cut into rows of T + 1 tokens that overlap by one:
the last token of a row is the first of the next, so that each is predicted once. The rows of an epoch come in a random order too;
fewer than T tokens at its end, others in each epoch, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from unified_rl.base.errors import DataError
from unified_rl.base.rng import generator
from unified_rl.corpus.token_files import TokenFile
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.pretraining.blend import Blend


@dataclass(frozen=True)
class Row:
    """tokens: int64 [T + 1]. starts: int64, ascending: places in the row at which a document begins. source: its number."""

    source: int
    tokens: np.ndarray
    starts: np.ndarray

    def sequences(self, documents: str) -> list[TokenSequence]:
        """The row as what a trainer is given; its T tokens after the first are predicted once, whatever `documents` says.

        Args:
            documents: joined: one sequence. masked: one for each document, which begins with the token that ended the one before.
        """
        cuts = [0] if documents == "joined" else sorted({0, *(start - 1 for start in self.starts.tolist() if start)})
        bounds = zip(cuts, [*cuts[1:], len(self.tokens) - 1], strict=True)
        return [
            TokenSequence(self.tokens[first : first + 1], self.tokens[first + 1 : last + 1], f"row of source {self.source}")
            for first, last in bounds
            if last > first
        ]


@dataclass(frozen=True)
class _Order:
    """An epoch: its documents in order, int64 [N]; the tokens before each, int64 [N + 1]; the order of its rows, int64 [R]."""

    documents: np.ndarray
    before: np.ndarray
    rows: np.ndarray


class SourceRows:
    """The rows of one source, epoch after epoch.

    Args:
        name: names its random numbers, and errors. seed: of the run. context: T.

    Raises:
        DataError: it holds no whole row.
    """

    def __init__(self, name: str, files: Sequence[TokenFile], context: int, seed: int) -> None:
        self._name, self._files, self._context, self._seed = name, list(files), context, seed
        self._lengths = np.concatenate([file.lengths for file in files] or [np.zeros(0, np.int64)]).astype(np.int64)
        self._first = np.concatenate([[0], np.cumsum([len(file) for file in files])])
        self.tokens = int(self._lengths.sum())
        self.per_epoch = max(0, (self.tokens - 1) // context)
        if not self.per_epoch:
            raise DataError(
                f"source {name} holds {self.tokens} tokens, which is no row of {context + 1}; add text, or lower "
                "pretraining.context_tokens"
            )
        self._order = lru_cache(maxsize=2)(self._order_of)

    def row(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Row 0, 1, 2 ...: its tokens, int64 [T + 1], and where documents begin."""
        epoch, place = divmod(number, self.per_epoch)
        order = self._order(epoch)
        start = int(order.rows[place]) * self._context
        stop = start + self._context + 1
        at = int(np.searchsorted(order.before, start, "right")) - 1
        parts, starts = [], []
        while order.before[at] < stop:
            offset = int(order.before[at])
            if offset >= start:
                starts.append(offset - start)
            parts.append(self._document(int(order.documents[at]))[max(0, start - offset) : stop - offset])
            at += 1
            if at == len(order.documents):
                break
        return np.concatenate(parts).astype(np.int64), np.array(starts, dtype=np.int64)

    def _document(self, number: int) -> np.ndarray:
        file = int(np.searchsorted(self._first, number, "right")) - 1
        return self._files[file][number - int(self._first[file])]

    def _order_of(self, epoch: int) -> _Order:
        documents = generator(self._seed, f"pretraining/{self._name}/documents", epoch).permutation(len(self._lengths))
        rows = generator(self._seed, f"pretraining/{self._name}/rows", epoch).permutation(self.per_epoch)
        return _Order(documents, np.concatenate([[0], np.cumsum(self._lengths[documents])]), rows)


class RowMixture:
    """The rows of a weighted mix of sources."""

    def __init__(self, sources: Sequence[SourceRows], weights: Sequence[float]) -> None:
        self.sources, self._blend = list(sources), Blend(weights)

    def row(self, number: int) -> Row:
        """Row 0, 1, 2 ... of the mix."""
        source, place = self._blend.place(number)
        return Row(source, *self.sources[source].row(place))

    def counts(self, rows: int) -> np.ndarray:
        """How many of the first `rows` rows are each source's, int64 [S]."""
        return self._blend.counts(rows)

    def epochs(self, rows: int) -> np.ndarray:
        """How often the first `rows` rows go through each source, float64 [S]."""
        return self.counts(rows) / np.array([source.per_epoch for source in self.sources])


def token_files(path: Path, field: str) -> list[TokenFile]:
    """The token files at a path: an `.idx`, the stem of one, or all below a folder, in the order of their names.

    Raises:
        DataError: there is none, or one cannot be read.
    """
    if path.is_dir():
        found = sorted(path.rglob("*.idx"))
    else:
        found = [index for index in (path.with_suffix(".idx"), Path(f"{path}.idx")) if index.is_file()][:1]
    if not found:
        raise DataError(f"{field}={path} holds no token files (.bin and .idx); make them with `unified-rl corpus tokenise`")
    return [TokenFile(index.with_suffix("")) for index in found]
