"""Judgements with errors of stated rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unified_rl.base import rng
from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Prompt, Response, Reward, Score
from unified_rl.config.ranges import between

_OUTCOME = -1  # stands where a step's number does


class NoisyReward:
    """A right-or-wrong reward whose judgements err: wrong ones pass with one rate, right ones fail with another.

    Each judgement (the outcome's; under process supervision also each step's, independently) is turned over with the rate of its
    kind. Whether it is turned over is a function of (seed, prompt, the response's tokens, step): the same response is always
    judged alike, so the noise cannot be averaged away by sampling it again. `verdict` stays the grader's own.

    Args of the constructor:
        reward: gives `correct` or `incorrect`, nothing between (the rule, the exact checker).
        false_positive: chance that a wrong answer or step is taken for right. false_negative: that a right one is for wrong.

    Raises:
        ConfigError: rates outside 0..1, or two equal reward values, which tell nothing apart.
    """

    def __init__(
        self,
        reward: Reward,
        *,
        false_positive: float,
        false_negative: float,
        seed: int,
        correct: float = 1.0,
        incorrect: float = 0.0,
    ) -> None:
        between("reward.false_positive", false_positive, 0.0, 1.0)
        between("reward.false_negative", false_negative, 0.0, 1.0)
        if correct == incorrect:
            raise ConfigError(
                f"reward.correct and reward.incorrect are both {correct}, so there is nothing to confuse; change one"
            )
        self._reward, self._seed = reward, seed
        self._rates = {True: false_negative, False: false_positive}
        self._values = {True: correct, False: incorrect}
        self._judgements = {np.float32(value): right for right, value in self._values.items()}

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        """Raises ConfigError where the wrapped reward gives another value than its two."""
        scores = self._reward.score(prompts, responses)
        return [
            [self._disturb(prompt, response, score) for response, score in zip(texts, group, strict=True)]
            for prompt, texts, group in zip(prompts, responses, scores, strict=True)
        ]

    def _disturb(self, prompt: Prompt, response: Response, score: Score) -> Score:
        accepted = self._judge(prompt, response, _OUTCOME, score.reward)
        noisy = replace(score, reward=self._values[accepted], accepted=accepted)
        if score.step_rewards is None:
            return noisy
        steps = [self._judge(prompt, response, step, value) for step, value in enumerate(score.step_rewards)]
        return replace(noisy, step_rewards=np.array([self._values[right] for right in steps], dtype=np.float32))

    def _judge(self, prompt: Prompt, response: Response, step: int, value: float) -> bool:
        """The judgement that a reward value stands for, turned over where the noise says so."""
        right = self._judgements.get(np.float32(value))
        if right is None:
            raise ConfigError(
                f"noise turns right-or-wrong judgements over, but this reward gave {float(value):g}, neither "
                f"{self._values[True]:g} nor {self._values[False]:g}; wrap the rule or the exact checker, not a graded reward"
            )
        draw = rng.derive_seed(self._seed, f"reward noise/{prompt.id}", step, *response.token_ids.tolist()) / 2**63
        return right != (draw < self._rates[right])
