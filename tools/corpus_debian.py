"""Recall rounds on real pages without a crawler: Debian's documentation packages, and annotators that err at stated rates.

    python -m tools.corpus_debian OUT [rounds=4] [seeds=0,1,2]       (make corpus-debian)

Fetches a fixed list of packages by name, samples their HTML pages into a WARC file, and runs the rounds with no annotator and with
ones that mark URL paths rightly or err in 5, 10 and 20 % of their marks. A page's label is its domain's, but for named paths; half
of the pages are held out of training and marking, and the table is of those. Known by construction: which domains are mathematics
was decided by their packages, pages of a domain share a template, and the budget of tokens is what the wanted pages hold.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.base.rng import generator
from unified_rl.corpus import jobs, labels, report
from unified_rl.corpus.settings import Annotation, Classifier, CorpusConfig, Data, Recall
from unified_rl.corpus.shard_steps import KEPT, PAGES
from unified_rl.corpus.shards import read_index, read_urls

#: Package -> its domain. First those whose pages are mathematics.
MATHEMATICS = {
    "python-sympy-doc": "sympy.test",
    "python-scipy-doc": "scipy.test",
    "maxima-doc": "maxima.test",
    "octave-doc": "octave.test",
    "gap-doc": "gap.test",
    "singular-doc": "singular.test",
    "python-mpmath-doc": "mpmath.test",
    "python-statsmodels-doc": "statsmodels.test",
    "giac-doc": "giac.test",
    "macaulay2-common": "macaulay2.test",
    "libflint-doc": "flint.test",
    "libntl-dev": "ntl.test",
    "libeigen3-doc": "eigen.test",
}
OTHER = {
    "apache2-doc": "apache.test",
    "postgresql-doc-15": "postgresql.test",
    "python-django-doc": "django.test",
    "python-pandas-doc": "pandas.test",
    "git-doc": "git.test",
    "gimp-help-en": "gimp.test",
    "linux-doc-6.1": "linux.test",
    "ghc-doc": "ghc.test",
    "nodejs-doc": "nodejs.test",
    "gnuplot-doc": "gnuplot.test",
    "agda-stdlib-doc": "agda.test",
    "python3.11-doc": "python.test",
    "sqlite3-doc": "sqlite.test",
    "debian-handbook": "handbook.test",
}
#: Paths of mathematical domains that hold no mathematics.
NOT_MATHEMATICS = re.compile(
    r"(?i)genindex|search|install|contribut|develop|release|whatsnew|changelog|licen[cs]e|citing|download|_sources"
)
#: Pages of a package; the wanted ones are the few, as they are on the web.
PER_PACKAGE = {True: 40, False: 130}
SEED_PAGES = 25
ARMS = {"no annotator": None, "perfect": 0.0, "errs in 5 %": 0.05, "errs in 10 %": 0.1, "errs in 20 %": 0.2}


def main(words: list[str]) -> int:
    """Run it; returns the exit status."""
    options = dict(word.split("=", 1) for word in words[1:])
    out, rounds = Path(words[0]), int(options.get("rounds", 4))
    seeds = [int(seed) for seed in options.get("seeds", "0,1,2").split(",")]
    crawl, wanted = build_crawl(out)
    base = CorpusConfig(data=Data(path=str(crawl), labels=str(wanted), held_out=0.5))
    shared = replace(base, run_dir=str(out / "pages_once"))
    jobs.extract(shared)
    budget = _wanted_tokens(Path(shared.run_dir), wanted)
    told = [_run(out, base, arm, error, seed, rounds, budget) for seed in seeds for arm, error in ARMS.items()]
    files.write_json(out / "rounds.json", told)
    text = table(told, rounds, budget)
    files.write_text(out / "table.md", text)
    print(text)
    return 0


# ---- the crawl ------------------------------------------------------------------------------------------------------------------


def build_crawl(out: Path) -> tuple[Path, Path]:
    """(folder with a WARC file, file of labels), made of fetched packages; what is there already is used."""
    warc, wanted = out / "crawl" / "debian.warc.gz", out / "labels.tsv"
    if wanted.is_file():
        return warc.parent, wanted
    packages = out / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    warc.parent.mkdir(exist_ok=True)
    marks = []
    with files.replacing(warc) as aside, aside.open("wb") as file:
        for package, domain in {**MATHEMATICS, **OTHER}.items():
            for path, html in _sampled(_fetched(package, packages), package):
                url = f"https://{domain}/{path}"
                file.write(gzip.compress(_record(url, html), mtime=0))
                marks.append(f"{url}\t{int(package in MATHEMATICS and not NOT_MATHEMATICS.search(path))}\n")
    files.write_text(wanted, "".join(marks))
    return warc.parent, wanted


def _fetched(package: str, folder: Path) -> Path:
    """The package's file. Raises DataError where apt cannot fetch it."""
    found = sorted(folder.glob(f"{package}_*.deb"))
    if not found:
        done = subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, capture_output=True, text=True, check=False)
        found = sorted(folder.glob(f"{package}_*.deb"))
        if done.returncode or not found:
            raise DataError(
                f"apt-get could not fetch {package} ({done.stderr.strip()[:200]}); run apt-get update, on Debian 12"
            )
    return found[0]


def _sampled(package: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """(path below the documentation, HTML) of a sample of a package's pages, drawn by its name."""
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = (one for one in archive if one.isfile() and re.search(r"\.html?(\.gz)?$", one.name))
        pages = sorted(found, key=lambda one: one.name)
        chosen = generator(0, f"sample of {name}").permutation(len(pages))[: PER_PACKAGE[name in MATHEMATICS]]
        for place in sorted(chosen.tolist()):
            stream = archive.extractfile(pages[place])
            html = stream.read() if stream else b""
            path = re.sub(r"^\./usr/(share|lib)/(doc/)?", "", pages[place].name)
            yield path.removesuffix(".gz").split("/", 1)[-1], gzip.decompress(html) if path.endswith(".gz") else html


def _record(url: str, html: bytes) -> bytes:
    from fastwarc.warc import WarcRecord, WarcRecordType

    record, whole = WarcRecord(), io.BytesIO()
    record.init_headers(record_type=WarcRecordType.response)
    record.headers["WARC-Target-URI"] = url
    record.headers["Content-Type"] = "application/http; msgtype=response"
    record.set_bytes_content(
        f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(html)}\r\n\r\n".encode() + html
    )
    record.write(whole)
    return whole.getvalue()


# ---- the rounds -----------------------------------------------------------------------------------------------------------------


def _wanted_tokens(run_dir: Path, wanted: Path) -> int:
    index = read_index(run_dir / PAGES, np.load(run_dir / PAGES / KEPT))
    return int(index.tokens[index.kept & (labels.read_labels(wanted, index) == 1)].sum())


def _run(
    out: Path, base: CorpusConfig, arm: str, error: float | None, seed: int, rounds: int, budget: int
) -> dict[str, object]:
    """One arm with one seed: the quality on held-out pages of each round."""
    run_dir = out / "runs" / f"{re.sub(r'[^a-z0-9]+', '_', arm)}_{seed}"
    if not (run_dir / PAGES).is_dir():  # the pages are the same for all
        shutil.copytree(out / "pages_once" / PAGES, run_dir / PAGES)
    by = "nobody" if error is None else "labels"
    config = replace(
        base,
        run_dir=str(run_dir),
        seed=seed,
        data=replace(base.data, seed=str(_seed_list(out, base, seed))),
        classifier=Classifier(buckets=50_000, learning_rate=0.5, epochs=10),
        recall=Recall(
            rounds=rounds,
            negatives=500,
            tokens=[budget],
            stop_overlap=1.01,
            next_seed="collected" if error is None else "annotated",
        ),
        annotation=Annotation(by=by, depth=2, error=error or 0.0),
    )
    told = jobs.recall(config, "")
    report.write(config)
    return {"arm": arm, "seed": seed, "rounds": told, "settings": asdict(config)}


def _seed_list(out: Path, base: CorpusConfig, seed: int) -> Path:
    """A file of `SEED_PAGES` wanted pages that are not held out, drawn by the seed."""
    pages = out / "pages_once" / PAGES
    index = read_index(pages, np.load(pages / KEPT))
    known = labels.read_labels(Path(base.data.labels), index) == 1
    allowed = np.flatnonzero(known & index.kept & ~labels.held_out(index, base.data.held_out, seed))
    chosen = set(generator(seed, "first seed").permutation(allowed)[:SEED_PAGES].tolist())
    urls = [url for shard in index.shards for url in read_urls(shard)]
    path = out / f"seed_{seed}.txt"
    files.write_text(path, "".join(f"{url}\n" for number, url in enumerate(urls) if number in chosen))
    return path


def table(told: list[dict[str, object]], rounds: int, budget: int) -> str:
    """Mean and range over seeds of recall and precision on held-out pages, a row for each arm."""
    names = [f"round {number}" for number in range(1, rounds + 1)]
    lines = [f"Held-out pages; mean [lowest, highest] over seeds; {budget:,} tokens kept.", ""]
    for what in ("recall", "precision", "overlap"):
        lines += [f"| {what} | " + " | ".join(names) + " |", "|---|" + "---|" * rounds]
        for arm in ARMS:
            cells = [_cell([_of(one, number, what) for one in told if one["arm"] == arm]) for number in range(rounds)]
            lines.append(f"| {arm} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _of(one: dict[str, object], number: int, what: str) -> float | None:
    facts = json.loads(json.dumps(one["rounds"]))[number]
    return facts["overlap"] if what == "overlap" else facts["quality"][what]


def _cell(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.2f} [{min(known):.2f}, {max(known):.2f}]" if known else "-"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
