"""Rewards corrected for a judge that errs at known, given or estimated rates (arXiv 2510.00915).

With a = 1 where the judge accepts, rho0 = P(a = 1 | wrong), rho1 = P(a = 0 | right):

    backward    r = (a - rho0)/(1 - rho0 - rho1)              E[r | truth] = 1[right]: unbiased
    forward     r = rho1 a + (rho1 - 1)(1 - a)                E[r | truth] = (1 - rho0 - rho1)(1[right] - 1): needs rho1 alone

times (correct - incorrect), plus incorrect (backward). Where the rates are the same for all of a group both are affine in a, so
that a coefficient with a baseline and a std over the group does not see them: they act without a baseline, or where the rates
differ within a group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import Prompt, Response, Reward, Score
from unified_rl.config.ranges import one_of
from unified_rl.rewards.judges import Judgements

KINDS = ("backward", "forward")
#: Of 1 - rho0 - rho1, that it is divided by: below it a judgement is worth nothing but its rounding.
_KNOWS_LEAST = 1e-6
#: (rho0, rho1) of the judgements on one response.
Rates = Callable[[Prompt, Response, Score], tuple[float, float]]


class CorrectedReward:
    """A right-or-wrong reward of a judge that errs, corrected. Judgements and facts stay as they are.

    Args of the constructor:
        values: what the judge's two judgements are worth. kind: backward | forward. rates: of each response's judgements.
    """

    def __init__(self, judge: Reward, values: Judgements, kind: str, rates: Rates) -> None:
        one_of("reward.correction", kind, KINDS)
        self._judge, self._values, self._kind, self._rates = judge, values, kind, rates

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        """Raises ConfigError where a judge with these rates says nothing (rho0 + rho1 is 1 or more, but for rounding)."""
        return [
            [self._correct(prompt, response, score) for response, score in zip(texts, group, strict=True)]
            for prompt, texts, group in zip(prompts, responses, self._judge.score(prompts, responses), strict=True)
        ]

    def _correct(self, prompt: Prompt, response: Response, score: Score) -> Score:
        accepting, rejecting = self._two(*self._rates(prompt, response, score))
        corrected = replace(score, reward=accepting if self._values.judgement(score.reward) else rejecting)
        if score.step_rewards is None:
            return corrected
        steps = [accepting if self._values.judgement(value) else rejecting for value in score.step_rewards]
        return replace(corrected, step_rewards=np.array(steps, dtype=np.float32))

    def _two(self, false_positive: float, false_negative: float) -> tuple[float, float]:
        """What accepting and rejecting are worth."""
        knows = 1 - false_positive - false_negative
        if knows <= _KNOWS_LEAST:
            raise ConfigError(
                f"reward.correction={self._kind} divides by 1 - {false_positive:g} - {false_negative:g}: a judge with these rates "
                "says nothing, or the opposite; lower reward.false_positive and reward.false_negative (or the assumed ones), or "
                "where they change along reward.noise_by, reward.noise_slope; or set reward.correction=none"
            )
        span = self._values.correct - self._values.incorrect
        if self._kind == "forward":
            return span * false_negative, span * (false_negative - 1)
        return (
            self._values.incorrect + span * (1 - false_positive) / knows,
            self._values.incorrect - span * false_positive / knows,
        )


def measured_rates(scores: Iterable[Score]) -> tuple[float, float]:
    """(rho0, rho1) as counted on audited responses, whose truth is known: of their steps, where the judge judges steps.

    Raises:
        DataError: none of them is right, or none is wrong.
    """
    pairs = [pair for score in scores for pair in judged(score)]
    accepted = {truth: [found for right, found in pairs if right is truth] for truth in (True, False)}
    if not accepted[True] or not accepted[False]:
        missing = "right" if accepted[False] else "wrong"
        raise DataError(
            f"of {len(pairs)} audited judgements none is on what is {missing}, so a judge's rate there cannot be counted; raise "
            "reward.audited, or give the rates (reward.correction_rates=given)"
        )
    return float(np.mean(accepted[False])), 1 - float(np.mean(accepted[True]))


def judged(score: Score) -> list[tuple[bool, bool]]:
    """(right, accepted) of each judgement: of the steps where both are known, else of the outcome."""
    if score.steps_right is None:
        return [(score.verdict == "correct", bool(score.judged_correct))]
    accepted = score.steps_right if score.steps_accepted is None else score.steps_accepted
    return list(zip(score.steps_right.tolist(), accepted.tolist(), strict=True))
