"""A file of lines in a random order that is a function of a seed, in little memory: divided into buckets, each shuffled."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from unified_rl.base import files
from unified_rl.base.rng import generator

BUCKETS = 64


def write_shuffled(lines: Iterable[str], path: Path, seed: int) -> int:
    """Write lines to a file in random order; how many there were. Memory: one bucket, about a 64th of the text."""
    folder = path.with_name(f".{path.name}.buckets")
    files.remove(folder)  # what a killed attempt left
    folder.mkdir(parents=True)
    draw = generator(seed, "shuffling, buckets")
    count = 0
    with contextlib.ExitStack() as stack:
        buckets = [
            stack.enter_context((folder / str(place)).open("w", encoding="utf-8", newline="\n")) for place in range(BUCKETS)
        ]
        for line in lines:
            buckets[int(draw.integers(BUCKETS))].write(line)
            count += 1
    with files.replacing(path) as aside, aside.open("w", encoding="utf-8", newline="\n") as out:
        for place in range(BUCKETS):
            with (folder / str(place)).open(encoding="utf-8", newline="\n") as bucket:
                of_bucket = bucket.readlines()
            order: np.ndarray = generator(seed, "shuffling, order", place).permutation(len(of_bucket))
            out.writelines(of_bucket[at] for at in order)
    files.remove(folder)
    return count
