"""Builds the configured data source, given its collaborators: one function per source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from unified_rl.artifacts import Artifact, ArtifactStore
from unified_rl.config import Config
from unified_rl.rewards.steps import build_segmenter
from unified_rl.sources import (
    BRANCH_FROM,
    AheadOfTraining,
    Demonstrations,
    InformativeSamples,
    MixedDemonstrations,
    OfflineSamples,
    OnlineSamples,
    PolicyCopy,
    PreferencePairs,
    PromptPool,
    RefreshedSamples,
    TreeSearch,
    as_response,
)
from unified_rl.stages import world
from unified_rl.stages.demonstrations import batches, load_demonstrations, stored_demonstrations
from unified_rl.stages.kinds.offline_samples import offline_samples
from unified_rl.types import Generator, Prompt, Response, Reward, Source, Task


@dataclass(frozen=True)
class Collaborators:
    """What sources are made of.

    policy_key, policy_path: the initial policy, which the stored samples come from. generator: samples the current policy.
    frozen_copy: makes a copy of the current policy and a generator that samples from it. context: most tokens a prompt and its
    response may have together, 0 = no limit. begin: brings the generator to the present weights, where it can sample beside the
    training; None where it does that itself.
    """

    config: Config
    store: ArtifactStore
    task: Task
    tokenizer: PreTrainedTokenizerBase
    generator: Generator
    reward: Reward
    policy_key: str
    policy_path: Path
    frozen_copy: Callable[[], tuple[PolicyCopy, Generator]]
    context: int = 0
    begin: Callable[[], None] | None = None

    def prompts(self) -> list[Prompt]:
        """The training prompts."""
        return world.as_prompts(world.training_problems(self.task, self.config), self.tokenizer, self.config)

    def pool(self) -> PromptPool:
        return PromptPool(self.prompts(), self.config.seed)

    def stored(self) -> tuple[str, list[list[Response]]]:
        """Key and content of the stored samples of the initial policy."""
        return offline_samples(self.config, self.store, Artifact(self.policy_key, self.policy_path), self.prompts())


def build_source(collaborators: Collaborators) -> tuple[Source, dict[str, str]]:
    """The configured source, and the keys of the artefacts it reads."""
    source, keys = _BUILDERS[collaborators.config.source.name](collaborators)
    staleness = collaborators.config.rollout.staleness
    if not staleness:
        return source, keys
    return AheadOfTraining(source, collaborators.prompts(), staleness, collaborators.begin), keys


def _demonstrations(given: Collaborators) -> tuple[Source, dict[str, str]]:
    config, tokenizer = given.config, given.tokenizer
    if config.data.mixed:
        return _mixed_demonstrations(given)
    demonstrations = list(given.task.demonstrations(config.data.prompts or None))
    prompts = world.as_prompts([item.problem for item in demonstrations], tokenizer, config)
    responses = [
        as_response(item, prompt, tokenizer, tokenizer.eos_token_id)
        for item, prompt in zip(demonstrations, prompts, strict=True)
    ]
    pool = PromptPool(prompts, config.seed)
    return Demonstrations(pool, responses, given.reward, prompts_per_step=config.rollout.prompts_per_step), {}


def _mixed_demonstrations(given: Collaborators) -> tuple[Source, dict[str, str]]:
    config, tokenizer = given.config, given.tokenizer
    key, folder = stored_demonstrations(config, given.store, given.task, tokenizer, given.policy_key)
    stored = load_demonstrations(config, folder)
    source = MixedDemonstrations(batches(config, stored), lambda index: stored.item(index, tokenizer))
    return source, {"demonstrations": key}


def _online(given: Collaborators) -> tuple[OnlineSamples, dict[str, str]]:
    return _online_samples(given, given.generator), {}


def _online_samples(given: Collaborators, generator: Generator) -> OnlineSamples:
    config = given.config
    return OnlineSamples(
        given.pool(),
        generator,
        given.reward,
        config.generator.decoding,
        seed=config.seed,
        prompts_per_step=config.rollout.prompts_per_step,
        responses_per_prompt=config.rollout.responses_per_prompt,
    )


def _refreshed(given: Collaborators) -> tuple[Source, dict[str, str]]:
    copy, generator = given.frozen_copy()
    source = RefreshedSamples(
        _online_samples(given, generator),
        given.pool(),
        copy,
        prompts_per_step=given.config.rollout.prompts_per_step,
        refresh_every=given.config.source.refresh_every,
    )
    return source, {}


def _tree_search(given: Collaborators) -> tuple[Source, dict[str, str]]:
    config = given.config
    source = TreeSearch(
        given.pool(),
        given.generator,
        given.reward,
        config.generator.decoding,
        given.tokenizer,
        build_segmenter(config.source.segmentation, given.task, given.tokenizer).step_ends,
        BRANCH_FROM[config.source.branch_from],
        seed=config.seed,
        prompts_per_step=config.rollout.prompts_per_step,
        responses_per_prompt=config.rollout.responses_per_prompt,
        roots=config.source.roots,
        rounds=config.source.branch_rounds,
        context=given.context,
    )
    return source, {}


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
    "refreshed_samples": _refreshed,
    "tree_search": _tree_search,
    "informative_samples": _informative,
    "offline_samples": _offline,
    "preference_pairs": _pairs,
}
