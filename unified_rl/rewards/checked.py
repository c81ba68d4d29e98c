"""What a reward says, looked at before anything is learned from it: one line that names the reward, the item and the remedy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from unified_rl.base.errors import DataError
from unified_rl.base.types import VERDICTS, NamedReward, Prompt, Response, Reward, Score


class CheckedReward:
    """A reward whose scores are looked at, each.

    Args of the constructor:
        name: of the setting that chose it, for messages. apart: who normalises its parts apart, so that it must have some; "" =
            nobody.
    """

    def __init__(self, reward: Reward, name: str, apart: str = "") -> None:
        self._reward, self._name, self._apart = reward, name, apart

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        """The scores, if they are what `types.Reward` promises.

        Raises:
            DataError: of another number or kind, not finite, or with steps that do not fit the response.
        """
        found = self._reward.score(prompts, responses)
        self._count(found, len(prompts), "prompts", "a list of scores for each prompt")
        for prompt, group, scores in zip(prompts, responses, found, strict=True):
            self._count(scores, len(group), f"responses to prompt {prompt.id!r}", "one Score for each response")
            for place, (response, score) in enumerate(zip(group, scores, strict=True)):
                if wrong := problem(score, response) or self._one_number(score):
                    raise DataError(f"{self._name}: response {place} to prompt {prompt.id!r}: {wrong}")
        return found

    def _one_number(self, score: Score) -> str | None:
        if score.parts or not self._apart:
            return None
        return f"its score is one number, but {self._apart} normalises several apart; return a dict of named numbers"

    def _count(self, found: Any, wanted: int, of: str, remedy: str) -> None:
        if not isinstance(found, (list, tuple)):
            raise DataError(f"{self._name}: score() gave {kind(found)} for {wanted} {of}; return {remedy}")
        if len(found) != wanted:
            raise DataError(f"{self._name}: score() gave {len(found)} items for {wanted} {of}; return {remedy}")


def problem(score: Any, response: Response) -> str | None:
    """What is wrong with a score, with the remedy; None if nothing is."""
    if not isinstance(score, Score):
        return f"its score is {kind(score)}; return a unified_rl.base.types.Score"
    if wrong := number_problem("reward", score.reward):
        return wrong
    if score.verdict not in VERDICTS:
        return f"verdict is {score.verdict!r:.60}; give one of {', '.join(VERDICTS)}"
    for name in ("answer", "answer_class"):
        if not isinstance(getattr(score, name), (str, type(None))):
            return f"{name} is {kind(getattr(score, name))}; give a text, or None for no answer"
    if not isinstance(score.accepted, (bool, np.bool_, type(None))):
        return f"accepted is {kind(score.accepted)}; give True, False or None"
    return _parts_problem(score) or _steps_problem(score, len(response))


def number_problem(name: str, value: Any) -> str | None:
    """What is wrong with a number, with the remedy; None if it is one and finite."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (Real, np.number)):
        return f"{name} is {kind(value)}; give a finite number (of a tensor, its .item())"
    if not math.isfinite(value):
        return f"{name} is {value}; give a finite number"
    return None


def _parts_problem(score: Score) -> str | None:
    if not isinstance(score.parts, tuple) or not all(isinstance(part, NamedReward) for part in score.parts):
        return f"parts is {kind(score.parts)}; give a tuple of unified_rl.base.types.NamedReward, or () for one reward"
    names = [part.name for part in score.parts]
    for part in score.parts:
        if not isinstance(part.name, str) or not part.name or names.count(part.name) > 1:
            return f"a part is called {part.name!r:.40}; give each a name of its own"
        if wrong := number_problem(f"the reward {part.name!r}", part.reward) or number_problem(
            f"the weight of {part.name!r}", part.weight
        ):
            return wrong
    total = sum(part.weight * part.reward for part in score.parts)
    if score.parts and not math.isclose(total, score.reward, rel_tol=1e-6, abs_tol=1e-6):
        return f"reward is {score.reward:g}, but its parts add up to {total:g}; give their weighted sum"
    return None


def _steps_problem(score: Score, length: int) -> str | None:
    rewards, ends = score.step_rewards, score.step_ends
    if rewards is None and ends is None:
        return None
    if not isinstance(rewards, np.ndarray) or not isinstance(ends, np.ndarray):
        return f"step_rewards is {kind(rewards)} and step_ends {kind(ends)}; give two NumPy arrays, or None for both"
    if rewards.ndim != 1 or rewards.shape != ends.shape or not len(ends):
        return f"step_rewards has shape {rewards.shape} and step_ends {ends.shape}; give one number and one end for each step"
    if not np.issubdtype(ends.dtype, np.integer) or not np.issubdtype(rewards.dtype, np.number):
        return f"step_ends has dtype {ends.dtype} and step_rewards {rewards.dtype}; give int64 and float32"
    if not np.isfinite(rewards).all():
        return f"step_rewards[{int(np.flatnonzero(~np.isfinite(rewards))[0])}] is not finite; give finite numbers"
    if (np.diff(ends) <= 0).any() or ends[0] < 0 or ends[-1] >= length:
        return f"step_ends={ends.tolist()!r:.80} must ascend within the response's {length} tokens, each the place of a step's last"
    return None


def kind(value: Any) -> str:
    """A value in words: its type, and what it is where that is short."""
    shown = f"{value!r}"
    return f"{value!r} ({type(value).__name__})" if len(shown) <= 40 else f"a {type(value).__name__}"
