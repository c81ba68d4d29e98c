"""A judge with a dial: the exact checker, made wrong at stated rates, alike for what it cannot tell apart, or for one wrong form.

    chance that a wrong answer (or step) is accepted      rho0(x) = sigma(logit(false_positive) + slope (x - centre))
    chance that a right one is rejected                   rho1(x) = sigma(logit(false_negative) + slope (x - centre))

x being the response's length in tokens, a number that the problem has (its difficulty), or whether the response has a form
(`grading.forms`; 1 or 0); with slope 0 the rates are the stated ones. What errs together is the unit: each response by itself, all
responses to a problem with the same final answer, or all responses to a problem. A loophole is a form in which a wrong answer is
always accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from unified_rl.base import rng
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import Problem, Prompt, Response, Reward, Score
from unified_rl.config.ranges import between, one_of
from unified_rl.config.rewards import LENGTH, shifted_rate
from unified_rl.grading.forms import Form, form, is_form

UNITS = ("response", "answer", "problem")
_OUTCOME = -1  # stands where a step's number does


@dataclass(frozen=True)
class Dial:
    """How a judge errs (see the module). by: "" | length | a number in the problems' info | a form. loophole: None = there is none.

    Raises:
        ConfigError: rates outside 0..1, an unknown unit or form.
    """

    false_positive: float = 0.0
    false_negative: float = 0.0
    unit: str = "response"
    by: str = ""
    slope: float = 0.0
    centre: float = 0.0
    loophole: Form | None = None
    _form: Form | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        between("reward.false_positive", self.false_positive, 0.0, 1.0)
        between("reward.false_negative", self.false_negative, 0.0, 1.0)
        one_of("reward.noise_unit", self.unit, UNITS)
        if is_form(self.by):
            object.__setattr__(self, "_form", form(self.by, "reward.noise_by"))

    def rates(self, prompt: Prompt, response: Response, score: Score) -> tuple[float, float]:
        """(rho0, rho1) of a response outside the loophole. score: the grader's, for its answer.

        Raises:
            DataError: the problem does not have the number that the rates depend on.
        """
        if not self.by:
            return self.false_positive, self.false_negative
        shift = self.slope * (self._along(prompt, response, score) - self.centre)
        return shifted_rate(self.false_positive, shift), shifted_rate(self.false_negative, shift)

    def _along(self, prompt: Prompt, response: Response, score: Score) -> float:
        if self._form is not None:
            return float(self._form(response.text, score.answer, len(response)))
        return len(response) if self.by == LENGTH else number_of(prompt.problem, self.by)


class NoisyReward:
    """A right-or-wrong reward whose judgements err as a dial says.

    Each judgement (the outcome's; under process supervision also each step's, independently) is turned over with the rate of its
    kind. Whether it is turned over is a function of (seed, prompt, step) and, where that is the unit, the response's tokens or its
    answer: the same is always judged alike, so the noise cannot be averaged away by sampling again. `verdict` and `steps_right`
    stay the grader's own.

    Args of the constructor:
        reward: gives `correct` or `incorrect`, nothing between (the rule, the exact checker).

    Raises:
        ConfigError: two equal reward values, which tell nothing apart.
    """

    def __init__(self, reward: Reward, dial: Dial, *, seed: int, correct: float = 1.0, incorrect: float = 0.0) -> None:
        self._reward, self.dial, self._seed = reward, dial, seed
        self.values = Judgements(correct, incorrect)

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        """Raises ConfigError where the wrapped reward gives another value than its two."""
        scores = self._reward.score(prompts, responses)
        return [
            [self._disturb(prompt, response, score) for response, score in zip(texts, group, strict=True)]
            for prompt, texts, group in zip(prompts, responses, scores, strict=True)
        ]

    def _disturb(self, prompt: Prompt, response: Response, score: Score) -> Score:
        accepted = self._judge(prompt, response, score, _OUTCOME, score.reward)
        if self.dial.loophole and self.dial.loophole(response.text, score.answer, len(response)):
            accepted = True
        noisy = replace(score, reward=self.values.of(accepted), accepted=accepted)
        if score.step_rewards is None:
            return noisy
        steps = [self._judge(prompt, response, score, step, value) for step, value in enumerate(score.step_rewards)]
        return replace(
            noisy,
            step_rewards=np.array([self.values.of(right) for right in steps], dtype=np.float32),
            steps_accepted=np.array(steps, dtype=bool),
        )

    def _judge(self, prompt: Prompt, response: Response, score: Score, step: int, value: float) -> bool:
        """The judgement that a reward value stands for, turned over where the noise says so."""
        right = self.values.judgement(value)
        false_positive, false_negative = self.dial.rates(prompt, response, score)
        tokens = response.token_ids.tolist() if self.dial.unit == "response" else []
        answer = f"/{score.answer_class}" if self.dial.unit == "answer" else ""
        draw = rng.derive_seed(self._seed, f"reward noise/{prompt.id}{answer}", step, *tokens) / 2**63
        return right != (draw < (false_negative if right else false_positive))


class Judgements:
    """The two values of a right-or-wrong reward, and back. Raises ConfigError for two equal ones."""

    def __init__(self, correct: float, incorrect: float) -> None:
        if correct == incorrect:
            raise ConfigError(
                f"reward.correct and reward.incorrect are both {correct}, so there is nothing to confuse; change one"
            )
        self.correct, self.incorrect = correct, incorrect
        self._known = {np.float32(correct): True, np.float32(incorrect): False}

    def of(self, right: bool) -> float:
        """The value of a judgement."""
        return self.correct if right else self.incorrect

    def judgement(self, value: float) -> bool:
        """The judgement that a value stands for. Raises ConfigError where it is neither of the two."""
        right = self._known.get(np.float32(value))
        if right is None:
            raise ConfigError(
                f"noise turns right-or-wrong judgements over, but this reward gave {float(value):g}, neither {self.correct:g} nor "
                f"{self.incorrect:g}; wrap the rule or the exact checker, not a graded reward"
            )
        return right


def number_of(problem: Problem, name: str) -> float:
    """A number of the problem's info, along which rates may change. Raises DataError where it has none of that name."""
    x = problem.info.get(name)
    if isinstance(x, bool) or not isinstance(x, (int, float)):
        raise DataError(
            f"reward.noise_by={name}, but problem {problem.id!r} has no number of that name; its info has "
            f"{', '.join(map(str, problem.info)) or 'nothing'}; name one of those, or length"
        )
    return x
