"""Rewards from a learned model. The rule still grades every answer: as a fact for the record, which training does not see.

With s_k the model's logit at the end of step k of K (an outcome model is read once, at the end of the response: K = 1):

    output       probability   r_k = sigma(s_k)                                                        (default)
                 logit         r_k = s_k

    supervision=outcome: one reward per response
    reduction    last          r_K                     the only one of an outcome model; Math-Shepherd's "last"
                 min           min_k r_k               Math-Shepherd's solution score (default of a process model)
                 product       prod_k sigma(s_k)       the chance that all steps are right, were they independent

    supervision=process: one reward per step, for the coefficient to add up over a token's own and later steps
    form         sum           r_k as it is            the paper (4.1.3)                               (default)
                 min           w_k r_k,  w = softmax(-r / T) over the response's steps                 PURE, arXiv 2504.15275

In the min form the rewards of a response add up to a soft minimum of r, and as T -> 0 all but the worst step's become 0: a return
(the sum from a step on) is then the worst step's reward up to that step and 0 after it, and long responses do not collect more.
That holds for returns as they are (PPO). GRPO's process advantage (4.1.3) subtracts the mean over all steps of the group first,
which sums no longer preserve: there the min form still puts the blame on the worst step, but responses of many steps differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from unified_rl.base.types import Prompt, Response, Score, Task
from unified_rl.config.reward_models import check_settings, default_reduction
from unified_rl.rewards.rewards import OutcomeReward
from unified_rl.rewards.steps import Segmenter


class Scorer(Protocol):
    """A reward model at work. kind: "outcome" (its logit means something at the response's end) or "process" (at steps' ends)."""

    kind: str

    def scores(self, prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[np.ndarray]:
        """Logits, float32 [T] per response, after each of its tokens; `responses[i]` answers `prompts[i]`."""


class ModelReward:
    """A reward model's word on each response; `accepted` where the reduced probability is above one half.

    Args of the constructor:
        supervision: outcome | process. output, reduction, form: see the module. temperature: T of the min form.
        reduction "" takes "min" for a process model and "last" for an outcome model.

    Raises:
        ConfigError: settings that mean nothing together, with the reason and the remedy.
    """

    def __init__(
        self,
        task: Task,
        scorer: Scorer,
        segmenter: Segmenter,
        *,
        supervision: str,
        output: str = "probability",
        reduction: str = "",
        form: str = "sum",
        temperature: float = 0.1,
    ) -> None:
        self._reduction = reduction or default_reduction(scorer.kind)
        check_settings(scorer.kind, supervision, output, self._reduction, form, temperature)
        self._graded = OutcomeReward(task)
        self._scorer, self._segmenter = scorer, segmenter
        self._supervision, self._output, self._form, self._temperature = supervision, output, form, temperature

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        flat_prompts = [prompt for prompt, group in zip(prompts, responses, strict=True) for _ in group]
        logits = iter(self._scorer.scores(flat_prompts, [response for group in responses for response in group]))
        return [
            [self._score_one(prompt, response, next(logits)) for response in group]
            for prompt, group in zip(prompts, responses, strict=True)
        ]

    def _score_one(self, prompt: Prompt, response: Response, logits_T: np.ndarray) -> Score:
        ends = self._ends(prompt, response)
        logits_K = logits_T[ends].astype(np.float64)
        probability = reduce_steps(sigmoid(logits_K), self._reduction)
        values_K = sigmoid(logits_K) if self._output == "probability" else logits_K
        score = replace(
            self._graded.score_one(prompt, response),
            reward=reduce_steps(values_K, self._reduction),
            accepted=probability > 0.5,
        )
        if self._supervision == "outcome":
            return score
        rewards_K = values_K if self._form == "sum" else min_form(values_K, self._temperature)
        return replace(score, step_rewards=rewards_K.astype(np.float32), step_ends=ends)

    def _ends(self, prompt: Prompt, response: Response) -> np.ndarray:
        if self._scorer.kind == "outcome":
            return np.array([len(response) - 1])
        return self._segmenter.step_ends(prompt, response)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-s)) without overflow."""
    return np.exp(-np.logaddexp(0.0, -logits))


def reduce_steps(values_K: np.ndarray, reduction: str) -> float:
    """One number for a response from the [K] of its steps."""
    if reduction == "min":
        return float(values_K.min())
    return float(values_K.prod()) if reduction == "product" else float(values_K[-1])


def min_form(rewards_K: np.ndarray, temperature: float) -> np.ndarray:
    """w_k r_k with w = softmax(-r / temperature): [K], whose sum approximates min(r) from above."""
    exponents_K = -(rewards_K - rewards_K.min()) / temperature
    weights_K = np.exp(exponents_K)
    return weights_K / weights_K.sum() * rewards_K
