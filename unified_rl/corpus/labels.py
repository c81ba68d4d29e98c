"""Labels of pages where they are known, the held-out half, and precision and recall on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unified_rl.base.errors import DataError
from unified_rl.base.rng import derive_seed
from unified_rl.corpus.shards import Index
from unified_rl.corpus.urls import below, url_keys

UNKNOWN = -1


def read_labels(path: Path, index: Index) -> np.ndarray:
    """The label of each page: int8 [n], 1 wanted, 0 not, -1 unknown.

    Args:
        path: a .tsv, a line per page: URL and 1 or 0.

    Raises:
        DataError: a line of another form (naming it), or none of a page of the crawl.
    """
    if not path.is_file():
        raise DataError(f"data.labels={path} does not exist; give a .tsv of URL and 1 or 0")
    urls, values = [], []
    with path.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            url, tab, value = line.rstrip("\r\n").partition("\t")
            if not tab or value not in ("0", "1"):
                raise DataError(f"{path}, line {number}: a label is a URL, a tab, and 1 or 0; mend the line")
            urls.append(url)
            values.append(int(value))
    found = np.full(len(index), UNKNOWN, np.int8)
    keys, marks = url_keys(urls), np.array(values, np.int8)
    order = np.argsort(keys, kind="stable")
    places = np.minimum(np.searchsorted(keys[order], index.keys), max(len(keys) - 1, 0))
    known = keys[order][places] == index.keys if len(keys) else np.zeros(len(index), bool)
    found[known] = marks[order][places][known]
    if not known.any():
        raise DataError(f"data.labels={path} labels no page of data.path; its URLs must be those of the crawl")
    return found


def held_out(index: Index, share: float, seed: int) -> np.ndarray:
    """Which pages are never trained on nor marked: bool [n], drawn by their URLs."""
    return below(index.keys, share, derive_seed(seed, "held out"))


def quality(collected: np.ndarray, labels: np.ndarray, measured: np.ndarray) -> Mapping[str, Any]:
    """Precision and recall of the collected pages among those that are measured and labelled.

    Args:
        collected, measured: bool [n]. labels: int8 [n].

    Returns:
        precision and recall (None without a page to divide by), and the counts that they are made of.
    """
    known = measured & (labels != UNKNOWN)
    wanted, kept = known & (labels == 1), known & collected
    both = int((wanted & kept).sum())
    return {
        "wanted": int(wanted.sum()),
        "kept": int(kept.sum()),
        "kept and wanted": both,
        "precision": both / int(kept.sum()) if kept.any() else None,
        "recall": both / int(wanted.sum()) if wanted.any() else None,
    }
