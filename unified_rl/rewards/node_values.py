"""Responses to a prompt as a tree: each step is rewarded with the value of the node that it leads to (TreeRL, arXiv 2506.11902).

A node is a state at a step's end, and its leaves are the responses that pass through it; a stretch of steps within which no
response leaves the others is one step, as nothing is known of what lies between:

    V(s)    the mean reward of the leaves under s; of the root, of all of the prompt's responses
    r_k     (V(s_k) - V(root)) + (V(s_k) - V(s_{k-1})), s_k being the node that step k leads to, and s_0 the root

Of responses that share nothing but the prompt it is 2 (R - V(root)): the group's own centred reward, twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unified_rl.base.types import Prompt, Response, Score, Task
from unified_rl.rewards.rewards import OutcomeReward
from unified_rl.rewards.steps import Segmenter


class NodeValues:
    """One reward per step, from the outcomes of all responses to its prompt, which are scored together.

    Args of the constructor:
        segmenter: where steps end. correct, incorrect: the reward of a right and of any other answer, of which values are means.
    """

    def __init__(self, task: Task, segmenter: Segmenter, *, correct: float = 1.0, incorrect: float = 0.0) -> None:
        self._outcome, self._segmenter = OutcomeReward(task, correct=correct, incorrect=incorrect), segmenter

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        return [
            self._group(prompt, group, scores)
            for prompt, group, scores in zip(prompts, responses, self._outcome.score(prompts, responses), strict=True)
        ]

    def _group(self, prompt: Prompt, group: Sequence[Response], scores: Sequence[Score]) -> list[Score]:
        ends = [self._segmenter.step_ends(prompt, response) for response in group]
        leaves: dict[tuple[int, ...], list[float]] = defaultdict(list)
        for response, ends_K, score in zip(group, ends, scores, strict=True):
            for state in _inner_states(response, ends_K):
                leaves[state].append(score.reward)
        return [_scored(response, ends_K, score, leaves) for response, ends_K, score in zip(group, ends, scores, strict=True)]


def _inner_states(response: Response, ends_K: np.ndarray) -> list[tuple[int, ...]]:
    """The root, and the states at the ends of the steps but the last, which leads to the response's own leaf."""
    return [tuple(response.token_ids[: end + 1].tolist()) for end in (-1, *ends_K[:-1])]


def _scored(response: Response, ends_K: np.ndarray, score: Score, leaves: dict[tuple[int, ...], list[float]]) -> Score:
    """A response's score with the rewards of its steps: the stretches between states from which another response goes elsewhere."""
    root, *under = [leaves[state] for state in _inner_states(response, ends_K)]
    under.append([score.reward])
    counts_K = np.array([len(one) for one in under])
    last_N = np.flatnonzero(np.append(np.diff(counts_K) != 0, True))
    values_N1 = np.array([np.mean(root), *(np.mean(under[place]) for place in last_N)])
    rewards_N = (values_N1[1:] - values_N1[0]) + np.diff(values_N1)
    return replace(
        score,
        step_rewards=rewards_N.astype(np.float32),
        step_ends=ends_K[last_N],
        step_values=values_N1[:-1].astype(np.float32),
    )
