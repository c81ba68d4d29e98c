"""Times of the exact estimators at evaluation size, on one core. `unified-rl bench statistics`

1,024 samples of 5,000 problems, every K a power of two. Two kinds of answer counts:

- *heavy-tailed*: the right answer's share is expit(Normal(-0.5, 2)); the rest of the mass is Zipf over 200 wrong answers with an
  exponent drawn uniformly from 0.5..1.5 per problem. That gives up to 200 distinct answers per problem; the numbers are printed.
- *tiny world*: the counts of `statistics/results/tiny_world.parquet` (64 samples per problem), continued to 1,024 samples: a
  further sample repeats an earlier one in proportion, or, with the chance that Good and Turing give (the share of answers seen
  once), is an answer not seen before.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial

# Before NumPy is loaded: its linear algebra must not use a second core.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402
from scipy.special import expit  # noqa: E402

from unified_rl.statistics.best_of_k import best_of_k  # noqa: E402
from unified_rl.statistics.counts import SHIPPED, read_counts  # noqa: E402
from unified_rl.statistics.maj_at_k import maj_at_k  # noqa: E402
from unified_rl.statistics.pass_at_k import pass_at_k  # noqa: E402

Counts = np.ndarray | list[list[int]]

NUM_SAMPLES = 1024
NUM_WRONG = 200


def heavy_tailed_counts(num_problems: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Class counts [P, 201], the right answer's class first, and its place [P]."""
    counts = np.zeros((num_problems, 1 + NUM_WRONG), dtype=np.int64)
    for row, right in zip(counts, expit(rng.normal(-0.5, 2.0, num_problems)), strict=True):
        wrong = np.arange(1, NUM_WRONG + 1) ** -rng.uniform(0.5, 1.5)
        row[:] = rng.multinomial(NUM_SAMPLES, np.append(right, (1 - right) * wrong / wrong.sum()))
    return counts, np.zeros(num_problems, dtype=np.int64)


def tiny_world_counts(num_problems: int, rng: np.random.Generator) -> tuple[list[list[int]], np.ndarray]:
    """Class counts of the shipped evaluation's problems, drawn with replacement and continued to `NUM_SAMPLES`."""
    cells, _ = read_counts(SHIPPED)
    seen = [
        (counts, correct, scores.num_samples)
        for cell in cells
        for scores in cell.scores.values()
        for counts, correct in zip(scores.class_counts, scores.correct_class.tolist(), strict=True)
        if counts
    ]
    rows, places = [], []
    for choice in rng.integers(len(seen), size=num_problems):
        counts, correct, drawn = seen[choice]
        new = counts.count(1) / drawn
        shares = np.append((1 - new) * np.array(counts) / sum(counts), new)
        more = rng.multinomial(NUM_SAMPLES - sum(counts), shares)
        rows.append([*(np.array(counts) + more[:-1]).tolist(), *[1] * int(more[-1])])
        places.append(correct)
    return rows, np.array(places)


def main(num_problems: int = 5000) -> dict[str, float]:
    """Print the times; the sums by name."""
    figures = {}
    rng = np.random.default_rng(0)
    ks = [2**i for i in range(NUM_SAMPLES.bit_length())]
    print(f"{NUM_SAMPLES} samples x {num_problems} problems, one core")
    worlds: dict[str, tuple[Counts, np.ndarray]] = {
        "heavy-tailed": heavy_tailed_counts(num_problems, rng),
        "tiny world": tiny_world_counts(num_problems, rng),
    }
    for name, (counts, correct) in worlds.items():
        distinct = np.array([np.count_nonzero(row) for row in counts])
        right = np.array([row[place] if place >= 0 else 0 for row, place in zip(counts, correct, strict=True)])
        print(f"\n{name}: {np.median(distinct):.0f} distinct answers per problem (median), at most {distinct.max()}")
        seconds, _ = timed(partial(pass_at_k, NUM_SAMPLES, right[:, None], ks))
        print(f"  Pass@K, K = 1, 2, 4, ..., {ks[-1]}: {seconds:.2f} s")
        figures[f"{name}, Pass@K seconds"] = seconds
        total = 0.0
        for k, seconds in maj_times(counts, correct, ks):
            total += seconds
            print(f"  Maj@{k:<5} {seconds:7.2f} s   all K up to it: {total:7.2f} s", flush=True)
        figures[f"{name}, Maj@K seconds"] = total
    scores = rng.standard_normal((num_problems, NUM_SAMPLES))
    seconds, _ = timed(lambda: best_of_k(scores, scores + rng.standard_normal(scores.shape) > 0, ks))
    print(f"\nbest-of-K, K = 1, 2, 4, ..., {ks[-1]}: {seconds:.2f} s")
    return figures | {"best-of-K seconds": seconds}


def maj_times(counts: Counts, correct: np.ndarray, ks: list[int]) -> Iterator[tuple[int, float]]:
    """Seconds of Maj@K at each K by itself (nothing is kept from one K to the next)."""
    for k in ks:
        seconds, values = timed(partial(maj_at_k, counts, correct, k))
        assert ((values >= 0) & (values <= 1)).all()
        yield k, seconds


def timed(work: Callable[[], np.ndarray | float]) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, np.asarray(result)
