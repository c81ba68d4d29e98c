"""Completions sampled from the beginnings of responses, and which of them reach the answer: for step labels and step values.

A prefix is token ids, never tokenised again. Equal prefixes of one prompt share their completions, which depend on nothing but
prefix, policy and number; a response cut off at the length limit, prefix included, has not reached the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unified_rl.base import rng
from unified_rl.base.types import Decoding, Generator, Prompt, Response, Task, Tokenizer

#: A prompt's place among the prompts, and the tokens of a response's beginning; none: the prompt itself.
Prefix = tuple[int, tuple[int, ...]]
#: Most prefixes that the generator is asked to go on from at once.
AT_ONCE = 512


@dataclass(frozen=True)
class Reached:
    """What became of one prefix. successes: bool [N], whether completion n reached the answer. tokens: written in all N."""

    successes: np.ndarray
    tokens: int


@dataclass(frozen=True)
class Completer:
    """What completions are sampled with, and what judges them.

    Attributes:
        decoding: of the completions; `max_new_tokens` bounds prefix and completion together.
        completions: N from each prefix. seed, stream: of their random numbers.
    """

    task: Task
    tokenizer: Tokenizer
    generator: Generator
    decoding: Decoding
    completions: int
    seed: int = 0
    stream: str = "completions"

    def reached(
        self,
        prompts: Sequence[Prompt],
        prefixes: Sequence[Prefix],
        policy_version: int,
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> dict[Prefix, Reached]:
        """What became of every prefix. Each is shorter than `max_new_tokens`. on_progress: told how many prefixes are done."""
        found: dict[Prefix, Reached] = {}
        left = sorted(set(prefixes), key=lambda prefix: (len(prefix[1]), prefix))
        while left:
            together = self._together(prompts, left[:AT_ONCE])
            found |= self._complete(prompts, left[:together], policy_version)
            left = left[together:]
            on_progress(len(found))
        return found

    def _together(self, prompts: Sequence[Prompt], ordered: Sequence[Prefix]) -> int:
        """How many of these share a call: a larger limit continues the same response, so the first's serves where it fits."""
        context, room = self.generator.info.context, self.decoding.max_new_tokens - len(ordered[0][1])
        if context is None:
            return len(ordered)
        wanted = [len(prompts[place].token_ids) + len(tokens) + room for place, tokens in ordered]
        return next((place for place, length in enumerate(wanted) if place and length > context), len(ordered))

    def _complete(self, prompts: Sequence[Prompt], chunk: Sequence[Prefix], policy_version: int) -> dict[Prefix, Reached]:
        """What became of prefixes that share a call, the shortest first."""
        begun = [Prompt(prompts[place].problem, prompts[place].token_ids + tokens) for place, tokens in chunk]
        seeds = [
            [rng.derive_seed(self.seed, f"{self.stream}/{prompts[place].id}", n, *tokens) for n in range(self.completions)]
            for place, tokens in chunk
        ]
        room = replace(self.decoding, max_new_tokens=self.decoding.max_new_tokens - len(chunk[0][1]))
        sampled = self.generator.generate(begun, seeds, room, policy_version)
        return {
            (place, tokens): Reached(self._successes(prompts[place], tokens, group), sum(map(len, group)))
            for (place, tokens), group in zip(chunk, sampled, strict=True)
        }

    def _successes(self, prompt: Prompt, prefix: tuple[int, ...], completions: Sequence[Response]) -> np.ndarray:
        """bool [N]: whether prefix and completion together end in the right answer in time. Equal texts are graded once."""
        verdicts: dict[str, bool] = {}

        def right(completion: Response) -> bool:
            if completion.truncated or len(prefix) + len(completion) > self.decoding.max_new_tokens:
                return False
            text = self.tokenizer.decode([*prefix, *completion.token_ids.tolist()], skip_special_tokens=True)
            if text not in verdicts:
                verdicts[text] = self.task.check_answer(prompt.problem, text).verdict == "correct"
            return verdicts[text]

        return np.array([right(completion) for completion in completions], dtype=bool)


def prefix_of(place: int, response: Response, end: int) -> Prefix:
    """A prompt's place and the response's tokens up to and with `end`; -1: none of them."""
    return place, tuple(response.token_ids[: end + 1].tolist())
