"""Greedy accuracy while training, as raw facts per problem: the points of the learning curve."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from unified_rl.base.errors import DataError
from unified_rl.base.types import Decoding, Generator, Problem, Prompt, Task
from unified_rl.config.schema import Config
from unified_rl.rewards import OutcomeReward
from unified_rl.stages import world


class Curve:
    """The same problems of every slice, answered greedily under the present weights."""

    def __init__(self, config: Config, task: Task, tokenizer: PreTrainedTokenizerBase, generator: Generator) -> None:
        self._split, self._generator, self._reward = config.logging.curve_split, generator, OutcomeReward(task)
        self._decoding = Decoding(temperature=0.0, max_new_tokens=config.evaluation.max_new_tokens)
        count = config.logging.curve_problems
        self._prompts: dict[str, list[Prompt]] = {
            name: world.fitting(
                world.as_prompts(_up_to(count, task, config, name), tokenizer, config),
                generator.info.context,
                self._decoding.max_new_tokens,
                config,
            )
            for name in (task.slices if count else ())
        }

    def entries(self) -> list[dict[str, Any]]:
        """One entry per slice: which problems, and which of them were answered correctly."""
        return [self._entry(name, prompts) for name, prompts in self._prompts.items()]

    def _entry(self, name: str, prompts: list[Prompt]) -> dict[str, Any]:
        responses = self._generator.generate(prompts, [[0]] * len(prompts), self._decoding, policy_version=0)
        scores = self._reward.score(prompts, responses)
        return {
            "split": self._split,
            "slice": name,
            "problem_ids": [prompt.id for prompt in prompts],
            "correct": [int(group[0].verdict == "correct") for group in scores],
        }


def _up_to(count: int, task: Task, config: Config, name: str) -> list[Problem]:
    """The first problems of a slice: so many, or all where there are fewer."""
    split = world.split_of(config.logging.curve_split)
    try:
        return list(task.problems(split, count, name))
    except DataError:
        return list(task.problems(split, None, name))
