"""Rewards that come from checking: the final answer (rule), or the final answer and every step (exact).

A reward fills in raw facts (verdict, extracted answer, its class) beside the number, so that every statistic can be derived later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import AnswerCheck, NamedReward, Prompt, Response, Reward, Score, Task, Tokenizer
from unified_rl.config.rewards import OVERLONG


class OutcomeReward:
    """One reward per response: `correct` for a right final answer, `incorrect` for any other. The paper's "Rule".

    A truncated response has not given its final answer: whatever the grader finds in it is not an answer, nor a vote.
    """

    def __init__(self, task: Task, *, correct: float = 1.0, incorrect: float = 0.0) -> None:
        self._task = task
        self._values = {True: correct, False: incorrect}

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        """One score per response. A task that can grade many answers at once (`types.BatchGraded`) is asked once."""
        if not hasattr(self._task, "check_answers"):
            return [[self.score_one(prompt, one) for one in group] for prompt, group in zip(prompts, responses, strict=True)]
        pairs = zip(prompts, responses, strict=True)
        asked = [(prompt.problem, one.text) for prompt, group in pairs for one in group if not one.truncated]
        checks = iter(self._task.check_answers(asked))
        return [[self._score(None if one.truncated else next(checks)) for one in group] for group in responses]

    def score_one(self, prompt: Prompt, response: Response) -> Score:
        return self._score(None if response.truncated else self._task.check_answer(prompt.problem, response.text))

    def _score(self, check: AnswerCheck | None) -> Score:
        """The score of a checked answer; None for a truncated response."""
        if check is None:
            return Score(self._values[False], "incorrect", None, None)
        return Score(self._values[check.verdict == "correct"], check.verdict, check.answer, check.answer_class)


class ExactProcessReward:
    """One reward per step from the task's exact step checker, beside the outcome.

    Each step's reward sits on its last token. The last step ends at the response's last token, so that EOS is not left without an
    advantage. A response in which no step can be found has one step, the whole of it, which is as right as its final answer
    (never right when truncated): garbage is graded, not ignored.
    """

    def __init__(self, task: Task, tokenizer: Tokenizer, *, correct: float = 1.0, incorrect: float = 0.0) -> None:
        self._task = task
        self._locator = StepLocator(tokenizer)
        self._values = {True: correct, False: incorrect}
        self._outcome = OutcomeReward(task, correct=correct, incorrect=incorrect)

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        return [
            [self.score_one(prompt, response) for response in group] for prompt, group in zip(prompts, responses, strict=True)
        ]

    def score_one(self, prompt: Prompt, response: Response) -> Score:
        outcome = self._outcome.score_one(prompt, response)
        steps = self._task.check_steps(prompt.problem, response.text)
        ends, right = [step.end_char for step in steps], [step.correct for step in steps]
        if not steps:
            ends, right = [len(response.text)], [outcome.verdict == "correct"]
        elif response.truncated:
            right[-1] = False  # cut off in the middle: whatever it would have become, it was not finished
        tokens, kept = self._locator.end_tokens(response, ends)
        rewards = np.array([self._values[right[index]] for index in kept], dtype=np.float32)
        known = np.array([right[index] for index in kept], dtype=bool)
        return replace(outcome, step_rewards=rewards, step_ends=tokens, steps_right=known)


class StepLocator:
    """Finds the tokens at which steps end. Responses are decoded, never encoded again."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._pieces: dict[int, str] = {}

    def end_tokens(self, response: Response, end_chars: Sequence[int]) -> tuple[np.ndarray, list[int]]:
        """Index of each step's last token, the last step's being the response's last token.

        A token that straddles a step's end belongs to that step; where two steps end in the same token, the later one keeps it.

        Args:
            end_chars: ascending ends (exclusive) of the steps in `response.text`.

        Returns:
            int64 [K], strictly increasing, and the indices of the steps that kept a token.
        """
        tokens = np.searchsorted(self._char_ends(response), end_chars, side="left").clip(max=len(response) - 1)
        tokens[-1] = len(response) - 1
        kept = [index for index in range(len(tokens)) if index + 1 == len(tokens) or tokens[index] < tokens[index + 1]]
        return tokens[kept].astype(np.int64), kept

    def _char_ends(self, response: Response) -> np.ndarray:
        """Length of the decoded text after each token."""
        pieces = [self._piece(token) for token in response.token_ids.tolist()]
        if "".join(pieces) == response.text:
            return np.cumsum([len(piece) for piece in pieces])
        # Tokens that hold parts of a character (byte-level tokenizers) only decode together.
        ids = response.token_ids.tolist()
        return np.array([len(self._tokenizer.decode(ids[: end + 1], skip_special_tokens=True)) for end in range(len(ids))])

    def _piece(self, token: int) -> str:
        if token not in self._pieces:
            self._pieces[token] = self._tokenizer.decode([token], skip_special_tokens=True)
        return self._pieces[token]


class OverlongPenalty:
    """Adds DAPO's soft overlong penalty (arXiv 2503.14476, Eq. 13) to another reward's outcome.

    0 up to `max_tokens - margin` tokens, then linearly down to -1 at `max_tokens`.
    """

    def __init__(self, reward: Reward, *, max_tokens: int, margin: int) -> None:
        if not 0 < margin <= max_tokens:
            raise ConfigError(f"reward.overlong={margin} must lie between 1 and generator.max_new_tokens={max_tokens}")
        self._reward, self._max_tokens, self._margin = reward, max_tokens, margin

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        scores = self._reward.score(prompts, responses)
        return [
            [_add(score, self.penalty(len(response))) for score, response in zip(group, texts, strict=True)]
            for group, texts in zip(scores, responses, strict=True)
        ]

    def penalty(self, length: int) -> float:
        """The penalty in [-1, 0] of a response of `length` tokens."""
        return -min(1.0, max(0.0, (length - (self._max_tokens - self._margin)) / self._margin))


class NoReward:
    """The answer is still graded, as a fact to log; the reward is 0 (SFT's column of the table)."""

    def __init__(self, task: Task) -> None:
        self._graded = OutcomeReward(task, correct=0.0, incorrect=0.0)

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        return self._graded.score(prompts, responses)


def _add(score: Score, amount: float) -> Score:
    """The score with a penalty in its reward, and, where there are several, as one of them."""
    parts = (*score.parts, NamedReward(OVERLONG, amount)) if score.parts else ()
    return replace(score, reward=score.reward + amount, parts=parts)
