"""The stored samples of a frozen policy: made once, kept as an artefact, reused by every run that names them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from unified_rl import rng
from unified_rl.artifacts import ArtifactStore
from unified_rl.config import Config
from unified_rl.engines.policy_model import load_policy
from unified_rl.engines.torch_generator import TorchGenerator
from unified_rl.progress import progress
from unified_rl.stages import world
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
    model, tokenizer = load_policy(policy_path, world.model_dtype(config), config.model.device)
    sampler = TorchGenerator(model, tokenizer, max_concurrent_sequences=config.generator.max_concurrent_sequences)
    generator = world.solution_generator(config, sampler, tokenizer)
    per_prompt = config.source.samples_per_prompt
    seeds = [[rng.derive_seed(0, "offline", index, k) for k in range(per_prompt)] for index in range(len(prompts))]
    with progress("offline samples", len(prompts) * per_prompt, "responses") as hook:
        sampler.on_progress = lambda done, total: hook(done, {})
        responses = generator.generate(prompts, seeds, config.generator.decoding, policy_version=0)
    write_responses(folder / FILE, prompts, responses)
