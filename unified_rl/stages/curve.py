"""Accuracy while training, as raw facts per problem: the points of the learning curve, by greedy answers or by samples.

Samples are drawn with seeds that depend on the problem and the sample's number and on nothing else, so that the points of a curve,
and the curves of runs that are compared, differ by their policies and not by their draws (common random numbers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from unified_rl.base import rng
from unified_rl.base.errors import DataError
from unified_rl.base.types import Decoding, Generator, Problem, Prompt, Score, Task
from unified_rl.config.schema import Config
from unified_rl.records import curve_points
from unified_rl.rewards import OutcomeReward
from unified_rl.stages import world


class Curve:
    """The same problems of every slice, answered under the present weights as `logging.curve_samples` says."""

    def __init__(self, config: Config, task: Task, tokenizer: PreTrainedTokenizerBase, generator: Generator) -> None:
        self._split, self._generator, self._reward = config.logging.curve_split, generator, OutcomeReward(task)
        self._samples = config.logging.curve_samples
        greedy = Decoding(temperature=0.0, max_new_tokens=config.evaluation.max_new_tokens)
        self._decoding = config.evaluation.decoding if self._samples else greedy
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
        """One entry per slice: which problems, and which of them were answered correctly, or how often."""
        return [self._entry(name, prompts) for name, prompts in self._prompts.items()]

    def _entry(self, name: str, prompts: list[Prompt]) -> dict[str, Any]:
        seeds = [self._seeds(name, prompt) for prompt in prompts]
        responses = self._generator.generate(prompts, seeds, self._decoding, policy_version=0)
        right = [_right(group) for group in self._reward.score(prompts, responses)]
        return {
            "split": self._split,
            "slice": name,
            "problem_ids": [prompt.id for prompt in prompts],
            "correct": [count / self._samples for count in right] if self._samples else right,
            **(curve_points.sampled_fields(self._samples, self._decoding) if self._samples else {}),
        }

    def _seeds(self, name: str, prompt: Prompt) -> list[int]:
        if not self._samples:
            return [0]
        return [rng.derive_seed(0, f"curve/{self._split}/{name}/{prompt.id}", sample) for sample in range(self._samples)]


def _right(scores: Sequence[Score]) -> int:
    return sum(score.verdict == "correct" for score in scores)


def _up_to(count: int, task: Task, config: Config, name: str) -> list[Problem]:
    """The first problems of a slice: so many, or all where there are fewer."""
    split = world.split_of(config.logging.curve_split)
    try:
        return list(task.problems(split, count, name))
    except DataError:
        return list(task.problems(split, None, name))
