"""The stored samples of a frozen policy: made once, kept as an artefact, reused by every run that names them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from unified_rl import rng
from unified_rl.artifacts import ArtifactStore
from unified_rl.config import Config
from unified_rl.progress import progress
from unified_rl.stages import world
from unified_rl.stages.generators import frozen_sampler, sampler_key
from unified_rl.stages.response_files import read_responses, write_responses
from unified_rl.types import Prompt, Response

RECIPE = 2
FILE = "samples.parquet"


def offline_samples(
    config: Config, store: ArtifactStore, policy_key: str, policy_path: Path, prompts: list[Prompt]
) -> tuple[str, list[list[Response]]]:
    """Key of the artefact and, per prompt, `source.samples_per_prompt` responses of the frozen policy.

    They depend on the policy, the prompts and the decoding settings, not on the run's seed: every run shares them.
    """
    settings = {
        **world.world_settings(config),
        "prompts": len(prompts),
        "dtype": config.model.dtype,
        "samples_per_prompt": config.source.samples_per_prompt,
        "decoding": asdict(config.generator.decoding),
        **sampler_key(config),
        **({"slices": config.data.slices} if config.data.slices else {}),
    }
    key, folder = store.get_or_build(
        "offline_samples",
        settings,
        recipe_version=RECIPE,
        inputs={"policy": policy_key},
        build=lambda aside: _sample(config, policy_path, prompts, aside),
    )
    return key, read_responses(folder / FILE, prompts, config.generator.decoding)


def _sample(config: Config, policy_path: Path, prompts: list[Prompt], folder: Path) -> None:
    per_prompt = config.source.samples_per_prompt
    seeds = [[rng.derive_seed(0, "offline", index, k) for k in range(per_prompt)] for index in range(len(prompts))]
    with (
        frozen_sampler(config, policy_path) as sampler,
        progress("offline samples", len(prompts) * per_prompt, "responses") as hook,
    ):
        sampler.on_progress = lambda done, total: hook(done, {})
        generator = world.solution_generator(config, sampler, sampler.tokenizer)
        responses = generator.generate(prompts, seeds, config.generator.decoding, policy_version=0)
    write_responses(folder / FILE, prompts, responses)
