"""Megatron's indexed datasets: `.bin` holds the tokens of all documents in a row, `.idx` says where each begins.

Layout of `.idx` (Megatron-LM, `indexed_dataset.py`): 9 bytes "MMIDIDX\\0\\0"; version 1 as uint64; the code of the tokens' type,
one byte; numbers of sequences and of document bounds as uint64; lengths, int32; byte offsets, int64; document bounds, int64.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from unified_rl.base.errors import DataError

_MAGIC = b"MMIDIDX\x00\x00"
_CODES: dict[int, np.dtype[Any]] = {8: np.dtype("<u2"), 4: np.dtype("<i4")}
#: Of larger vocabularies a token takes four bytes; Megatron's own bound.
_SHORT_VOCABULARY = 65500


class TokenWriter:
    """Writes documents one after another. `close` writes the index. Memory: 4 bytes a document."""

    def __init__(self, stem: Path, vocabulary: int) -> None:
        self.stem = stem
        self.code = 8 if vocabulary < _SHORT_VOCABULARY else 4
        self._lengths: list[int] = []
        self._file = stem.with_suffix(".bin").open("wb")

    def add(self, ids: list[int]) -> None:
        """Append a document."""
        self._file.write(np.array(ids, dtype=_CODES[self.code]).tobytes())
        self._lengths.append(len(ids))

    def close(self) -> None:
        """Write the index."""
        self._file.close()
        lengths = np.array(self._lengths, dtype="<i4")
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])[:-1] * _CODES[self.code].itemsize
        with self.stem.with_suffix(".idx").open("wb") as file:
            file.write(_MAGIC + struct.pack("<QBQQ", 1, self.code, len(lengths), len(lengths) + 1))
            file.write(lengths.tobytes() + offsets.astype("<i8").tobytes() + np.arange(len(lengths) + 1, dtype="<i8").tobytes())


class TokenFile:
    """Documents of a pair of files, by number, over a memory map.

    Args:
        stem: the path without `.bin` and `.idx`.

    Raises:
        DataError: one is missing, or they do not fit together.
    """

    def __init__(self, stem: Path) -> None:
        index, data = stem.with_suffix(".idx"), stem.with_suffix(".bin")
        try:
            head = index.read_bytes()
            if head[:9] != _MAGIC:
                raise ValueError("it does not begin as an index does")
            version, code, count, bounds = struct.unpack_from("<QBQQ", head, 9)
            if version != 1 or code not in _CODES or len(head) != 34 + 12 * count + 8 * bounds:
                raise ValueError("another version, type of tokens or length")
            self.lengths = np.frombuffer(head, "<i4", count, 34)
            self._offsets = np.frombuffer(head, "<i8", count, 34 + 4 * count)
            self._type = _CODES[code]
            size = int(self.lengths.sum(dtype=np.int64)) * self._type.itemsize
            if data.stat().st_size != size:
                raise ValueError(f"{data.name} has {data.stat().st_size} bytes, and {size} are indexed")
            self._tokens = np.memmap(data, self._type, "r") if size else np.zeros(0, self._type)
        except (OSError, ValueError, struct.error) as error:
            raise DataError(f"{index}: not a readable index of tokens ({error}); tokenise again") from error

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> np.ndarray:
        """The token ids of a document, int [length]."""
        start = int(self._offsets[number]) // self._type.itemsize
        return self._tokens[start : start + int(self.lengths[number])]
