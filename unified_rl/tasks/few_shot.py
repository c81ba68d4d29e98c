"""Worked examples for few-shot prompts: our own short ones, or a user's from a file."""

from __future__ import annotations

from pathlib import Path

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.tasks.reading import read_records
from unified_rl.tasks.worked_examples import EXAMPLES, Example


def read_examples(path: str | Path, count: int = 0) -> tuple[Example, ...]:
    """The first `count` (0 = all) examples of a file of records with `question` and `solution`.

    Raises:
        DataError: the file cannot be read, a record lacks a field, or there are fewer examples.
    """
    examples = []
    for place, record in read_records(Path(path)):
        for field in ("question", "solution"):
            if not isinstance(record.get(field), str) or not record[field].strip():
                raise DataError(f"{place}: field {field!r} must be a non-empty text, and is {record.get(field)!r:.60}")
        examples.append(Example(record["question"].strip(), record["solution"].strip()))
    if not examples or count > len(examples):
        raise DataError(f"{path} holds {len(examples)} worked examples, and {count or 'some'} are wanted")
    return tuple(examples[: count or None])


def worked_examples(solution: str, language: str, *, choice: bool, count: int = 0) -> tuple[Example, ...]:
    """The first `count` (0 = all) built-in examples.

    Args:
        solution: the solution format. language: "en" or "zh". choice: whether answers are letters of options.

    Raises:
        ConfigError: more are wanted than there are, or letters of a task without options.
    """
    if (solution, language, choice) not in EXAMPLES:
        raise ConfigError(f"task.solution={solution} is for multiple choice; the task's answers are no letters of options")
    examples = EXAMPLES[solution, language, choice]
    if count > len(examples):
        raise ConfigError(
            f"task.shots={count}: there are {len(examples)} built-in examples of {solution} ({language}"
            f"{', multiple choice' if choice else ''}); take fewer, or bring your own (task.examples=FILE.jsonl)"
        )
    return examples[: count or None]
