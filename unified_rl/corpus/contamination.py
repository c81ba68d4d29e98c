"""The paper's rule of decontamination: segments that hold a benchmark's 10-gram go, pages that hold a shorter benchmark text go.

Grams are those of `grams.py`. A page's grams are one sequence, so that a run over several segments is found; every segment that it
touches is dropped. What is left is looked at again, since segments that were apart are neighbours now, until nothing is found.
A hash only proposes; the grams themselves are compared before anything is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from unified_rl.corpus.benchmark_texts import BenchmarkText
from unified_rl.corpus.grams import gram_hashes, grams, ngram_hashes
from unified_rl.corpus.settings import Decontamination

_SPLITS = {"line": re.compile("\n"), "paragraph": re.compile("\n[ \t]*\n")}
_JOINS = {"line": "\n", "paragraph": "\n\n"}


@dataclass(frozen=True)
class Hit:
    """Why something was dropped. rule: "run" (a segment) or "whole text" (the page). grams: what both hold. benchmark, part: where
    it stands there first. segment: what was dropped, its beginning; of a page, that of the segment in which the text begins."""

    rule: str
    grams: str
    benchmark: str
    part: str
    segment: str


@dataclass(frozen=True)
class _Table:
    """Benchmark n-grams of one length, by hash. hashes: uint64 [m], sorted. texts, starts: int64 [m], where each one stands."""

    hashes: np.ndarray
    texts: np.ndarray
    starts: np.ndarray


class BenchmarkIndex:
    """The grams of benchmark texts, to be looked for in pages.

    Args:
        texts: of the benchmarks. Texts of fewer than `settings.shortest` grams are left out.
    """

    def __init__(self, texts: Sequence[BenchmarkText], settings: Decontamination) -> None:
        self.settings, self.texts = settings, texts
        self._grams = [grams(text.text) for text in texts]
        hashed = [gram_hashes(one) for one in self._grams]
        long = [at for at, one in enumerate(self._grams) if len(one) >= settings.grams]
        self._runs = _table([(at, ngram_hashes(hashed[at], settings.grams)) for at in long])
        self._whole = {
            length: _table([(at, ngram_hashes(hashed[at], length)) for at, one in enumerate(self._grams) if len(one) == length])
            for length in range(settings.shortest, settings.grams)
        }
        self.unused = sum(len(one) < settings.shortest for one in self._grams)

    def clean(self, text: str) -> tuple[str | None, list[Hit]]:
        """A page without its contaminated segments, and why each was dropped; None for a page that goes as a whole."""
        segments = _SPLITS[self.settings.segment].split(text)
        held = [grams(segment) for segment in segments]
        hits: list[Hit] = []
        while True:
            whole, bad = self._look(segments, held)
            if whole:
                return None, [*hits, whole]
            if not bad:
                return _JOINS[self.settings.segment].join(segments), hits
            hits += bad.values()
            segments = [segment for at, segment in enumerate(segments) if at not in bad]
            held = [one for at, one in enumerate(held) if at not in bad]

    def _look(self, segments: Sequence[str], held: Sequence[list[str]]) -> tuple[Hit | None, dict[int, Hit]]:
        """A text that the page holds as a whole, and segments that hold part of a long run: number -> why."""
        sequence = [gram for one in held for gram in one]
        hashes = gram_hashes(sequence)
        owner = np.repeat(np.arange(len(held)), [len(one) for one in held])
        for length, table in self._whole.items():
            for at, text, _ in self._found(sequence, hashes, length, table):
                return self._hit("whole text", sequence[at : at + length], text, segments[owner[at]]), {}
        bad: dict[int, Hit] = {}
        n = self.settings.grams
        for at, text, _ in self._found(sequence, hashes, n, self._runs):
            for segment in range(owner[at], owner[at + n - 1] + 1):
                bad.setdefault(int(segment), self._hit("run", sequence[at : at + n], text, segments[segment]))
        return None, bad

    def _found(self, sequence: list[str], hashes: np.ndarray, n: int, table: _Table) -> Iterator[tuple[int, int, int]]:
        """(place in the page, number of the benchmark text, place in it) of n-grams that both hold."""
        mine = ngram_hashes(hashes, n)
        if not len(mine) or not len(table.hashes):
            return
        places = np.minimum(np.searchsorted(table.hashes, mine), len(table.hashes) - 1)
        for at in np.flatnonzero(table.hashes[places] == mine):
            text, start = int(table.texts[places[at]]), int(table.starts[places[at]])
            if self._grams[text][start : start + n] == sequence[at : at + n]:
                yield int(at), text, start

    def _hit(self, rule: str, run: list[str], text: int, segment: str) -> Hit:
        return Hit(rule, " ".join(run), self.texts[text].id, self.texts[text].part, segment[:300])


def _table(rows: Sequence[tuple[int, np.ndarray]]) -> _Table:
    """The table of n-grams from (number of a text, hashes of its n-grams); of equal ones the first."""
    if not rows:
        nothing = np.zeros(0, np.int64)
        return _Table(np.zeros(0, np.uint64), nothing, nothing)
    hashes = np.concatenate([one for _, one in rows])
    texts = np.repeat([at for at, _ in rows], [len(one) for _, one in rows])
    starts = np.concatenate([np.arange(len(one)) for _, one in rows])
    distinct, first = np.unique(hashes, return_index=True)
    return _Table(distinct, texts[first], starts[first])
