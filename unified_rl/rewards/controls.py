"""Rewards that know nothing of the right answer, as controls and as weak supervision: chance, form, the wrong answers, a majority.

    random      correct with a stated chance, the same for the same response (arXiv 2506.10947)
    format      correct where the response has a form (`grading.forms`)
    wrong       correct where the final answer is there and wrong
    majority    correct where the final answer is that of most responses to the prompt (TTRL, arXiv 2504.16084)

The rule's verdict stays in the record; `accepted` is what these accept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from unified_rl.base import rng
from unified_rl.base.types import Prompt, Response, Score, Task
from unified_rl.config.ranges import between
from unified_rl.grading.forms import Form
from unified_rl.rewards.rewards import OutcomeReward

#: (prompt, its responses, the rule's scores) -> which of them are accepted.
Accepts = Callable[[Prompt, Sequence[Response], Sequence[Score]], list[bool]]


class ControlReward:
    """`correct` for what is accepted, `incorrect` for the rest, one per response. accepts: one of this module's."""

    def __init__(self, task: Task, accepts: Accepts, *, correct: float = 1.0, incorrect: float = 0.0) -> None:
        self._graded, self._accepts = OutcomeReward(task), accepts
        self._values = {True: correct, False: incorrect}

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        graded = self._graded.score(prompts, responses)
        return [
            [
                replace(score, reward=self._values[accepted], accepted=accepted)
                for score, accepted in zip(scores, self._accepts(prompt, group, scores), strict=True)
            ]
            for prompt, group, scores in zip(prompts, responses, graded, strict=True)
        ]


def by_chance(rate: float, seed: int) -> Accepts:
    """With this chance, as a function of (seed, prompt, tokens). Raises ConfigError outside 0..1."""
    between("reward.random_rate", rate, 0.0, 1.0)

    def accepts(prompt: Prompt, responses: Sequence[Response], scores: Sequence[Score]) -> list[bool]:
        draws = [rng.derive_seed(seed, f"random reward/{prompt.id}", *one.token_ids.tolist()) / 2**63 for one in responses]
        return [draw < rate for draw in draws]

    return accepts


def by_form(form: Form) -> Accepts:
    """Responses of this form."""
    return lambda prompt, responses, scores: [
        form(one.text, score.answer, len(one)) for one, score in zip(responses, scores, strict=True)
    ]


def wrong(prompt: Prompt, responses: Sequence[Response], scores: Sequence[Score]) -> list[bool]:
    """Responses with an answer that is not right."""
    return [score.answer is not None and score.verdict != "correct" for score in scores]


def majority(prompt: Prompt, responses: Sequence[Response], scores: Sequence[Score]) -> list[bool]:
    """Responses whose answer is in the largest class of the group, of equal ones the first met; none where no one answers."""
    votes = Counter(score.answer_class for score in scores if score.answer_class is not None)
    elected = max(votes, key=lambda one: votes[one]) if votes else None
    return [elected is not None and score.answer_class == elected for score in scores]
