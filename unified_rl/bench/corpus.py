"""Pages per second of each step of a corpus beside the library's own call alone, and memory by number of pages. One core.

`unified-rl bench corpus`. The pages are made up: sentences of common and topical words, about 2 kB of text in 9 kB of HTML.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from unified_rl.corpus.reading import RawPage

PAGES = 2000
SIZES = (1_000, 10_000, 100_000)
_STARTS, _ENDS = (
    ("ba", "ce", "di", "fo", "gu", "ha", "je", "ki"),
    ("na", "ter", "son", "lim", "ra", "st", "ve", "king", "lu", "mon"),
)
_WORDS = [f"{start}{middle}{end}" for start in _STARTS for middle in ("", "lo", "mi") for end in _ENDS]


def texts(count: int, seed: int = 0) -> list[str]:
    """Made-up pages of about 350 words in ten lines."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(_WORDS), size=(count, 10, 35))
    return ["\n".join(" ".join(_WORDS[word] for word in line) for line in page) for page in drawn]


def main() -> dict[str, float]:
    """Prints and returns pages per second of steps and libraries, and peak memory by number of pages."""
    figures = _throughput(texts(PAGES))
    for size in SIZES:
        peak = _peak_memory(size)
        figures[f"memory of {size} pages, MiB"] = peak
        print(f"{size:>7} pages through read, copies, training, scores, cut: peak {peak:.0f} MiB", flush=True)
    return figures


def _rate(name: str, work: Callable[[], object], figures: dict[str, float], count: int) -> None:
    start = time.process_time()
    work()
    figures[f"{name}, pages/s"] = count / (time.process_time() - start)
    print(f"{name:<44} {figures[f'{name}, pages/s']:>9,.0f} pages per CPU-second", flush=True)


def _throughput(made: Sequence[str]) -> dict[str, float]:
    from rensa import RMinHash
    from resiliparse.extract.html2text import extract_plain_text

    from unified_rl.corpus.benchmark_texts import BenchmarkText
    from unified_rl.corpus.contamination import BenchmarkIndex
    from unified_rl.corpus.duplicates import page_keys, shingles
    from unified_rl.corpus.extraction import Page, extract
    from unified_rl.corpus.settings import Decontamination, Duplicates, Extraction

    figures: dict[str, float] = {}
    menu = "<div class='nav'><a href='/x'>home</a></div>" * 60
    html = [menu + "".join(f"<p>{line}</p>" for line in text.split("\n")) for text in made]
    raw = [RawPage(f"https://a.test/{at}/p", one.encode(), None, "text/html; charset=utf-8") for at, one in enumerate(html)]
    pages = [Page(one.url, text, "en", 350, "made") for one, text in zip(raw, made, strict=True)]
    settings, empty = Extraction(), Counter[str]()
    _rate("extract (decode, depth, text, language)", lambda: [extract(one, settings, empty) for one in raw], figures, len(made))
    _rate(
        "  resiliparse, main content, alone",
        lambda: [extract_plain_text(one, main_content=True) for one in html],
        figures,
        len(made),
    )
    _rate("keys of copies (grams, shingles, bands)", lambda: page_keys(pages, Duplicates()), figures, len(made))
    sets = [shingles(text, 5) for text in made]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in sets])]).astype(np.uint64)
    flat = np.concatenate(sets)
    _rate(
        "  rensa on ready shingles",
        lambda: RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets, 112, 1),
        figures,
        len(made),
    )
    benchmark = [BenchmarkText(str(at), "question", text.split("\n")[0]) for at, text in enumerate(texts(5000, 1))]
    index = BenchmarkIndex(benchmark, Decontamination())
    _rate("decontaminate (10-grams, texts of 3 to 9)", lambda: [index.clean(text) for text in made], figures, len(made))
    figures |= _classifier(made)
    with tempfile.TemporaryDirectory() as folder:
        figures |= _reading(Path(folder), raw)
    return figures


def _classifier(made: Sequence[str]) -> dict[str, float]:
    from unified_rl.corpus.classifier import OTHER, WANTED, FastText, as_words, example_line
    from unified_rl.corpus.settings import Classifier

    figures: dict[str, float] = {}
    settings = Classifier(buckets=50_000)
    judge = FastText(settings)
    with tempfile.TemporaryDirectory() as folder:
        examples, model = Path(folder) / "examples", Path(folder) / "model"
        examples.write_text("".join(example_line(WANTED if at % 2 else OTHER, text, settings) for at, text in enumerate(made)))
        judge.train(examples, model, 0)
        import fasttext

        library, lines = fasttext.load_model(str(model)), [as_words(text, 4000) for text in made]
        _rate("score", lambda: judge.scores(model, made), figures, len(made))
        _rate("  fastText on ready lines", lambda: library.predict(lines, k=1), figures, len(made))
    return figures


def _reading(folder: Path, raw: Sequence[RawPage]) -> dict[str, float]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    from unified_rl.corpus.inputs import inputs_of
    from unified_rl.corpus.reading import raw_pages

    figures: dict[str, float] = {}
    path = folder / "made.warc"
    with path.open("wb") as file:
        for one in raw:
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(one.html)}\r\n\r\n".encode()
            body = head + one.html
            fields = f"WARC-Type: response\r\nWARC-Target-URI: {one.url}\r\nContent-Type: application/http\r\n"
            file.write(f"WARC/1.0\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body + b"\r\n\r\n")
    (one_input,) = inputs_of(str(path), "data.path")
    _rate("read WARC", lambda: sum(1 for _ in raw_pages(one_input, 4_000_000, Counter())), figures, len(raw))
    with path.open("rb") as file:
        _rate("  fastwarc alone", lambda: sum(1 for _ in ArchiveIterator(file, WarcRecordType.response)), figures, len(raw))
    return figures


def peak_resident() -> float:
    """Most MiB that this process has held. Linux's `ru_maxrss` also counts what the parent held when it started this process."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)  # macOS counts bytes


def _peak_memory(size: int) -> float:
    """Peak resident MiB of a process that takes `size` pages through one round."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with (root / "pages.jsonl").open("w", encoding="utf-8") as file:
            made: list[str] = []
            for at in range(size):
                made = texts(1000, at // 1000) if at % 1000 == 0 else made
                text = made[at % 1000]
                file.write(json.dumps({"url": f"https://site{at % 97}.test/part{at % 5}/{at}/p", "text": text}) + "\n")
        (root / "seed.txt").write_text(
            "".join(f"https://site{at % 97}.test/part{at % 5}/{at}/p\n" for at in range(0, size, 97))
        )
        words = f"corpus recall data.path={root}/pages.jsonl data.seed={root}/seed.txt run_dir={root}/run annotation.by=nobody"
        words += " recall.rounds=1 recall.positives=200 recall.negatives=200 classifier.dim=32 duplicates.bands=14"
        script = "import sys; from unified_rl.cli import main; from unified_rl.bench.corpus import peak_resident; "
        script += "status = main(sys.argv[1:]); print(peak_resident(), file=sys.stderr); sys.exit(status)"
        done = subprocess.run([sys.executable, "-c", script, *words.split()], capture_output=True, text=True, check=True)
        return float(done.stderr.split()[-1])
