"""The options of a multiple-choice question: read from a record, and written below the question."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

#: How the options are announced, where the response is to reason.
CHOICE_LINE = {
    "en": "Which of these options is right? Answer with its letter.",
    "zh": "下列选项中哪些正确？请用选项的字母作答。",
}
#: What stands in front of the letter, where the letter alone is to be told.
ANSWER_LINE = {"en": "Answer:", "zh": "答案："}

_LABEL = re.compile(r"\s*[(（]?([A-Z])[)）.．:：、]\s*")
_LABELS = re.compile(r"(?:\A|(?<=[\s;,；，]))[(（]?([A-H])[)）]")


def letter(index: int) -> str:
    """Of an option."""
    return chr(ord("A") + index)


def option_list(value: object) -> tuple[str, ...]:
    """The options that a record lists, without their labels; () where a text does not list them as A) ... B) ... ."""
    if not isinstance(value, str):
        return tuple(option_text(option) for option in value) if isinstance(value, Sequence) else ()
    found = list(_LABELS.finditer(value))
    if len(found) < 2 or [match[1] for match in found] != [letter(index) for index in range(len(found))]:
        return ()
    ends = [*(match.start() for match in found[1:]), len(value)]
    return tuple(value[match.end() : end].strip(" \t\n;,；，") for match, end in zip(found, ends, strict=True))


def option_text(option: object) -> str:
    """One option without its label."""
    if option is None or (isinstance(option, float) and math.isnan(option)):
        return "None"  # what readers of tables make of the word
    label = _LABEL.match(str(option))
    return (str(option)[label.end() :] if label else str(option)).strip()


def listed(options: Sequence[str]) -> str:
    """The options one per line, as "(A) ..."."""
    return "\n".join(f"({letter(index)}) {option}" for index, option in enumerate(options))


def choice_question(stem: str, options: Sequence[str] | str, language: str) -> str:
    """A question to reason about. options: a text that lists them already is left as it is."""
    return f"{stem.strip()}\n{CHOICE_LINE[language]}\n{options if isinstance(options, str) else listed(options)}"


def letter_question(stem: str, options: Sequence[str], language: str) -> str:
    """A question whose answer is the letter that follows at once: MMLU's form (Hendrycks et al. 2021), as lm-eval has it too."""
    lines = [f"{letter(index)}. {option}" for index, option in enumerate(options)]
    return "\n".join([stem.strip(), *lines, ANSWER_LINE[language]])
