"""Recall in rounds: seed -> classifier -> scores -> cut -> domains -> marked paths -> the next round's seed (section 2.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.base.rng import derive_seed
from unified_rl.corpus import annotation, classifier, domains, labels, ranking, training_pages
from unified_rl.corpus.executors import over_shards
from unified_rl.corpus.settings import CorpusConfig
from unified_rl.corpus.shards import Index, made_of
from unified_rl.corpus.shuffling import write_shuffled
from unified_rl.records.progress import announce

FACTS, COLLECTED, SEED, MODEL, DOMAINS = "facts.json", "collected.npy", "seed.npy", "model.bin", "domains.tsv"
FINISHED = "finished.json"
DOMAINS_TOLD = 1000


@dataclass(frozen=True)
class Crawl:
    """What the rounds work on. held_out: bool [n]. labels: int8 [n]. outside: seed pages from elsewhere, None without."""

    config: CorpusConfig
    index: Index
    held_out: np.ndarray
    labels: np.ndarray
    outside: Index | None

    @property
    def folder(self) -> Path:
        return Path(self.config.run_dir) / "rounds"

    def round_folder(self, number: int) -> Path:
        """Where round `number`, from 1 on, is written; 0 has the first seed."""
        return self.folder / f"{number:02d}"


def run(crawl: Crawl, line: str) -> list[dict[str, Any]]:
    """Run the rounds that are still to be run; the facts of all.

    Args:
        line: the command that goes on after a person has marked paths.

    Raises:
        annotation.Unmarked: a table waits for a person.
    """
    config = crawl.config
    _save(crawl.round_folder(0) / SEED, training_pages.first_seed(config, crawl.index, crawl.held_out))
    told, before, why = [], None, f"{config.recall.rounds} rounds"
    for number in range(1, config.recall.rounds + 1):
        told.append(_round(crawl, number, before))
        before = np.load(crawl.round_folder(number) / COLLECTED)
        if told[-1]["overlap"] is not None and told[-1]["overlap"] >= config.recall.stop_overlap:
            why = f"{told[-1]['overlap']:.1%} of round {number} was in round {number - 1}"
            break
        if number < config.recall.rounds:
            _next_seed(crawl, number, line)
    files.write_json(crawl.folder / FINISHED, {"rounds": len(told), "because": why})
    return told


def check(crawl: Crawl) -> None:
    """Raises ConfigError: rounds that are there were run with other settings or data."""
    made_of(crawl.folder, _depends_on(crawl), "delete it to run the rounds again")


def last_round(run_dir: Path) -> int:
    """The number of the last round of rounds that are finished. Raises DataError where they are not."""
    path = run_dir / "rounds" / FINISHED
    if not path.is_file():
        raise DataError(
            f"{path} is missing: the rounds are not finished; run first: unified-rl corpus recall run_dir={run_dir}"
        )
    return int(files.read_json(path)["rounds"])


def _depends_on(crawl: Crawl) -> dict[str, Any]:
    config = crawl.config
    recall = {name: value for name, value in asdict(config.recall).items() if name not in ("rounds", "stop_overlap")}
    data = {
        name: files.file_hash(Path(path))
        for name in ("seed", "labels")
        if (path := getattr(config.data, name)) and Path(path).is_file()
    }
    return {
        "classifier": asdict(config.classifier),
        "recall": recall,
        "annotation": asdict(config.annotation),
        "data": {**data, "held_out": config.data.held_out},
        "seed": config.seed,
        "pages": len(crawl.index),
    }


# ---- one round ------------------------------------------------------------------------------------------------------------------


def _round(crawl: Crawl, number: int, before: np.ndarray | None) -> dict[str, Any]:
    """Train, score and cut; what is done already is read."""
    folder = crawl.round_folder(number)
    if (folder / FACTS).is_file():
        return dict(files.read_json(folder / FACTS))
    folder.mkdir(parents=True, exist_ok=True)
    seed = np.load(crawl.round_folder(number - 1) / SEED)
    trained = _train(crawl, number, seed)
    shards = crawl.index.shards
    pending = [place for place in range(len(shards)) if not score_file(folder, place).is_file()]
    over_shards("scores", crawl.config, pending, len(shards))
    scores = np.concatenate([np.load(score_file(folder, place)) for place in range(len(shards))])
    facts = _cut(crawl, number, scores, before)
    files.write_json(folder / FACTS, {**trained, **facts})
    return {**trained, **facts}


def score_file(folder: Path, place: int) -> Path:
    """Where a round's scores of one shard are: float32 [pages]."""
    return folder / "scores" / f"{place:06d}.npy"


def _train(crawl: Crawl, number: int, seed: np.ndarray) -> dict[str, Any]:
    config, folder = crawl.config, crawl.round_folder(number)
    chosen = training_pages.choose(config, number, crawl.index, seed, crawl.held_out, crawl.outside)
    counts = {"positives": chosen.positives, "negatives": chosen.negatives}
    if not (folder / MODEL).is_file():
        announce(f"corpus: round {number}, training on {chosen.positives} and {chosen.negatives} pages")
        examples = folder / "examples.txt"
        write_shuffled(_example_lines(crawl, chosen), examples, derive_seed(config.seed, "examples", number))
        with files.replacing(folder / MODEL) as aside:
            classifier.build(config.classifier).train(examples, aside, derive_seed(config.seed, "classifier", number))
        files.remove(examples)  # as large as the pages themselves, and made again from them
    files.remove(folder / "examples.txt")
    return counts


def _example_lines(crawl: Crawl, chosen: training_pages.Chosen) -> Iterator[str]:
    for label, page in training_pages.labelled(crawl.index, chosen, crawl.outside):
        yield classifier.example_line(classifier.WANTED if label else classifier.OTHER, page.text, crawl.config.classifier)


def _cut(crawl: Crawl, number: int, scores: np.ndarray, before: np.ndarray | None) -> dict[str, Any]:
    config, index, folder = crawl.config, crawl.index, crawl.round_folder(number)
    budgets = config.recall.tokens
    budget = budgets[min(number, len(budgets)) - 1]
    collected, lowest = ranking.best(scores, index.tokens, index.kept, budget)
    _save(folder / COLLECTED, collected)
    counts = domains.domain_counts(index, collected, index.kept)
    chosen = domains.chosen_domains(counts, config.recall.domain_share)
    _write_domains(folder / DOMAINS, counts, chosen)
    known = bool((crawl.labels != labels.UNKNOWN).any())
    return {
        "round": number,
        "kept pages": int(collected.sum()),
        "kept tokens": int(index.tokens[collected].sum(dtype=np.int64)),
        "budget of tokens": budget,
        "score at the cut": lowest,
        "overlap": ranking.overlap(collected, before),
        "domains": len(counts),
        "chosen domains": len(chosen),
        "quality": labels.quality(collected, crawl.labels, crawl.held_out & index.kept) if known else None,
    }


def _write_domains(path: Path, counts: dict[str, domains.Count], chosen: set[str]) -> None:
    """The domains with most kept pages, one a line."""
    most = sorted(counts, key=lambda name: (-counts[name].kept, name))[:DOMAINS_TOLD]
    rows = [
        f"{name}\t{counts[name].pages}\t{counts[name].kept}\t{counts[name].share:.4f}\t{int(name in chosen)}\n" for name in most
    ]
    files.settle_text(path, "domain\tpages\tkept\tshare\tchosen\n" + "".join(rows))


# ---- between rounds -------------------------------------------------------------------------------------------------------------


def _next_seed(crawl: Crawl, number: int, line: str) -> None:
    """Write the seed of the round after `number`: pages that were not kept, under paths that are marked, join it."""
    folder, settings = crawl.round_folder(number), crawl.config
    if (folder / SEED).is_file():
        return
    collected, seed = np.load(folder / COLLECTED), np.load(crawl.round_folder(number - 1) / SEED)
    allowed = crawl.index.kept & ~crawl.held_out
    marked = _marked(crawl, number, collected, allowed, line)
    new = domains.below_marked(crawl.index, marked, settings.annotation.depth) & ~collected if marked else np.zeros_like(seed)
    if settings.recall.next_seed == "collected":
        new |= collected
    _save(folder / SEED, seed | (new & allowed))


def _marked(crawl: Crawl, number: int, collected: np.ndarray, allowed: np.ndarray, line: str) -> set[str]:
    """The paths that are marked "yes" in this round or were in an earlier one."""
    settings = crawl.config.annotation
    if settings.by == "nobody":
        return set()
    earlier: dict[str, str] = {}
    for past in range(1, number):
        earlier |= annotation.read_marks(crawl.round_folder(past) / annotation.FILE)
    table = crawl.round_folder(number) / annotation.FILE
    if not table.is_file():
        counts = domains.domain_counts(crawl.index, collected, crawl.index.kept)
        chosen = domains.chosen_domains(counts, crawl.config.recall.domain_share)
        paths = domains.path_counts(crawl.index, collected, allowed, crawl.labels, chosen, settings)
        marks = annotation.marks_of_labels(paths, settings, crawl.config.seed) if settings.by == "labels" else earlier
        annotation.write_table(table, paths, marks)
    marks = annotation.wait_for_marks(table, line)
    return {name for name, mark in {**earlier, **marks}.items() if mark == annotation.YES}


def _save(path: Path, values: np.ndarray) -> None:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path) as aside, aside.open("wb") as file:
            np.save(file, values)
