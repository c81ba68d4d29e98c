"""The commands of a corpus: recall, annotate, decontaminate, tokenise. Each goes on where it was stopped."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from unified_rl.base import files
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.corpus import benchmark_texts, labels, rounds
from unified_rl.corpus.duplicates import copies
from unified_rl.corpus.executors import over_shards
from unified_rl.corpus.inputs import inputs_of, listing
from unified_rl.corpus.loading import store
from unified_rl.corpus.settings import CorpusConfig
from unified_rl.corpus.shard_steps import CLEAN, KEPT, OUTSIDE, PAGES, TEXTS, TOKENS
from unified_rl.corpus.shards import Index, added_facts, made_of, read_index, shard_folder, shard_folders, write_facts
from unified_rl.corpus.tokens import end_of_document, read_tokenizer
from unified_rl.corpus.training_pages import seed_is_a_list


def extract(config: CorpusConfig) -> dict[str, Any]:
    """Read the crawl into shards and find the copies. Returns counts."""
    _libraries()
    if config.extraction.tokenizer:
        read_tokenizer(config.extraction.tokenizer)  # refused before any work
    folder = Path(config.run_dir) / PAGES
    _shards_of(config, "data.path", config.data.path, folder, "pages")
    kept = folder / KEPT
    if not kept.is_file():
        by_url, by_band = copies(shard_folders(folder), config.duplicates.partitions)
        facts = added_facts(shard_folders(folder))
        facts |= {"copies by URL": int(by_url.sum()), "near copies": int((by_band & ~by_url).sum())}
        write_facts(folder, {**facts, "kept": int((~by_url & ~by_band).sum())})
        with files.replacing(kept) as aside, aside.open("wb") as file:
            np.save(file, ~by_url & ~by_band)
    return dict(files.read_json(folder / "facts.json"))


def recall(config: CorpusConfig, line: str) -> list[dict[str, Any]]:
    """All rounds of recall, as far as they can go. line: the command that goes on after a person has marked paths."""
    _check_recall(config)
    extract(config)
    run_dir = Path(config.run_dir)
    index = read_index(run_dir / PAGES, np.load(run_dir / PAGES / KEPT))
    outside: Index | None = None
    if not seed_is_a_list(config.data.seed):
        _shards_of(config, "data.seed", config.data.seed, run_dir / OUTSIDE, "seed")
        outside = read_index(run_dir / OUTSIDE)
    marks = (
        labels.read_labels(Path(config.data.labels), index)
        if config.data.labels
        else np.full(len(index), labels.UNKNOWN, np.int8)
    )
    held = labels.held_out(index, config.data.held_out, config.seed)
    crawl = rounds.Crawl(config, index, held, marks, outside)
    rounds.check(crawl)
    store(config)
    return rounds.run(crawl, line)


def decontaminate(config: CorpusConfig) -> dict[str, Any]:
    """Take benchmarks out of what the last round kept. Returns counts."""
    _libraries()
    run_dir = Path(config.run_dir)
    last, folder = rounds.last_round(run_dir), run_dir / CLEAN
    texts = benchmark_texts.texts_of(config.decontamination.benchmarks)
    store(config)
    collected = run_dir / "rounds" / f"{last:02d}" / rounds.COLLECTED
    settings = {name: value for name, value in asdict(config.decontamination).items() if name != "benchmarks"}
    folder.mkdir(parents=True, exist_ok=True)
    what = [f"{text.id} {text.part} {text.text}" for text in texts]
    digest = hashlib.sha256("\n".join(what).encode("utf-8", "replace")).hexdigest()
    made_of(
        folder, {"settings": settings, "benchmarks": digest, "pages": files.file_hash(collected)}, "delete it to clean again"
    )
    benchmark_texts.write_texts(folder / TEXTS, texts)
    _over(config, "clean", folder, len(shard_folders(run_dir / PAGES)))
    return _totals(folder, {"not compared with": benchmark_texts.missing(config.decontamination.benchmarks)})


def tokenise(config: CorpusConfig) -> dict[str, Any]:
    """Write what is clean as token files. Returns counts, by source too."""
    run_dir = Path(config.run_dir)
    path = config.tokenizer or config.extraction.tokenizer
    if not path:
        raise ConfigError("tokenizer=... is missing; give the folder of the model that will be trained, or its tokenizer.json")
    tokenizer = read_tokenizer(path)
    end_of_document(tokenizer)
    clean, folder = run_dir / CLEAN, run_dir / TOKENS
    if not (clean / "facts.json").is_file():
        raise DataError(f"{clean} is not finished; run first: unified-rl corpus decontaminate run_dir={run_dir}")
    store(config)
    made_of(
        folder,
        {"clean": files.file_hash(clean / "made_of.json"), "tokenizer": tokenizer.to_str()},
        "delete it to tokenise again",
    )
    _over(config, "tokens", folder, len(shard_folders(clean)))
    return _totals(folder, {})


def _check_recall(config: CorpusConfig) -> None:
    """Raises ConfigError: what the rounds need is not set."""
    if not config.data.seed:
        raise ConfigError("data.seed=... is missing; give a .txt of URLs of the crawl, or JSON lines of pages, to begin with")
    if config.data.labels and not config.data.held_out:
        raise ConfigError("data.labels measure on pages that nothing is trained on; set data.held_out, e.g. data.held_out=0.5")
    if config.annotation.by == "labels" and not config.data.labels:
        raise ConfigError("annotation.by=labels needs data.labels; give them, or annotation.by=person")


def _shards_of(config: CorpusConfig, field: str, path: str, folder: Path, step: str) -> None:
    inputs = inputs_of(path, field)
    what = {"extraction": asdict(config.extraction), "duplicates": {**asdict(config.duplicates), "partitions": 0}}
    made_of(folder, {**what, "inputs": listing(inputs)}, "delete it to read the pages again")
    _over(config, step, folder, len(inputs))


def _over(config: CorpusConfig, step: str, folder: Path, total: int) -> None:
    pending = [number for number in range(total) if not shard_folder(folder, number).is_dir()]
    over_shards(step, config, pending, total)


def _totals(folder: Path, more: dict[str, Any]) -> dict[str, Any]:
    """The counts of all shards of a step, which its `facts.json` keeps."""
    facts = {**added_facts(shard_folders(folder)), **more}
    files.write_json(folder / "facts.json", facts)
    return facts


def _libraries() -> None:
    """Raises ConfigError: the extra is not installed."""
    try:
        import fastwarc  # noqa: F401
        import rensa  # noqa: F401
        import resiliparse  # noqa: F401
        import xxhash  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"a corpus needs {error.name}; pip install 'unified-rl[corpus]'") from error
