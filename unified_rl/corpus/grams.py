"""What a gram is: the named normalisation of a text, and hashes of its n-grams.

The normalisation: NFKC; case folded; a gram is a run of letters, digits and marks, except that each Chinese, Japanese or Korean
character is its own; a LaTeX command is a gram by its name, its variants of one meaning are one (`\\dfrac`, `\\tfrac`: `frac`), and
those that only lay out (`\\left`, `\\quad`, `\\,`) are none. Punctuation, operators, braces and white space separate grams and are
none themselves.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003fa1f"
_GRAM = re.compile(rf"\\([a-z]+)|([{_CJK}])|((?:(?![{_CJK}_])\w)+)")
SAME = {
    "dfrac": "frac",
    "tfrac": "frac",
    "cfrac": "frac",
    "leq": "le",
    "geq": "ge",
    "neq": "ne",
    "cdotp": "cdot",
    "ldots": "dots",
}
LAYOUT = frozenset(
    [
        "left",
        "right",
        "big",
        "bigg",
        "bigl",
        "bigr",
        "displaystyle",
        "textstyle",
        "limits",
        "nolimits",
        "quad",
        "qquad",
        "hspace",
        "text",
        "mathrm",
        "textbf",
        "mathbf",
        "textit",
        "mbox",
        "begin",
        "end",
        "label",
        "tag",
        "hfill",
        "newline",
        "nonumber",
    ]
)
_BASE = 0x9E3779B97F4A7C15 | 1


def grams(text: str) -> list[str]:
    """The grams of a text, in order."""
    return [gram for gram, _ in placed_grams(normalised(text))]


def normalised(text: str) -> str:
    """A text in which grams are looked for: NFKC, case folded."""
    return unicodedata.normalize("NFKC", text).casefold()


def placed_grams(text: str) -> list[tuple[str, int]]:
    """(gram, where it begins) in a normalised text."""
    found = []
    for match in _GRAM.finditer(text):
        command = match[1]
        if command is None:
            found.append((match[0], match.start()))
        elif command not in LAYOUT:
            found.append((SAME.get(command, command), match.start()))
    return found


def gram_hashes(of: Sequence[str]) -> np.ndarray:
    """64-bit hashes of single grams: uint64 [n]."""
    from xxhash import xxh3_64_intdigest

    known: dict[str, int] = {gram: xxh3_64_intdigest(gram.encode("utf-8", "replace")) for gram in set(of)}
    return np.fromiter((known[gram] for gram in of), dtype=np.uint64, count=len(of))


def ngram_hashes(hashes: np.ndarray, n: int) -> np.ndarray:
    """Hashes of all runs of `n` grams: sum_j h[i+j] B^(n-1-j) mod 2^64, mixed; uint64 [max(len - n + 1, 0)]."""
    count = len(hashes) - n + 1
    if count <= 0:
        return np.zeros(0, dtype=np.uint64)
    total = np.zeros(count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for place in range(n):
            total = total * np.uint64(_BASE) + hashes[place : place + count]
        total ^= total >> np.uint64(32)
        return total * np.uint64(0xD6E8FEB86659FD93)
