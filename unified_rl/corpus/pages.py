"""The first step: an input becomes a shard of extracted pages, with the keys by which copies are found. One input at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unified_rl.base import files
from unified_rl.corpus.duplicates import page_keys
from unified_rl.corpus.extraction import Page, extract
from unified_rl.corpus.inputs import Input
from unified_rl.corpus.reading import raw_pages
from unified_rl.corpus.settings import CorpusConfig
from unified_rl.corpus.shards import page_line, write_facts
from unified_rl.corpus.tokens import counter_of

#: Pages whose keys are computed at once.
BATCH = 256


def extracted(one: Input, config: CorpusConfig, counts: Counter[str]) -> Iterator[Page]:
    """The pages of an input that have a text to keep, streamed. counts: what was read, and what was dropped, by reason."""
    count_tokens = counter_of(config.extraction.tokenizer)
    for raw in raw_pages(one, config.extraction.max_bytes, counts):
        counts["read"] += 1
        found = extract(raw, config.extraction, counts)
        if found:
            text, language = found
            yield Page(one_line(raw.url), text, language, count_tokens(text), one_line(raw.source))


def one_line(text: str) -> str:
    """A URL or name without line ends or halves of characters, which would break a file of lines."""
    return "".join(text.split()).encode("utf-8", "replace").decode()


def make_shard(one: Input, config: CorpusConfig, folder: Path) -> None:
    """Write the shard of an input, aside and then whole. Raises DataError where the input is damaged."""
    counts: Counter[str] = Counter()
    keys: list[np.ndarray] = [np.zeros((0, 1 + config.duplicates.bands), np.uint64)]
    tokens: list[int] = []
    batch: list[Page] = []
    with files.replacing(folder) as aside:
        aside.mkdir(parents=True)
        with (
            (aside / "pages.jsonl").open("w", encoding="utf-8", newline="\n") as lines,
            (aside / "urls.txt").open("w", encoding="utf-8", newline="\n") as urls,
        ):
            for page in extracted(one, config, counts):
                lines.write(page_line(page))
                urls.write(page.url + "\n")
                tokens.append(page.tokens)
                batch.append(page)
                if len(batch) == BATCH:
                    keys.append(page_keys(batch, config.duplicates))
                    batch = []
        keys.append(page_keys(batch, config.duplicates))
        np.save(aside / "keys.npy", np.concatenate(keys))
        np.save(aside / "tokens.npy", np.array(tokens, dtype=np.int32))
        write_facts(aside, {"pages": len(tokens), "tokens": sum(tokens), "read or dropped": dict(sorted(counts.items()))})
