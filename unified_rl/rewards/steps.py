"""Where the steps of a response end: named segmentations.

    newline    each line with something on it
    step_n     from one "Step n" at the start of a line or sentence to the next; only ascending numbers count
    task       the task's own steps (`Task.check_steps`)
    token:ID   each occurrence of the token ID

All of them give the tokens at which steps end (int64 [K], strictly increasing); the last step ends at the response's last token,
so that EOS belongs to it, and a response without steps is one step (`rewards.StepLocator` has the rule for straddling tokens).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Prompt, Response, Task, Tokenizer
from unified_rl.rewards.rewards import ExactProcessReward, StepLocator

NAMES = ("newline", "step_n", "task", "token:ID")

_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
# A line or sentence that starts with "Step 3", perhaps behind markup ("**Step 3", "### Step 3").
_STEP_N = re.compile(r"(?:^|(?<=[.!?]) )[ \t]*(?:#{1,6} |[*_]{1,2})?step (\d{1,4})\b", re.IGNORECASE | re.MULTILINE)


class Segmenter(Protocol):
    """Divides responses into steps."""

    name: str

    def step_ends(self, prompt: Prompt, response: Response) -> np.ndarray:
        """int64 [K]: index of each step's last token, strictly increasing, the last being the response's last token."""


def build_segmenter(name: str, task: Task, tokenizer: Tokenizer) -> Segmenter:
    """The segmentation called `name`.

    Raises:
        ConfigError: no segmentation has that name.
    """
    if name == "newline":
        return TextSegmenter(name, tokenizer, lambda prompt, text: line_ends(text))
    if name == "step_n":
        return TextSegmenter(name, tokenizer, lambda prompt, text: step_n_ends(text))
    if name == "task":
        return TextSegmenter(
            name, tokenizer, lambda prompt, text: [step.end_char for step in task.check_steps(prompt.problem, text)]
        )
    if name.startswith("token:") and name.removeprefix("token:").isdecimal():
        return TokenSegmenter(int(name.removeprefix("token:")), tokenizer)
    raise ConfigError(
        f"segmentation={name!r} is not known; choose one of: {', '.join(NAMES)} (where ID is a token's number, as in token:13)"
    )


class TextSegmenter:
    """Steps that end at places in the text.

    Args of the constructor:
        ends: (prompt, text) -> ascending ends (exclusive) of the steps, as characters; empty where there are none.
    """

    def __init__(self, name: str, tokenizer: Tokenizer, ends: Callable[[Prompt, str], Sequence[int]]) -> None:
        self.name = name
        self._ends, self._locator = ends, StepLocator(tokenizer)

    def step_ends(self, prompt: Prompt, response: Response) -> np.ndarray:
        ends = self._ends(prompt, response.text) or [len(response.text)]
        tokens, _ = self._locator.end_tokens(response, ends)
        return tokens


class TokenSegmenter:
    """Steps that end with a certain token. What follows the last one is a step of its own, unless it decodes to nothing (EOS)."""

    def __init__(self, token_id: int, tokenizer: Tokenizer) -> None:
        self.name = f"token:{token_id}"
        self._token_id, self._tokenizer = token_id, tokenizer

    def step_ends(self, prompt: Prompt, response: Response) -> np.ndarray:
        last = len(response) - 1
        ends = np.flatnonzero(response.token_ids == self._token_id).tolist()
        if ends and self._blank(response.token_ids[ends[-1] + 1 :]):
            ends.pop()
        return np.array([end for end in ends if end < last] + [last], dtype=np.int64)

    def _blank(self, token_ids: np.ndarray) -> bool:
        return not self._tokenizer.decode(token_ids.tolist(), skip_special_tokens=True).strip()


class ExactSteps:
    """The task's exact step checker on the steps of any segmentation: the oracle that labels and reward models are held against."""

    def __init__(self, task: Task, tokenizer: Tokenizer) -> None:
        self._exact = ExactProcessReward(task, tokenizer)

    def verdicts(self, prompt: Prompt, response: Response, step_ends: np.ndarray) -> np.ndarray:
        """float32 [K]: 1 where everything the checker judges in a step is right, 0 where not, NaN where it judges nothing there.

        Raises:
            ConfigError: the task has no exact step checker.
        """
        score = self._exact.score_one(prompt, response)
        assert score.step_ends is not None and score.step_rewards is not None
        step_of = np.searchsorted(step_ends, score.step_ends)
        verdicts = np.full(len(step_ends), np.nan, dtype=np.float32)
        np.fmin.at(verdicts, step_of, score.step_rewards)
        return verdicts


def line_ends(text: str) -> list[int]:
    """Ends (exclusive) of the lines that are not blank, line break included."""
    return [match.end() for match in _LINE.finditer(text) if match[0].strip()]


def step_n_ends(text: str) -> list[int]:
    """Ends (exclusive) of "Step n" steps. What stands before the first belongs to it; a number not ascending is a mention."""
    starts, number = [], -1
    for match in _STEP_N.finditer(text):
        if int(match[1]) > number:
            number = int(match[1])
            starts.append(match.start())
    return [*starts[1:], len(text)] if starts else []
