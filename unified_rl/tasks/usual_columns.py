"""The columns by which people name questions and answers, so that a file of them needs no description.

A record gives three texts: the question, the answer, and a worked solution (the answer itself where there is no other). An answer
that is worked out gives its end alone: what follows `####` (GSM8K) or stands in the last `\\boxed{}` (MATH).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unified_rl.base.errors import DataError
from unified_rl.grading.boxes import contents_of_last

QUESTIONS = ("question", "problem", "prompt", "query", "instruction", "input")
ANSWERS = ("answer", "final_answer", "gold", "target", "label", "solution", "output", "completion", "response")
SOLUTIONS = ("solution", "rationale", "reasoning", "output", "completion", "response")
MESSAGES = "messages"
#: Of two responses to a prompt that were compared.
CHOSEN, REJECTED = ("chosen", "preferred"), ("rejected", "dispreferred")
#: Names under which `usual` adds what it finds; no column has such a name.
QUESTION, ANSWER, SOLUTION = "usual question", "usual answer", "usual solution"
_MARK = "####"


def usual(place: str, record: Mapping[str, Any], question: bool = True, answer: bool = True) -> dict[str, Any]:
    """The record with what its usual columns say.

    Args:
        question, answer: which of the two are asked for; the other one is described by its field.

    Raises:
        DataError: none of its columns is usual, or its messages are no question with an answer.
    """
    asked, replied = _of_messages(place, record[MESSAGES]) if record.get(MESSAGES) else (None, None)
    found = dict(record)
    if question:
        found[QUESTION] = asked or _question(place, record)
    if answer:
        value = _first(record, ANSWERS)
        value = replied if value is None else value
        if value is None:
            raise DataError(_missing(place, record, "answer", ANSWERS))
        text = _spoken(place, value)
        found[ANSWER] = final(text) if isinstance(text, str) else text
        worked = _first(record, SOLUTIONS) or replied
        found[SOLUTION] = str(text) if worked is None else str(_spoken(place, worked))
    return found


def holds_pairs(columns: Iterable[str]) -> bool:
    """Whether records with these columns are pairs of responses that were compared."""
    names = {str(name).strip().lower() for name in columns}
    return bool(names.intersection(CHOSEN)) and bool(names.intersection(REJECTED))


def pair(place: str, record: Mapping[str, Any]) -> tuple[str, str, str]:
    """(prompt, better response, worse response) of a record of preference data.

    The responses are texts, or conversations whose last turn is the response; the others are the prompt where no column holds it.

    Raises:
        DataError: one of the three is missing or blank, or both responses are the same.
    """
    found = {}
    for what, names in (("chosen", CHOSEN), ("rejected", REJECTED)):
        value = _first(record, names)
        text = None if value is None else _spoken(place, value)
        if not isinstance(text, str) or not text.strip():
            raise DataError(
                f"{place}: no {what} response in a column {' or '.join(map(repr, names))}; its columns: "
                f"{', '.join(map(str, record))}; a preference file has prompt, chosen and rejected"
            )
        found[what] = text.strip()
    if found["chosen"] == found["rejected"]:
        raise DataError(
            f"{place}: the chosen and the rejected response are the same text, so that nothing is preferred; drop it"
        )
    chosen = _first(record, CHOSEN)
    asked = _first(record, QUESTIONS) is not None or not isinstance(chosen, (list, tuple))
    return (_question(place, record) if asked else _of_messages(place, chosen)[0]), found["chosen"], found["rejected"]


def pair_in_words(columns: Iterable[str]) -> str:
    """Which of a preference file's columns are read."""
    names = {str(name).strip().lower(): name for name in columns}
    read = [
        next((names[one] for one in usual_names if one in names), "chosen") for usual_names in (QUESTIONS, CHOSEN, REJECTED)
    ]
    return f"prompts from {read[0]!r}, better responses from {read[1]!r}, worse ones from {read[2]!r}"


def in_words(columns: Iterable[str]) -> str:
    """Which of a file's columns are read."""
    names = {name.strip().lower(): name for name in columns}
    read = [next((names[one] for one in usual_names if one in names), MESSAGES) for usual_names in (QUESTIONS, ANSWERS)]
    return f"questions from {read[0]!r}, answers from {read[1]!r}"


def final(text: str) -> str:
    """The end of a worked answer: what follows the last `####`, or stands in the last box; else the text."""
    if _MARK in text:
        return text.rpartition(_MARK)[2].strip()
    boxed = contents_of_last(text, "last") if "\\boxed" in text else None
    return (boxed or text).strip()


def _question(place: str, record: Mapping[str, Any]) -> str:
    if (value := _first(record, QUESTIONS)) is None:
        raise DataError(_missing(place, record, "question", QUESTIONS))
    if isinstance(value, (list, tuple)):
        return _of_messages(place, value)[0]
    context = _first(record, ("input",)) if value is _first(record, ("instruction",)) else None
    return f"{value}\n{context}" if context else str(value)


def _first(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first of these columns that holds something, whatever their letters' case."""
    columns = {str(name).strip().lower(): name for name in record}
    values = (record[columns[name]] for name in names if name in columns)
    return next((value for value in values if value is not None and value != "" and value != []), None)


def _spoken(place: str, value: Any) -> Any:
    """What a list of messages says at its end; anything else as it is."""
    return _messages(place, value)[-1][1] if isinstance(value, (list, tuple)) else value


def _of_messages(place: str, value: Any) -> tuple[str, str | None]:
    """The question and the answer (None where there is none yet) of a conversation of one turn."""
    said = _messages(place, value)
    system = [text for role, text in said if role == "system"]
    users = [text for role, text in said if role == "user"]
    if len(users) != 1 or len(said) - len(system) > 2:
        raise DataError(
            f"{place}: a conversation of {len(users)} questions, where one with at most one answer is read; split it"
        )
    replies = [text for role, text in said if role == "assistant"]
    return "\n\n".join([*system, *users]), replies[-1] if replies else None


def _messages(place: str, value: Any) -> list[tuple[str, str]]:
    said: list[tuple[str, str]] = []
    for one in value if isinstance(value, (list, tuple)) else ():
        if not isinstance(one, Mapping) or not isinstance(one.get("content"), str):
            said = []
            break
        said.append((str(one.get("role")), one["content"]))
    if not said:
        raise DataError(f"{place}: messages must be a list of {{'role': ..., 'content': TEXT}}, and are {value!r:.60}")
    return said


def _missing(place: str, record: Mapping[str, Any], what: str, names: Sequence[str]) -> str:
    option = {"question": "question", "answer": "gold"}[what]
    return (
        f"{place}: no {what} in a column of a usual name ({', '.join(names)}); its columns: {', '.join(map(str, record))}; name "
        f"the one that holds it with task.options.{option}=COLUMN"
    )
