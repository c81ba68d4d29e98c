"""Fenced blocks, against patterns that say the same and are too slow for long texts."""

from __future__ import annotations

import random
import re

import pytest

from unified_rl.base.fences import closed_block, fences, whole_blocks

FENCE = re.compile(r"^[ \t]*```[ \t]*(\w*)[ \t]*$", re.MULTILINE)
BLOCK = re.compile(r"```python[ \t]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)
OUTPUT = re.compile(r"\n?^[ \t]*```output[ \t]*\n.*?^[ \t]*```[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
PIECES = [
    "```",
    "```python",
    "```output",
    "\n",
    "\n",
    " ",
    "\t",
    "x",
    "print(1)",
    "é",
    "_",
    "!",
    "so ```python\n",
    "\n```\n",
    "\n```output\n1\n```\n",
]


@pytest.mark.parametrize("seed", range(5))
def test_blocks_are_those_of_the_patterns(seed):
    draw = random.Random(seed)
    for _ in range(2000):
        text = "".join(draw.choices(PIECES, k=draw.randint(0, 14)))
        assert fences(text) == [(match.start(), match.end(), match[1]) for match in FENCE.finditer(text)], text
        block = BLOCK.search(text)
        assert closed_block(text, "python") == (block.span(1) if block else None), text
        assert whole_blocks(text, "output") == [match.span() for match in OUTPUT.finditer(text)], text
