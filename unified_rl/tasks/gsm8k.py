"""GSM8K (grade-school word problems) from local files, and the rule by which answers in free text are read and compared."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import count as counter
from pathlib import Path

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import SPLITS, AnswerCheck, Demonstration, Problem, Split, StepCheck
from unified_rl.tasks.reading import NAMED, all_of, find_files, local_path, read_records

# Where a directory may keep a split, first match wins. The first two are the Hub's layouts.
LAYOUTS = {
    split: (
        f"main/{split}-*.parquet",
        f"{split}-*.parquet",
        f"{split}.parquet",
        f"{split}.jsonl",
        f"main/{split}.jsonl",
        f"gsm8k_{split}.jsonl",
    )
    for split in ("train", "test")
}
FORMATS = (".jsonl", ".parquet")

_ANNOTATION = re.compile(r"<<[^<>\n]*>>")

# Marks after which a final answer stands. Brackets and sentences are closed by the number's own end.
_MARK = re.compile(r"####|\\boxed\s{0,4}\{|\bthe (?:final )?answer is\b", re.IGNORECASE)

# What may stand between mark and number: spaces, a colon, markup, a currency sign, an opening bracket.
_DECORATION = re.compile(r"(?:[\s:=*_$€£({\[]|\\\$|\\\(|\\text\{|\\mathbf\{|\\textbf\{){0,12}")
_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,8}(?![0-9])|[0-9]{1,24})"
_DECIMAL = rf"(?:{_DIGITS}(?:\.[0-9]{{1,24}})?|\.[0-9]{{1,24}})"
_NUMBER = re.compile(
    rf"(?P<sign>[-+−–]?)[ $€£]{{0,2}}(?:\\d?frac\{{(?P<top>{_DIGITS})\}}\{{(?P<bottom>{_DIGITS})\}}"
    rf"|(?P<over>{_DIGITS}) ?/ ?(?P<under>{_DIGITS})|(?P<decimal>{_DECIMAL}))"
)

# After the number, anything but more of a number or of a formula: "3 + 4", "5 1/2", "1e5" and "12:30" are not answers.
_CONTINUES = re.compile(r"[ \t.,:eE]?[0-9]|\s{0,2}(?:[-+−*/^=×÷]|\\times|\\cdot)\s{0,2}[0-9(\\$]")

# Model output is hostile: a mark is read within this many characters.
_WINDOW = 120


class Gsm8k:
    """GSM8K's problems, read from local files.

    Two record formats are understood, alone or mixed: the Hub's `openai/gsm8k` (`question`, and an `answer` that ends in
    `#### N`), and records with `question`, `solution` and a bare `answer`.

    Splits: "test" is the test file. "validation" is the part of the training file whose questions' hash falls below
    `validation_fraction`, "train" the rest; so a question belongs to one of them whatever the order or number of records.

    Demonstrations are the training solutions without their `<<48/2=24>>` calculator annotations, closed by `final_line`.

    Args:
        path: a directory that holds the files in one of the layouts of `LAYOUTS`, `hub:openai/gsm8k`, or one .jsonl or .parquet
            file. A file whose name contains "test" is the test split, any other the training split, and the other split is then
            absent.
        validation_fraction: share of the training file that is held out, in [0, 1).
        final_line: last line of every demonstration, with the place of the answer as "{answer}".

    Raises:
        ConfigError: where an argument is out of range, naming it.
        DataError: where no file is found (naming those looked for) or a record is malformed (naming file, line and field).
    """

    name = "gsm8k"
    slices = ("main",)

    def __init__(self, path: str | Path, validation_fraction: float = 0.05, final_line: str = "#### {answer}") -> None:
        if not path:
            raise ConfigError("task gsm8k needs data: set path to a directory or file with GSM8K records")
        if not 0.0 <= validation_fraction < 1.0:
            raise ConfigError(f"validation_fraction={validation_fraction} must lie in [0, 1)")
        if "{answer}" not in final_line or extract_answer(final_line.replace("{answer}", "7")) != 7:
            raise ConfigError(
                f"final_line={final_line!r} must hold '{{answer}}' in a form that the grader reads, e.g. '#### {{answer}}'"
            )
        self.path = local_path(path, [glob for globs in LAYOUTS.values() for glob in globs])
        self.validation_fraction = validation_fraction
        self.final_line = final_line
        self._files = find_files(self.path, LAYOUTS, self.name, FORMATS)
        self._read: dict[str, list[Problem]] = {}

    def problems(self, split: Split, count: int | None = None, slice: str | None = None) -> Sequence[Problem]:
        """The first `count` problems of a split (None: all), in the files' order. Raises DataError if there are fewer."""
        if split not in SPLITS:
            raise ConfigError(f"split={split!r} is unknown; choose one of {', '.join(SPLITS)}")
        if slice not in (None, *self.slices):
            raise ConfigError(f"slice={slice!r} is unknown to task gsm8k; its only slice is 'main'")
        problems = self._file_problems("test" if split == "test" else "train")
        if split != "test":
            problems = [problem for problem in problems if self._held_out(problem) == (split == "validation")]
        if count is not None and count > len(problems):
            raise DataError(f"task gsm8k has {len(problems)} {split} problems in {self.path}, and {count} were asked for")
        if not problems:
            raise DataError(
                f"task gsm8k: the {split} split of {self.path} is empty with validation_fraction={self.validation_fraction}"
            )
        return tuple(problems[:count])

    def demonstrations(self, count: int | None = None) -> Sequence[Demonstration]:
        """The first `count` training problems with their human solutions."""
        return tuple(Demonstration(problem, self._solution(problem)) for problem in self.problems("train", count))

    def check_answer(self, problem: Problem, text: str) -> AnswerCheck:
        """Grade by the *marked-answer rule* of `extract_answer`; equality is that of rational numbers."""
        value = extract_answer(text)
        if value is None:
            return AnswerCheck("unparsable", None, None)
        correct = value == Fraction(problem.gold)
        return AnswerCheck("correct" if correct else "incorrect", str(value), str(value))

    def check_steps(self, problem: Problem, text: str) -> Sequence[StepCheck]:
        """Always raises ConfigError: free-text steps have no exact checker."""
        raise ConfigError(
            "task gsm8k cannot judge single steps exactly; use reward.supervision=outcome, or a process reward model "
            "(reward.source=model)"
        )

    def _file_problems(self, split: str) -> list[Problem]:
        """All problems of the training or the test file."""
        if split not in self._read:
            if split not in self._files:
                raise DataError(
                    f"task gsm8k: {self.path} holds no {split} split; set path to the directory that holds both files"
                )
            records = (record for file in self._files[split] for record in read_records(file))
            index = counter()
            read = all_of(records, lambda place, record: _problem(f"gsm8k/{split}/{next(index)}", place, record))
            repeated = [identity for identity, times in Counter(problem.id for problem in read).items() if times > 1]
            if repeated:
                named = ", ".join(f"{identity!r:.60}" for identity in repeated[:NAMED])
                raise DataError(f"task gsm8k: {self.path} holds two problems of id {named}; ids must differ")
            self._read[split] = read
        return self._read[split]

    def _held_out(self, problem: Problem) -> bool:
        digest = hashlib.blake2b(problem.question.strip().encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64 < self.validation_fraction

    def _solution(self, problem: Problem) -> str:
        body = _ANNOTATION.sub("", str(problem.info["solution"])).strip()
        return f"{body}\n{self.final_line.replace('{answer}', problem.gold)}"


def extract_answer(text: str) -> Fraction | None:
    """The final answer of a response by the marked-answer rule; None where there is none. Never evaluates, never raises.

    The last mark in the text counts: `####`, `\\boxed{`, or `the answer is` (`the final answer is`). The answer is the number
    that directly follows it, currency signs, markup and opening brackets apart; units may come after ("72 apples", and "50%" is
    50), more of a formula may not ("3 + 4"). A number that no mark announces is not an answer: the last number of a response is
    too often an intermediate result, and a policy that is paid for it unlearns to conclude.

    Numbers are integers, decimals, fractions (`3/4`, `\\frac{3}{4}`), with thousands commas and any minus, to 24 digits.
    """
    marks = list(_MARK.finditer(text))
    if not marks:
        return None
    start = marks[-1].end()
    return parse_number(text[start : start + _WINDOW])


def parse_number(text: str) -> Fraction | None:
    """The number that `text` begins with, decoration apart; None if it does not or if the number goes on as a formula."""
    decoration = _DECORATION.match(text)  # which may be nothing, so that there always is one
    match = _NUMBER.match(text, decoration.end() if decoration else 0)
    if match is None or _CONTINUES.match(text, match.end()):
        return None
    if match["decimal"]:
        value = Fraction(match["decimal"].replace(",", ""))
    else:
        top, bottom = (part.replace(",", "") for part in (match["top"] or match["over"], match["bottom"] or match["under"]))
        if int(bottom) == 0:
            return None
        value = Fraction(int(top), int(bottom))
    return -value if match["sign"] in ("-", "−", "–") else value


def _problem(identity: str, place: str, record: dict) -> Problem:
    """A problem from a record of either format; `gold` is the canonical answer."""
    question, answer = _field(place, record, "question"), _field(place, record, "answer")
    if "solution" in record:
        solution, gold_text = _field(place, record, "solution"), answer
    else:
        solution, mark, gold_text = answer.rpartition("####")
        if not mark:
            raise DataError(f"{place}: field 'answer' has no '#### N' and there is no field 'solution' beside it")
    gold = parse_number(gold_text)
    if gold is None:
        raise DataError(f"{place}: field 'answer' holds no number that can be read: {gold_text[:60]!r}")
    identity = str(record.get("id", identity))
    return Problem(identity, question, str(gold), {"slice": "main", "solution": solution})


def _field(place: str, record: dict, field: str) -> str:
    value = record.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # an answer that was stored as a number
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place}: field {field!r} must be a non-empty text, and is {value!r:.60}")
    return value
