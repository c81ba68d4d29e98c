"""`corpus report`: a page on what was read, kept and dropped, with the pages around the cut for a person to look at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.corpus import ranking, rounds
from unified_rl.corpus.settings import CorpusConfig
from unified_rl.corpus.shard_steps import CLEAN, KEPT, PAGES, TOKENS
from unified_rl.corpus.shards import Index, read_index, read_pages, shard_folders

FILE = "report.html"
AROUND, EXCERPT, HITS, ROWS = 15, 500, 200, 40
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; overflow-wrap: anywhere; }
th { overflow-wrap: normal; }
h2 { margin-top: 2.2rem; border-bottom: 1px solid #ccc; } td.n { text-align: right; white-space: nowrap; }
.page { border-left: 4px solid #2a7; padding: .1rem .8rem; margin: .6rem 0; } .out { border-color: #c53; }
.page p { margin: .2rem 0; font-size: 13px; color: #444; overflow-wrap: anywhere; } .note { color: #666; max-width: 52rem; }
"""


def write(config: CorpusConfig) -> Path:
    """Write `report.html` into the run directory; its path.

    Raises:
        DataError: no round is done yet.
    """
    run_dir = Path(config.run_dir)
    done = sorted(path.parent for path in (run_dir / "rounds").glob(f"*/{rounds.FACTS}"))
    if not done:
        raise DataError(f"{run_dir} has no round that is done; run first: unified-rl corpus recall run_dir={run_dir}")
    index = read_index(run_dir / PAGES, np.load(run_dir / PAGES / KEPT))
    parts = [
        f"<h1>Corpus {escape(run_dir.name)}</h1>",
        _read(run_dir),
        _rounds(done),
        _cut(index, done[-1]),
        _domains(done[-1]),
    ]
    parts += [_marks(done), _contamination(run_dir), _tokens(run_dir)]
    head = (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Corpus</title><style>{STYLE}</style></head><body>"
    )
    files.write_text(run_dir / FILE, head + "\n".join(parts) + "\n</body></html>\n")
    return run_dir / FILE


def _read(run_dir: Path) -> str:
    facts = files.read_json(run_dir / PAGES / "facts.json")
    rows = [("pages with text", facts["pages"]), ("tokens", facts["tokens"]), ("copies by URL", facts["copies by URL"])]
    rows += [("near copies", facts["near copies"]), ("kept", facts["kept"]), *sorted(facts["read or dropped"].items())]
    return "<h2>Read</h2>" + _table(("what", "pages or tokens"), rows)


def _rounds(done: list[Path]) -> str:
    facts = [files.read_json(folder / rounds.FACTS) for folder in done]
    names = [name for name in facts[0] if name != "quality"]
    known = any(one["quality"] for one in facts)
    header = [*names, *(("precision", "recall") if known else ())]
    rows = [
        [*(one[name] for name in names), *((one["quality"]["precision"], one["quality"]["recall"]) if known else ())]
        for one in facts
    ]
    note = (
        "Precision and recall are of held-out pages with a label, which nothing was trained on."
        if known
        else "No labels are known."
    )
    return f"<h2>Rounds</h2>{_table(header, rows)}<p class='note'>{note} The overlap measures stability, not recall.</p>"


def _cut(index: Index, folder: Path) -> str:
    scores = np.concatenate([np.load(rounds.score_file(folder, place)) for place in range(len(index.shards))])
    inside, outside = ranking.around_cut(scores, index.kept, np.load(folder / rounds.COLLECTED), AROUND)
    texts = _pages(index, {*inside.tolist(), *outside.tolist()})
    blocks = [_page(texts[number], float(scores[number]), "in") for number in inside.tolist()]
    blocks += ["<p><b>the cut</b></p>", *(_page(texts[number], float(scores[number]), "out") for number in outside.tolist())]
    return (
        f"<h2>Pages around the cut of round {int(folder.name)}</h2><p class='note'>Above the cut let in, below left out.</p>"
        + "".join(blocks)
    )


def _pages(index: Index, numbers: set[int]) -> dict[int, tuple[str, str]]:
    """Number -> (URL, beginning of the text)."""
    found = {}
    wanted = np.isin(np.arange(len(index)), list(numbers))
    for place, shard in enumerate(index.shards):
        mine = index.of_shard(wanted, place)
        if mine.any():
            for number, page in zip(np.flatnonzero(mine), read_pages(shard, mine), strict=True):
                found[int(number + index.starts[place])] = (page.url, page.text[:EXCERPT])
    return found


def _page(page: tuple[str, str], score: float, where: str) -> str:
    url, text = page
    return f"<div class='page {where}'><b>{score:.4f}</b> {escape(url)}<p>{escape(' '.join(text.split()))}</p></div>"


def _domains(folder: Path) -> str:
    rows = [line.split("\t") for line in files.read_small(folder / rounds.DOMAINS).splitlines()]
    return f"<h2>Domains</h2>{_table(rows[0], rows[1 : ROWS + 1])}"


def _marks(done: list[Path]) -> str:
    found = []
    for folder in done:
        if (folder / "annotations.tsv").is_file():
            lines = files.read_small(folder / "annotations.tsv").splitlines()[1 : ROWS + 1]
            found += [[int(folder.name), *line.split("\t")] for line in lines]
    return "<h2>Marked paths</h2>" + (
        _table(("round", "mark", "path", "pages", "kept", "examples"), found) if found else "<p>None.</p>"
    )


def _contamination(run_dir: Path) -> str:
    if not (run_dir / CLEAN / "facts.json").is_file():
        return "<h2>Decontamination</h2><p>Not done yet.</p>"
    facts = files.read_json(run_dir / CLEAN / "facts.json")
    rows = [(name, ", ".join(value) or "none" if isinstance(value, list) else value) for name, value in facts.items()]
    hits = [
        [hit["rule"], hit["benchmark"], hit["part"], hit["grams"], hit["segment"], hit["url"]]
        for hit in islice(_hits(run_dir), HITS)
    ]
    header = ("rule", "benchmark", "part", "grams that both hold", "segment", "page")
    counts = _table(("what", "count"), rows)
    return f"<h2>Decontamination</h2>{counts}<p class='note'>The first {HITS} hits:</p>{_table(header, hits)}"


def _hits(run_dir: Path) -> Iterator[dict[str, Any]]:
    for shard in shard_folders(run_dir / CLEAN):
        with (shard / "hits.jsonl").open(encoding="utf-8", newline="\n") as lines:
            yield from map(json.loads, lines)


def _tokens(run_dir: Path) -> str:
    if not (run_dir / TOKENS / "facts.json").is_file():
        return "<h2>Token files</h2><p>Not made yet.</p>"
    facts = files.read_json(run_dir / TOKENS / "facts.json")
    sources = sorted(facts["tokens by source"].items(), key=lambda item: -item[1])[:ROWS]
    rows = [("all", facts["documents"], facts["tokens"])]
    rows += [(name, facts["documents by source"][name], count) for name, count in sources]
    return f"<h2>Token files</h2>{_table(('source', 'documents', 'tokens'), rows)}"


def _table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    head = "".join(f"<th>{escape(word)}</th>" for word in header)
    return f"<table><tr>{head}</tr>" + "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows) + "</table>"


def _cell(value: Any) -> str:
    if value is None:
        return "<td>-</td>"
    if isinstance(value, int | float):
        return f"<td class='n'>{value:,.4f}</td>" if isinstance(value, float) else f"<td class='n'>{value:,}</td>"
    return f"<td>{escape(str(value))}</td>"
