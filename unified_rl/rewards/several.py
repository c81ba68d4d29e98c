"""Several rewards of one response: named, weighted, added up; a rule mixed with a model is two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from unified_rl.base.errors import DataError
from unified_rl.base.types import NamedReward, Prompt, Response, Reward, Score
from unified_rl.config.ranges import between


class SeveralRewards:
    """sum over k of w_k r_k, with each r_k and w_k kept by its name (`Score.parts`) for coefficients that normalise them apart.

    Under process supervision step rewards are added up step by step; a part without them gives its outcome to the last step alone.
    The sum accepts an answer when parts of more than half of the positive weights do. Facts (verdict, answer) are the first part's;
    those of steps (which are right, which accepted) are of the first part that has them.

    Args of the constructor:
        parts: name -> reward, at least one. weights: name -> w_k, of any sign.
    """

    def __init__(self, parts: Mapping[str, Reward], weights: Mapping[str, float]) -> None:
        self._parts, self._weights = dict(parts), dict(weights)
        self._half = sum(max(weight, 0.0) for weight in self._weights.values()) / 2

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        """Raises DataError where two parts give step rewards, but at different steps."""
        found = [part.score(prompts, responses) for part in self._parts.values()]
        return [
            [self._together(prompt, scores) for scores in zip(*groups, strict=True)]
            for prompt, *groups in zip(prompts, *found, strict=True)
        ]

    def _together(self, prompt: Prompt, scores: Sequence[Score]) -> Score:
        parts = tuple(
            NamedReward(name, score.reward, self._weights[name]) for name, score in zip(self._parts, scores, strict=True)
        )
        accepting = sum(max(one.weight, 0.0) * score.judged_correct for one, score in zip(parts, scores, strict=True))
        step_rewards, step_ends = self._steps(prompt, scores)
        judging = max(scores, key=lambda score: (score.steps_accepted is not None, score.steps_right is not None))
        return replace(
            scores[0],
            reward=sum(one.weight * one.reward for one in parts),
            accepted=accepting > self._half,
            step_rewards=step_rewards,
            step_ends=step_ends,
            steps_right=judging.steps_right,
            steps_accepted=judging.steps_accepted,
            step_values=next((score.step_values for score in scores if score.step_values is not None), None),
            sampled_tokens=sum(score.sampled_tokens for score in scores),
            parts=parts,
        )

    def _steps(self, prompt: Prompt, scores: Sequence[Score]) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The weighted sum of the parts' step rewards, and where the steps end; None where no part has any."""
        ends_of = {
            name: score.step_ends for name, score in zip(self._parts, scores, strict=True) if score.step_ends is not None
        }
        if not ends_of:
            return None, None
        first, ends = next(iter(ends_of.items()))
        for name, others in ends_of.items():
            if not np.array_equal(ends, others):
                raise DataError(
                    f"a response to prompt {prompt.id!r} has steps ending at tokens {ends.tolist()} for {first} and at "
                    f"{others.tolist()} for {name}; segment both alike (segmentation=task), or let one judge the outcome"
                )
        total = np.zeros(len(ends))
        for weight, score in zip(self._weights.values(), scores, strict=True):
            if score.step_rewards is None:
                total[-1] += weight * score.reward
            else:
                total += weight * score.step_rewards
        return total.astype(np.float32), ends


def mixture(rule: Reward, model: Reward, rule_weight: float) -> SeveralRewards:
    """w rule + (1 - w) model.

    Raises:
        ConfigError: a weight outside 0..1.
    """
    between("reward.rule_weight", rule_weight, 0.0, 1.0)
    return SeveralRewards({"rule": rule, "model": model}, {"rule": rule_weight, "model": 1 - rule_weight})
