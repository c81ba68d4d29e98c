"""Steps judged by what they gain: the value of where a step ends, less that of where it began (VinePPO, arXiv 2410.01679).

    V(s)       the mean reward of N completions that the present policy samples from s: the prompt, or a step's end
    r_k        V(s_{k+1}) - V(s_k) for every step but the last, R - V(s_K) for the last, R being the rule's reward of the response

so that the rewards of a response add up to R - V(prompt). A completion cut off at the length limit has not reached the answer. The
estimates of one step's end and of the next one's beginning are the same number, since both are of one state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unified_rl.base.types import Decoding, Generator, Prompt, Response, Score, Task, Tokenizer
from unified_rl.rewards.completions import Completer, Prefix, Reached, prefix_of
from unified_rl.rewards.rewards import OutcomeReward
from unified_rl.rewards.steps import Segmenter


class StepGains:
    """One reward per step: what it gains in value, as the present policy's completions estimate it.

    The completions are a function of (seed, policy version, prompt, prefix, number): a resumed run draws the same ones.

    Args of the constructor:
        generator: samples the policy that wrote the responses. decoding: as of the responses. completions: N from each state.
        correct, incorrect: the reward of a right and of any other answer, of which values are means.
    """

    def __init__(
        self,
        task: Task,
        tokenizer: Tokenizer,
        segmenter: Segmenter,
        generator: Generator,
        decoding: Decoding,
        *,
        completions: int,
        seed: int,
        correct: float = 1.0,
        incorrect: float = 0.0,
    ) -> None:
        self._outcome = OutcomeReward(task, correct=correct, incorrect=incorrect)
        self._completer = Completer(task, tokenizer, generator, decoding, completions, seed)
        self._segmenter, self._correct, self._incorrect = segmenter, correct, incorrect

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        """One score per response. What was sampled for a state counts once: at the first response that passes through it."""
        states = [
            [self._states(place, prompt, response) for response in group]
            for place, (prompt, group) in enumerate(zip(prompts, responses, strict=True))
        ]
        version = max((response.policy_version for group in responses for response in group), default=0)
        completer = replace(self._completer, stream=f"values/{version}")
        every = [prefix for group in states for _, prefixes in group for prefix in prefixes]
        reached = completer.reached(prompts, every, version)
        unpaid = set(reached)
        return [
            [
                self._scored(score, ends_K, [reached[prefix] for prefix in prefixes], _pay(unpaid, prefixes, reached))
                for score, (ends_K, prefixes) in zip(scores, group, strict=True)
            ]
            for scores, group in zip(self._outcome.score(prompts, responses), states, strict=True)
        ]

    def _states(self, place: int, prompt: Prompt, response: Response) -> tuple[np.ndarray, list[Prefix]]:
        """Where the K steps of a response end (int64 [K]), and the K states in which they began."""
        ends_K = self._segmenter.step_ends(prompt, response)
        return ends_K, [prefix_of(place, response, end) for end in (-1, *ends_K[:-1])]

    def _scored(self, score: Score, ends_K: np.ndarray, begun: Sequence[Reached], sampled: int) -> Score:
        shares_K = np.array([one.successes.mean() for one in begun])
        values_K = self._incorrect + (self._correct - self._incorrect) * shares_K
        gains_K = np.diff(np.append(values_K, score.reward))
        return replace(
            score,
            step_rewards=gains_K.astype(np.float32),
            step_ends=ends_K,
            step_values=values_K.astype(np.float32),
            sampled_tokens=sampled,
        )


def _pay(unpaid: set[Prefix], prefixes: Sequence[Prefix], reached: dict[Prefix, Reached]) -> int:
    """Tokens sampled for those of a response's states that no response before it passed through, which are then paid."""
    own = [prefix for prefix in prefixes if prefix in unpaid]
    unpaid.difference_update(own)
    return sum(reached[prefix].tokens for prefix in own)
