"""Demonstrations from files of one's own: records to token ids, with a mask of what the model is to learn to write.

    question -> template, with the form's and the language's instruction -> prompt tokens          not trained on
    solution -> what its author wrote, and EOS                                                    trained on
             -> the outputs of programs in a tool-integrated solution: ```output ... ```          read, not trained on

A tool-integrated solution is cut where a rollout is (sampling/tool_integrated.py): an output begins with the line break after the
program's closing fence and ends with the line break after its own, and each piece is tokenised by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.fences import whole_blocks
from unified_rl.base.types import Demonstration, Problem, Tokenizer
from unified_rl.config.demonstrations import DemonstrationFile
from unified_rl.tasks.fields import field_value
from unified_rl.tasks.reading import FORMATS, local_path, read_records
from unified_rl.tasks.templates import encode

#: Why a record is left out.
BLANK, REPEATED, TOO_LONG, SPECIAL = "no question or no solution", "repeated", "too long", "holds a special token's text"


@dataclass(frozen=True, slots=True)
class EncodedDemonstration:
    """prompt_ids: int32 [P]. response_ids: int32 [T], EOS included. written: bool [T], False on the outputs of programs."""

    prompt_ids: np.ndarray
    response_ids: np.ndarray
    written: np.ndarray

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.response_ids)


def read_demonstrations(part: DemonstrationFile) -> Iterator[Demonstration | None]:
    """The records of one part of the mix, None where the question or the solution is missing or blank.

    Raises:
        ConfigError, DataError: the file cannot be found or read, or a record is not one, naming its place.
    """
    for file in _files(part.path):
        for place, record in read_records(file):
            question, solution = (field_value(record, at) for at in (part.question, part.solution))
            if not all(isinstance(text, str) and text.strip() for text in (question, solution)):
                yield None
                continue
            problem = Problem(place, str(question).strip(), "", {"slice": "main", "language": part.language})
            yield Demonstration(problem, str(solution).strip())


def encode_demonstration(
    demonstration: Demonstration, tokenizer: Tokenizer, template: str, form: str, eos_id: int
) -> EncodedDemonstration | None:
    """A demonstration as token ids; None where its text holds a special token, which would end or split it in training.

    Args:
        form: the solution's form (demonstration_config.FORMS), which chooses the template's instruction.
    """
    special = set(getattr(tokenizer, "all_special_ids", ()))
    prompt_ids = encode(demonstration.problem, tokenizer, template, form).token_ids
    ids: list[int] = []
    written: list[bool] = []
    for text, by_author in pieces(demonstration.solution, form):
        piece = tokenizer.encode(text, add_special_tokens=False)
        if special.intersection(piece):
            return None
        ids += piece
        written += [by_author] * len(piece)
    ids.append(eos_id)
    written.append(True)
    return EncodedDemonstration(np.array(prompt_ids, np.int32), np.array(ids, np.int32), np.array(written))


def pieces(solution: str, form: str) -> list[tuple[str, bool]]:
    """A solution as (text, whether its author wrote it), in order; together they are the solution."""
    if form != "tool_integrated":
        return [(solution, True)]
    found, start = [], 0
    for output in whole_blocks(solution, "output"):
        found += [(solution[start : output.start], True), (solution[output.start : output.end], False)]
        start = output.end
    found.append((solution[start:], True))
    return [(text, by_author) for text, by_author in found if text]


def _files(path: str) -> list[Path]:
    """The files of records that a part's path names, in the order of their names."""
    root = local_path(path, [f"*{suffix}" for suffix in FORMATS] + [f"**/*{suffix}" for suffix in FORMATS])
    if root.is_file():
        if root.suffix not in FORMATS:
            raise ConfigError(f"data.demonstrations: path={path} is none of {', '.join(FORMATS)}")
        return [root]
    files = sorted(file for file in root.rglob("*") if file.suffix in FORMATS and file.is_file()) if root.is_dir() else []
    if not files:
        raise DataError(f"data.demonstrations: path={path} holds no files of records ({', '.join(FORMATS)}); check the path")
    return files
