"""What worlds that make their problems share: a problem's name and split by its content, and the lines of a response."""

from __future__ import annotations

import hashlib

from unified_rl.base.types import Split

VALIDATION_FRACTION, TEST_FRACTION = 0.1, 0.1


def digest(content: str) -> str:
    """The name of what makes two problems the same: 16 hexadecimal digits."""
    return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()


def split_of(content: str) -> Split:
    """The split of a problem, by its content alone: no problem is in two splits, whatever the seed."""
    place = int(digest(content), 16) / 2**64
    if place < TEST_FRACTION:
        return "test"
    return "validation" if place < TEST_FRACTION + VALIDATION_FRACTION else "train"


def lines_of(text: str) -> list[tuple[int, str]]:
    """The non-blank lines, stripped, each with the end of its line in `text` (line break included)."""
    lines, end = [], 0
    for raw in text.split("\n"):
        end = min(end + len(raw) + 1, len(text))
        if line := raw.strip():
            lines.append((end, line))
    return lines
