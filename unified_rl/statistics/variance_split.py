"""What the variance of an estimate over seeds is made of: other problems, other seeds of RL, other start policies.

An interval over problems and seeds (`statistics.intervals`) adds a part of the problems to one of the seeds; these are their
shares. Where seeds share several starts, the seeds' part is split once more, by the means of the seeds in a one-way analysis of
variance of starts (seeds of RL within them, in whatever numbers):

    sigma_start^2 = max(MS_between - MS_within, 0) / n0,    n0 = (S - sum n_g^2 / S) / (G - 1)

of which sigma_start^2 sum n_g^2 / S^2 is in the variance of the mean over S seeds, beside MS_within / S. With one start for all,
nothing is known of others. With a start for each seed a seed is start and RL together, and the seeds' part is of both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

COLUMNS = ("problems_part", "seeds_part", "starts_part")
HEADING = "variance %"
READING = f"{HEADING}: the share of the variance that comes from problems / seeds of RL / starts"


class OverSeeds(Protocol):
    """What an `intervals.Interval` says of its seeds."""

    @property
    def seed_share(self) -> float | None: ...

    @property
    def seed_means(self) -> tuple[float, ...]: ...


def columns(interval: OverSeeds, starts: Sequence[Hashable], prefix: str = "") -> dict[str, float | None]:
    """The shares, which sum to 1, under `COLUMNS`: None for what is not seen; all None over problems only.

    Args:
        starts: [S], which start each seed went out from. prefix: before the columns' names.
    """
    share = interval.seed_share
    if share is None:
        return {prefix + name: None for name in COLUMNS}
    of_starts = starts_share(interval.seed_means, starts)
    parts = (1 - share, share * (1 - (of_starts or 0.0)), None if of_starts is None else share * of_starts)
    return {prefix + name: part for name, part in zip(COLUMNS, parts, strict=True)}


def starts_share(seed_means: Sequence[float], starts: Sequence[Hashable]) -> float | None:
    """The starts' share of the variance of the mean over seeds, 0..1; None with one start, and with one for each seed."""
    counts = Counter(starts)
    num_seeds, num_starts = len(starts), len(counts)
    if num_starts < 2 or num_starts == num_seeds or len(seed_means) != num_seeds:
        return None
    means = pd.Series(list(seed_means)).groupby(list(map(str, starts)))
    sizes = np.array(list(counts.values()), dtype=float)
    within = float(((means.transform("mean") - list(seed_means)) ** 2).sum()) / (num_seeds - num_starts)
    between = float(((means.transform("mean") - np.mean(seed_means)) ** 2).sum()) / (num_starts - 1)
    size = (num_seeds - (sizes**2).sum() / num_seeds) / (num_starts - 1)
    of_starts = max(between - within, 0.0) / size * (sizes**2).sum() / num_seeds**2
    total = of_starts + within / num_seeds
    return float(of_starts / total) if total > 0 else 0.0


def in_words(row: Mapping[str, Any], prefix: str = "") -> str:
    """The shares of a row in percent, as printed tables and LaTeX have them: "38/62", with starts "38/50/12"; "-" for none."""
    parts = [row.get(prefix + name) for name in COLUMNS]
    return "/".join(f"{100 * part:.0f}" for part in parts if part is not None and not pd.isna(part)) or "-"
