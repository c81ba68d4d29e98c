"""The documentation's pages as tests see them: code blocks by language, and shell commands word by word."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/README.md")),
    *sorted((ROOT / "docs").glob("**/*.md")),
]
#: Languages of fenced blocks that hold shell commands; an indented block may hold some as well.
SHELL = ("", "bash", "sh")
#: What a command begins with. Other lines of blocks are output, formulas or text.
BEGINNINGS = ("unified-rl", "make", "python", "torchrun", "deepspeed", "pip", "source", "hf", "lm_eval", "srun")


@dataclass(frozen=True)
class Block:
    """A block of code. language: "indented" where it has no fence. line: its first, from 1."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Every fenced and every indented block of a page, in order. A block within a list counts as one."""
    lines = page.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        fence = re.match(r"( *)```(\S*)", lines[at])
        start = at
        if fence:
            at += 1
            while at < len(lines) and not lines[at].startswith(f"{fence[1]}```"):
                at += 1
            yield Block(page, start + 2, fence[2], "\n".join(lines[start + 1 : at]))
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            while at < len(lines) and (lines[at].startswith("    ") or not lines[at].strip()):
                at += 1
            yield Block(page, start + 1, "indented", "\n".join(line[4:] for line in lines[start:at]).rstrip())
            continue
        at += 1


@dataclass(frozen=True)
class Shell:
    """A command of a page: its words, without comments."""

    block: Block
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.block}: {shlex.join(self.words)}"

    @property
    def program(self) -> str:
        """What it starts, settings of the environment before it left out."""
        return next(word for word in self.words if not re.match("[A-Z_]+=", word))


def commands(page: Path) -> Iterator[Shell]:
    """Every shell command of a page, in order; `a && b` is two."""
    for block in blocks(page):
        if block.language in (*SHELL, "indented"):
            yield from (Shell(block, words) for words in _commands(block.text))


def _commands(text: str) -> Iterator[tuple[str, ...]]:
    lines = iter(text.splitlines())
    for line in lines:
        first = re.match(r"(?:[A-Z_]+=\S+ )*([\w-]+)", line)
        if not first or first[1] not in BEGINNINGS:
            continue
        whole = line
        while True:  # a command goes on behind a backslash, and in a quotation
            try:
                parts = shlex.split(whole.replace("\\\n", " "), comments=True)
            except ValueError:
                whole += "\n" + next(lines)
                continue
            if not whole.endswith("\\"):
                break
            whole += "\n" + next(lines)
        yield from _apart(parts)


def _apart(parts: list[str]) -> Iterator[tuple[str, ...]]:
    while "&&" in parts:
        yield tuple(parts[: parts.index("&&")])
        parts = parts[parts.index("&&") + 1 :]
    yield tuple(parts)


def named_files(page: Path) -> dict[str, str]:
    """File -> text, of the blocks of Python and YAML whose first line is a comment with a file's name."""
    found = {}
    for block in blocks(page):
        name = re.match(r"# (\w+\.(?:py|yaml))$", block.text.partition("\n")[0])
        if block.language in ("python", "yaml") and name:
            found[name[1]] = block.text + "\n"
    return found
