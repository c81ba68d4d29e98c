"""Builds the configured data source, given its collaborators: one function per source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from unified_rl.artifacts import ArtifactStore
from unified_rl.config import Config
from unified_rl.sources import (
    Demonstrations,
    InformativeSamples,
    OfflineSamples,
    OnlineSamples,
    PreferencePairs,
    PromptPool,
    as_response,
)
from unified_rl.stages import sampling, world
from unified_rl.types import Generator, Prompt, Response, Reward, Source, Task


@dataclass(frozen=True)
class Collaborators:
    """What sources are made of.

    policy_key, policy_path: the initial policy, which the stored samples come from. generator: samples the current policy.
    """

    config: Config
    store: ArtifactStore
    task: Task
    tokenizer: PreTrainedTokenizerBase
    generator: Generator
    reward: Reward
    policy_key: str
    policy_path: Path

    def prompts(self) -> list[Prompt]:
        """The training prompts."""
        return world.as_prompts(world.training_problems(self.task, self.config), self.tokenizer, self.config)

    def pool(self) -> PromptPool:
        return PromptPool(self.prompts(), self.config.seed)

    def stored(self) -> tuple[str, list[list[Response]]]:
        """Key and content of the stored samples of the initial policy."""
        return sampling.offline_samples(self.config, self.store, self.policy_key, self.policy_path, self.prompts())


def build_source(collaborators: Collaborators) -> tuple[Source, dict[str, str]]:
    """The configured source, and the keys of the artefacts it reads."""
    return _BUILDERS[collaborators.config.source.name](collaborators)


def _demonstrations(given: Collaborators) -> tuple[Source, dict[str, str]]:
    config, tokenizer = given.config, given.tokenizer
    demonstrations = list(given.task.demonstrations(config.data.prompts or None))
    prompts = world.as_prompts([item.problem for item in demonstrations], tokenizer, config)
    responses = [
        as_response(item, prompt, tokenizer, tokenizer.eos_token_id)
        for item, prompt in zip(demonstrations, prompts, strict=True)
    ]
    pool = PromptPool(prompts, config.seed)
    return Demonstrations(pool, responses, given.reward, prompts_per_step=config.rollout.prompts_per_step), {}


def _online(given: Collaborators) -> tuple[OnlineSamples, dict[str, str]]:
    config = given.config
    return OnlineSamples(
        given.pool(),
        given.generator,
        given.reward,
        config.generator.decoding,
        seed=config.seed,
        prompts_per_step=config.rollout.prompts_per_step,
        responses_per_prompt=config.rollout.responses_per_prompt,
    ), {}


def _informative(given: Collaborators) -> tuple[Source, dict[str, str]]:
    online, keys = _online(given)
    prompts_per_step, rounds = given.config.rollout.prompts_per_step, given.config.source.max_rounds
    return InformativeSamples(online, given.pool(), prompts_per_step=prompts_per_step, max_rounds=rounds), keys


def _offline(given: Collaborators) -> tuple[Source, dict[str, str]]:
    key, stored = given.stored()
    config = given.config
    source = OfflineSamples(
        given.pool(),
        stored,
        given.reward,
        seed=config.seed,
        prompts_per_step=config.rollout.prompts_per_step,
        responses_per_prompt=config.rollout.responses_per_prompt,
    )
    return source, {"offline_samples": key}


def _pairs(given: Collaborators) -> tuple[Source, dict[str, str]]:
    key, stored = given.stored()
    config = given.config
    source = PreferencePairs(
        given.pool(),
        stored,
        given.reward,
        seed=config.seed,
        prompts_per_step=config.rollout.prompts_per_step,
        pairs_per_prompt=max(1, config.rollout.responses_per_prompt // 2),
    )
    return source, {"offline_samples": key}


_BUILDERS: dict[str, Callable[[Collaborators], tuple[Source, dict[str, str]]]] = {
    "demonstrations": _demonstrations,
    "online_samples": _online,
    "informative_samples": _informative,
    "offline_samples": _offline,
    "preference_pairs": _pairs,
}
