"""`corpus annotate`: a person is shown the URL paths that wait for a mark, one by one, and answers on the terminal."""

from __future__ import annotations

import sys
from pathlib import Path

from unified_rl.base import files
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.corpus import annotation
from unified_rl.corpus.settings import CorpusConfig
from unified_rl.corpus.shard_steps import PAGES
from unified_rl.corpus.shards import read_pages, read_urls, shard_folders

EXCERPT = 240
ANSWERS = {"y": annotation.YES, "n": annotation.NO, "": ""}


def run(config: CorpusConfig) -> str:
    """Show the paths that are not marked; ask for each where there is a terminal. Returns what is left to do, in words.

    Raises:
        DataError: no table waits.
    """
    table = waiting(Path(config.run_dir))
    marks = annotation.read_marks(table)
    left = [path for path, mark in marks.items() if not mark]
    if config.annotation.by != "person":
        raise ConfigError(
            f"annotation.by={config.annotation.by}: nobody is asked; set annotation.by=person for another run_dir"
        )
    if left and sys.stdin.isatty():
        _ask(table, left, _excerpts(Path(config.run_dir), _examples(table, left)))
    marks = annotation.read_marks(table)
    missing = [path for path, mark in marks.items() if not mark]
    if not missing:
        return f"{table}: all {len(marks)} paths are marked; go on with: unified-rl corpus recall run_dir={config.run_dir}"
    shown = "\n".join(f"  {line}" for line in _lines(table, missing))
    return f"{shown}\n{table}: {len(missing)} of {len(marks)} paths are not marked; write yes or no into the first column"


def waiting(run_dir: Path) -> Path:
    """The table of the last round. Raises DataError where no round has one."""
    tables = sorted((run_dir / "rounds").glob(f"*/{annotation.FILE}"))
    if not tables:
        raise DataError(f"{run_dir} has no {annotation.FILE} yet; run first: unified-rl corpus recall run_dir={run_dir}")
    return tables[-1]


def set_mark(table: Path, path: str, mark: str) -> None:
    """Write one mark into a table; the other rows stay as they are."""
    lines = files.read_small(table).splitlines()
    for number, line in enumerate(lines):
        _, tab, rest = line.partition("\t")
        if number and tab and rest.partition("\t")[0] == path:
            lines[number] = f"{mark}\t{rest}"
    files.write_text(table, "\n".join(lines) + "\n")


def _lines(table: Path, paths: list[str]) -> list[str]:
    wanted = set(paths)
    rows = [line.split("\t") for line in files.read_small(table).splitlines()[1:]]
    return [f"{row[1]}  ({row[3]} of {row[2]} pages kept)  {row[4]}" for row in rows if len(row) == 5 and row[1] in wanted]


def _examples(table: Path, paths: list[str]) -> dict[str, str]:
    """URL of the first example -> path."""
    wanted = set(paths)
    rows = [line.split("\t") for line in files.read_small(table).splitlines()[1:]]
    return {row[4].split(" ")[0]: row[1] for row in rows if len(row) == 5 and row[1] in wanted}


def _excerpts(run_dir: Path, urls: dict[str, str]) -> dict[str, str]:
    """Path -> the beginning of its example page."""
    found = {}
    for shard in shard_folders(run_dir / PAGES):
        of_shard = [url in urls for url in read_urls(shard)]
        for page in read_pages(shard, of_shard) if any(of_shard) else ():  # type: ignore[arg-type]
            found[urls[page.url]] = " ".join(page.text[:EXCERPT].split())
    return found


def _ask(table: Path, paths: list[str], excerpts: dict[str, str]) -> None:
    for line, path in zip(_lines(table, paths), paths, strict=True):
        print(f"\n{line}\n  {excerpts.get(path, '')}")
        answer = None
        while answer not in ANSWERS:
            print("mathematical? y, n, or enter to leave it: ", end="", flush=True)
            answer = sys.stdin.readline().strip().lower()[:1]
        set_mark(table, path, ANSWERS[answer])
