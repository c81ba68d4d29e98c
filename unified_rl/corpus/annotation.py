"""`annotations.tsv`: the table of URL paths that a person marks, and marks that labels give in a person's place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from unified_rl.base import files
from unified_rl.base.errors import DataError, UnifiedRLError
from unified_rl.base.rng import generator
from unified_rl.corpus.domains import Count
from unified_rl.corpus.settings import Annotation

FILE = "annotations.tsv"
HEADER = ("mark", "path", "pages", "kept", "examples")
YES, NO = "yes", "no"


class Unmarked(UnifiedRLError):
    """A table that waits for a person: no error, but the rounds cannot go on."""

    exit_code = 3


def write_table(path: Path, paths: Mapping[str, Count], marks: Mapping[str, str]) -> None:
    """Write the table. marks: path -> yes or no, where it is known; the others are left to be marked. Raises RunDirectoryError."""
    rows = [HEADER]
    for name, one in paths.items():
        rows.append((marks.get(name, ""), name, str(one.pages), str(one.kept), " ".join(one.examples)))
    files.settle_text(path, "".join("\t".join(_cell(cell) for cell in row) + "\n" for row in rows))


def _cell(text: str) -> str:
    return " ".join(text.split())


def read_marks(path: Path) -> dict[str, str]:
    """Path -> yes, no, or "" where nobody has marked it, in the order of the table.

    Raises:
        DataError: a row of another form, or a mark that is neither (naming the line).
    """
    try:
        lines = files.read_small(path).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable table ({error}); restore it, or delete it and go on") from error
    if not lines or lines[0].split("\t")[:2] != list(HEADER[:2]):
        raise DataError(f"{path}, line 1: the columns must be {', '.join(HEADER)}; restore it, or delete it and go on")
    marks = {}
    for number, line in enumerate(lines[1:], start=2):
        mark, tab, rest = line.partition("\t")
        word = mark.strip().casefold()
        if not tab or word not in ("", YES, NO, "y", "n", "1", "0"):
            raise DataError(f"{path}, line {number}: the mark {mark[:20]!r} must be {YES} or {NO}, then a tab; mend the line")
        marks[rest.partition("\t")[0]] = {"": "", "y": YES, "1": YES, "n": NO, "0": NO}.get(word, word)
    return marks


def wait_for_marks(path: Path, line: str) -> dict[str, str]:
    """The marks of a table that is marked all through.

    Args:
        line: the command that goes on afterwards.

    Raises:
        Unmarked: some are missing. DataError: the table is damaged.
    """
    marks = read_marks(path)
    missing = sum(not mark for mark in marks.values())
    if missing:
        raise Unmarked(
            f"{path}: {missing} of {len(marks)} paths are not marked yet; write {YES} or {NO} into the first column "
            f"(or: unified-rl corpus annotate run_dir=...), then: {line}"
        )
    return marks


def marks_of_labels(paths: Mapping[str, Count], settings: Annotation, seed: int) -> dict[str, str]:
    """What a perfect annotator would mark, by labels, with a stated share of errors; paths without a labelled page are "no".

    A path's error is drawn by its name, so that it is the same in every round.
    """
    marks = {}
    for name, one in paths.items():
        wanted = one.labelled > 0 and one.wanted >= settings.purity * one.labelled
        wrong = generator(seed, f"annotation error, {name}").random() < settings.error
        marks[name] = YES if wanted != wrong else NO
    return marks
