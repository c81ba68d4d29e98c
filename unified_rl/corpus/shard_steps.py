"""What is done to one shard, by step: a function of (config, number) that reads what is there and writes one result whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from unified_rl.base import files
from unified_rl.corpus import classifier, rounds
from unified_rl.corpus.benchmark_texts import read_texts
from unified_rl.corpus.contamination import BenchmarkIndex
from unified_rl.corpus.extraction import Page
from unified_rl.corpus.inputs import inputs_of
from unified_rl.corpus.pages import make_shard
from unified_rl.corpus.settings import CorpusConfig, Decontamination
from unified_rl.corpus.shards import page_line, read_pages, shard_folder, shard_folders, write_facts
from unified_rl.corpus.token_files import TokenWriter
from unified_rl.corpus.tokens import counter_of, end_of_document, read_tokenizer

PAGES, OUTSIDE, CLEAN, TOKENS = "pages", "seed_pages", "clean", "tokens"
KEPT, TEXTS, DOCUMENTS = "kept.npy", "benchmarks.jsonl", "documents"
#: Texts that are scored at once.
BATCH = 256


#: Listed once in a process, not once a shard.
_inputs = lru_cache(maxsize=2)(inputs_of)


@lru_cache(maxsize=1)
def _starts(folder: Path) -> np.ndarray:
    """The number of each shard's first page, and of all pages at the end."""
    sizes = [len(np.load(shard / "tokens.npy", mmap_mode="r")) for shard in shard_folders(folder)]
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def pages(config: CorpusConfig, number: int) -> None:
    """Extract input `number` of the crawl."""
    make_shard(_inputs(config.data.path, "data.path")[number], config, shard_folder(Path(config.run_dir) / PAGES, number))


def seed(config: CorpusConfig, number: int) -> None:
    """Extract input `number` of the seed from elsewhere."""
    make_shard(_inputs(config.data.seed, "data.seed")[number], config, shard_folder(Path(config.run_dir) / OUTSIDE, number))


def scores(config: CorpusConfig, number: int) -> None:
    """Score the pages of a shard by the classifier of the round that has one and is not cut yet."""
    run_dir = Path(config.run_dir)
    folder = max(path.parent for path in (run_dir / "rounds").glob(f"*/{rounds.MODEL}"))
    judge, model = classifier.build(config.classifier), folder / rounds.MODEL
    found, batch = [np.zeros(0, np.float32)], []
    for page in read_pages(shard_folder(run_dir / PAGES, number)):
        batch.append(page.text[: config.classifier.characters])
        if len(batch) == BATCH:
            found.append(judge.scores(model, batch))
            batch = []
    found.append(judge.scores(model, batch))
    path = rounds.score_file(folder, number)
    path.parent.mkdir(exist_ok=True)
    with files.replacing(path) as aside, aside.open("wb") as file:
        np.save(file, np.concatenate(found).astype(np.float32))


def clean(config: CorpusConfig, number: int) -> None:
    """Decontaminate the pages of a shard that the last round kept."""
    run_dir = Path(config.run_dir)
    collected = np.load(run_dir / "rounds" / f"{rounds.last_round(run_dir):02d}" / rounds.COLLECTED, mmap_mode="r")
    starts, shard = _starts(run_dir / PAGES), shard_folder(run_dir / PAGES, number)
    mine = np.array(collected[starts[number] : starts[number + 1]])
    index, count = benchmark_index(run_dir / CLEAN / TEXTS, config.decontamination), counter_of(config.extraction.tokenizer)
    counts: Counter[str] = Counter()
    with files.replacing(shard_folder(run_dir / CLEAN, number)) as aside:
        aside.mkdir(parents=True)
        with (
            (aside / "pages.jsonl").open("w", encoding="utf-8", newline="\n") as kept,
            (aside / "hits.jsonl").open("w", encoding="utf-8", newline="\n") as told,
        ):
            for page in read_pages(shard, mine):
                left = _cleaned(page, index, count, counts, told.write, config.extraction.min_characters)
                if left is not None:
                    kept.write(page_line(left))
        write_facts(aside, {name: counts[name] for name in COUNTS})


COUNTS = ("pages", "tokens", "pages kept", "tokens kept", "segments dropped", "pages dropped", "pages with nothing left")


def _cleaned(
    page: Page,
    index: BenchmarkIndex,
    count: Callable[[str], int],
    counts: Counter[str],
    tell: Callable[[str], object],
    shortest: int,
) -> Page | None:
    text, hits = index.clean(page.text)
    for hit in hits:
        tell(json.dumps({"url": page.url, **asdict(hit)}, ensure_ascii=False) + "\n")
    counts.update({"pages": 1, "tokens": page.tokens, "segments dropped": sum(hit.rule == "run" for hit in hits)})
    if text is None:
        counts["pages dropped"] += 1
        return None
    left = replace(page, text=text.strip(), tokens=count(text)) if hits else page
    if hits and len(left.text) < shortest:
        counts["pages with nothing left"] += 1
        return None
    counts.update({"pages kept": 1, "tokens kept": left.tokens})
    return left


@lru_cache(maxsize=1)
def _index(path: str, digest: str, grams: int, shortest: int, segment: str) -> BenchmarkIndex:
    return BenchmarkIndex(read_texts(Path(path)), Decontamination(grams=grams, shortest=shortest, segment=segment))


def benchmark_index(path: Path, settings: Decontamination) -> BenchmarkIndex:
    """The index of stored benchmark texts, built once in a process."""
    return _index(str(path), files.file_hash(path), settings.grams, settings.shortest, settings.segment)


def tokens(config: CorpusConfig, number: int) -> None:
    """Tokenise a shard of clean pages: each page a document, which the token that ends documents closes."""
    run_dir = Path(config.run_dir)
    tokenizer = read_tokenizer(config.tokenizer or config.extraction.tokenizer)
    end = end_of_document(tokenizer)
    by_source: dict[str, Counter[str]] = {"documents": Counter(), "tokens": Counter()}
    with files.replacing(shard_folder(run_dir / TOKENS, number)) as aside:
        aside.mkdir(parents=True)
        writer = TokenWriter(aside / DOCUMENTS, tokenizer.get_vocab_size())
        for page in read_pages(shard_folder(run_dir / CLEAN, number)):
            ids = [*tokenizer.encode(page.text, add_special_tokens=False).ids, end]
            writer.add(ids)
            by_source["documents"][page.source] += 1
            by_source["tokens"][page.source] += len(ids)
        writer.close()
        totals = {name: sum(counts.values()) for name, counts in by_source.items()}
        write_facts(
            aside, {**totals, **{f"{name} by source": dict(sorted(counts.items())) for name, counts in by_source.items()}}
        )
