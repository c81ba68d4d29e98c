"""The domain rule: of which domains enough pages were kept, and the URL paths of those that a person is asked about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from unified_rl.corpus.settings import Annotation
from unified_rl.corpus.shards import Index, read_urls
from unified_rl.corpus.urls import domain, path_prefix

#: URLs that a person sees of a path.
EXAMPLES = 3


@dataclass
class Count:
    """Of a domain or path. pages: not copies. kept: in this round. wanted, labelled: where labels are known. examples: URLs."""

    pages: int = 0
    kept: int = 0
    wanted: int = 0
    labelled: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Of its pages that were kept."""
        return self.kept / self.pages


def domain_counts(index: Index, collected: np.ndarray, counted: np.ndarray) -> dict[str, Count]:
    """Domain -> counts, in the order of names. counted: bool [n], the pages that count."""
    found: dict[str, Count] = {}
    for number, url in _urls(index, counted):
        one = found.setdefault(domain(url), Count())
        one.pages += 1
        one.kept += bool(collected[number])
    return dict(sorted(found.items()))


def chosen_domains(counts: dict[str, Count], share: float) -> set[str]:
    """Domains of which more than `share` of the pages were kept (the paper: 10 %)."""
    return {name for name, one in counts.items() if one.share > share}


def path_counts(
    index: Index, collected: np.ndarray, counted: np.ndarray, labels: np.ndarray, domains: set[str], settings: Annotation
) -> dict[str, Count]:
    """Path prefix -> counts, for the chosen domains' paths that hold pages which were not kept; those with most of them first."""
    found: dict[str, Count] = {}
    for number, url in _urls(index, counted):
        if domain(url) in domains:
            one = found.setdefault(path_prefix(url, settings.depth), Count())
            one.pages += 1
            one.kept += bool(collected[number])
            one.wanted += labels[number] == 1
            one.labelled += labels[number] >= 0
            if len(one.examples) < EXAMPLES and not collected[number]:
                one.examples.append(url)
    left = sorted(
        (name for name, one in found.items() if one.kept < one.pages), key=lambda name: found[name].kept - found[name].pages
    )
    return {name: found[name] for name in left[: settings.most]}


def below_marked(index: Index, marked: set[str], depth: int) -> np.ndarray:
    """Which pages lie under marked prefixes: bool [n]."""
    found = np.zeros(len(index), bool)
    for number, url in _urls(index, np.ones(len(index), bool)):
        found[number] = path_prefix(url, depth) in marked
    return found


def _urls(index: Index, counted: np.ndarray) -> Iterator[tuple[int, str]]:
    for place, shard in enumerate(index.shards):
        start = int(index.starts[place])
        for at, url in enumerate(read_urls(shard)):
            if counted[start + at]:
                yield start + at, url
