"""Builds the configured data source: what its builder is given, made from the run's parts and the stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Generator, Prompt, Response, Reward, Source, Task
from unified_rl.config.schema import Config
from unified_rl.presets import chain
from unified_rl.records.artifacts import Artifact, ArtifactStore
from unified_rl.rewards.steps import build_segmenter
from unified_rl.sources import MixedDemonstrations, PolicyCopy, PromptPool, as_response
from unified_rl.sources.ahead import WRAPPER as AHEAD
from unified_rl.sources.declaration import OF_REFERENCE
from unified_rl.sources.registry import declared
from unified_rl.stages import world
from unified_rl.stages.demonstrations import batches, load_demonstrations, stored_demonstrations
from unified_rl.stages.fingerprints import path_fingerprint
from unified_rl.stages.kinds.offline_samples import offline_samples


@dataclass(frozen=True)
class Collaborators:
    """What sources are made of. Implements `sources.declaration.Given`.

    policy_key, policy_path: the initial policy, which the stored samples come from. generator: samples the current policy.
    copy_policy: makes a copy of the current policy and a generator that samples from it. responses: how many to each prompt are
    wanted, None = all that a source has. context: most tokens a prompt and its response may have together, 0 = no limit.
    begin: brings the generator to the present weights, where it can sample beside the training; None where it does that itself.
    read: the keys of the artefacts that the source has read so far.
    """

    config: Config
    store: ArtifactStore
    task: Task
    tokenizer: PreTrainedTokenizerBase
    generator: Generator
    reward: Reward
    policy_key: str
    policy_path: Path
    copy_policy: Callable[[], tuple[PolicyCopy, Generator]]
    responses: int | None
    context: int = 0
    begin: Callable[[], None] | None = None
    read: dict[str, str] = field(default_factory=dict)

    def prompts(self) -> list[Prompt]:
        prompts = world.as_prompts(world.training_problems(self.task, self.config), self.tokenizer, self.config)
        return world.fitting(prompts, self.context, self.config.generator.max_new_tokens, self.config)

    def pool(self) -> PromptPool:
        return PromptPool(self.prompts(), self.config.seed)

    def stored(self) -> list[list[Response]]:
        policy = Artifact(self.policy_key, self.policy_path)
        key, stored = offline_samples(self.config, self.store, policy, self.prompts())
        self.read[chain.provider(self.config, chain.STORED)] = key
        return stored

    def of_reference(self) -> list[list[Response]]:
        if not self.config.reference:
            return self.stored()
        reference = Artifact(path_fingerprint(self.config.reference), Path(self.config.reference))
        key, stored = offline_samples(self.config, self.store, reference, self.prompts())
        self.read[OF_REFERENCE] = key
        return stored

    def written(self) -> tuple[PromptPool, list[Response]]:
        config, tokenizer = self.config, self.tokenizer
        demonstrations = list(self.task.demonstrations(config.data.prompts or None))
        prompts = world.as_prompts([item.problem for item in demonstrations], tokenizer, config)
        end = world.response_end(tokenizer, config)
        responses = [as_response(item, prompt, tokenizer, end) for item, prompt in zip(demonstrations, prompts, strict=True)]
        return PromptPool(prompts, config.seed), responses

    def compared(self) -> tuple[PromptPool, list[tuple[Response, Response]]]:
        config, tokenizer = self.config, self.tokenizer
        task: Any = self.task
        if not hasattr(task, "compared"):
            raise ConfigError(f"task {task.name} has no method compared(), which a source of written pairs reads; add it")
        written = list(task.compared(config.data.prompts or None))
        prompts = world.as_prompts([better.problem for better, _ in written], tokenizer, config)
        end = world.response_end(tokenizer, config)
        pairs = [
            (as_response(better, prompt, tokenizer, end), as_response(worse, prompt, tokenizer, end))
            for (better, worse), prompt in zip(written, prompts, strict=True)
        ]
        longest = {prompt.id: max(map(len, pair)) for prompt, pair in zip(prompts, pairs, strict=True)}
        kept = {prompt.id for prompt in world.fitting(prompts, self.context, 0, config, longest)}
        both = [(prompt, pair) for prompt, pair in zip(prompts, pairs, strict=True) if prompt.id in kept]
        return PromptPool([prompt for prompt, _ in both], config.seed), [pair for _, pair in both]

    def mixed(self, label: str) -> Source:
        key, folder = stored_demonstrations(self.config, self.store, self.task, self.tokenizer, self.policy_key)
        self.read[label] = key
        stored = load_demonstrations(self.config, folder)
        return MixedDemonstrations(batches(self.config, stored), lambda index: stored.item(index, self.tokenizer))

    def step_ends(self, segmentation: str) -> Callable[[Prompt, Response], np.ndarray]:
        return build_segmenter(segmentation, self.task, self.tokenizer).step_ends

    def frozen_copy(self) -> tuple[PolicyCopy, Generator]:
        return self.copy_policy()

    def sampling_from(self, generator: Generator) -> Collaborators:
        return replace(self, generator=generator)

    def wanting(self, responses: int | None) -> Collaborators:
        return replace(self, responses=responses)


def build_source(collaborators: Collaborators) -> tuple[Source, dict[str, str]]:
    """The configured source, and the keys of the artefacts it reads."""
    source = declared(collaborators.config.source)
    if collaborators.config.rollout.staleness:
        source = AHEAD.around(source, listed=False)
    return source.build(collaborators), collaborators.read
