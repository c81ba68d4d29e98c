"""What must not be in a corpus: questions and gold solutions of the benchmarks' test splits."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from unified_rl.base import files
from unified_rl.base.errors import ConfigError
from unified_rl.tasks import build_task
from unified_rl.tasks.benchmarks import BENCHMARKS

#: Every benchmark that the project reads.
KNOWN = ("gsm8k", *BENCHMARKS)

_ANNOTATION = re.compile(r"<<[^<>\n]*>>")


@dataclass(frozen=True)
class BenchmarkText:
    """id: of the problem. part: question or solution."""

    id: str
    part: str
    text: str


def texts_of(benchmarks: Mapping[str, str]) -> list[BenchmarkText]:
    """The texts of test splits.

    Args:
        benchmarks: task -> where its data is.

    Raises:
        ConfigError: no benchmark is given, or one is unknown. DataError: its data is missing or malformed.
    """
    if not benchmarks:
        raise ConfigError(
            "decontamination.benchmarks is empty; name the data of each, as in decontamination.benchmarks.gsm8k=FOLDER "
            f"(known: {', '.join(KNOWN)})"
        )
    found = []
    for name, path in sorted(benchmarks.items()):
        if name not in KNOWN:
            raise ConfigError(f"decontamination.benchmarks.{name}: not a benchmark that is read; known: {', '.join(KNOWN)}")
        for problem in build_task(name, path=path).problems("test"):
            question = _without_choices(problem.question)
            solution = str(problem.info.get("solution", ""))
            parts = {"question": question, "solution": solution}
            if (plain := _ANNOTATION.sub("", solution)) != solution:  # GSM8K's calculator marks, which copies often lack
                parts["solution without marks"] = plain
            found += [BenchmarkText(problem.id, part, text) for part, text in parts.items() if text.strip()]
    return found


def missing(benchmarks: Mapping[str, str]) -> list[str]:
    """The benchmarks that the project reads and that a corpus was not compared with."""
    return [name for name in KNOWN if name not in benchmarks]


def write_texts(path: Path, texts: list[BenchmarkText]) -> None:
    """Store texts, one a line. Raises RunDirectoryError."""
    files.settle_text(path, "".join(json.dumps(asdict(text), ensure_ascii=False) + "\n" for text in texts))


def read_texts(path: Path) -> list[BenchmarkText]:
    """Texts as they were stored."""
    with path.open(encoding="utf-8", newline="\n") as lines:
        return [BenchmarkText(**json.loads(line)) for line in lines]


def _without_choices(question: str) -> str:
    """A question without its options and the line of ours that announces them: no page is contaminated by those words."""
    from unified_rl.tasks.options import CHOICE_LINE

    for line in CHOICE_LINE.values():
        question = question.partition(f"\n{line}\n")[0]
    return question
