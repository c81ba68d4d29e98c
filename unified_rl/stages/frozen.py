"""Responses of a frozen policy, sampled once: what stages of samples have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unified_rl.base.types import Problem, Prompt, Response
from unified_rl.config.schema import Config
from unified_rl.models.policy_model import load_tokenizer
from unified_rl.records.progress import progress
from unified_rl.stages.generators import frozen_sampler
from unified_rl.stages.solutions import solution_generator
from unified_rl.stages.world import as_prompts


def sampled(
    config: Config, policy: Path, problems: Sequence[Problem], seeds: Sequence[Sequence[int]], label: str
) -> tuple[list[Prompt], list[list[Response]]]:
    """The problems as prompts, and `len(seeds[i])` responses to prompt i, with the training decoding settings."""
    tokenizer = load_tokenizer(policy)
    prompts = as_prompts(list(problems), tokenizer, config)
    with frozen_sampler(config, policy) as sampler, progress(label, sum(map(len, seeds)), "responses") as hook:
        sampler.on_progress = lambda done, total: hook(done, {})
        generator = solution_generator(config, sampler, tokenizer)
        return prompts, generator.generate(prompts, seeds, config.generator.decoding, policy_version=0)
