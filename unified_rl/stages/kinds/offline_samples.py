"""The stored samples of a frozen policy: made once, kept as an artefact, reused by every run that names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from unified_rl.base import rng
from unified_rl.base.types import Prompt, Response
from unified_rl.config.schema import Config
from unified_rl.presets.chain import POLICY, STORED, Kind, Work, decoded_tokens
from unified_rl.records.artifacts import Artifact, ArtifactStore, Stage
from unified_rl.stages.fingerprints import draws_key, sampler_key, world_settings
from unified_rl.stages.world import make_task, training_problems

RECIPE = 2
FILE = "samples.parquet"


def stage(config: Config, inputs: Mapping[str, Stage | Artifact]) -> Stage:
    """`source.samples_per_prompt` responses of the frozen policy to each training prompt.

    They depend on the policy and its seed, the prompts and the decoding settings, not on the run's seed: every run from that policy
    shares them.
    """
    return Stage(
        kind="offline_samples",
        settings={
            **world_settings(config),
            "prompts": config.data.prompts,
            "dtype": config.model.dtype,
            "samples_per_prompt": config.source.samples_per_prompt,
            "decoding": asdict(config.generator.decoding),
            **sampler_key(config),
            **draws_key(config),
            **({"slices": config.data.slices} if config.data.slices else {}),
        },
        inputs=inputs,
        make=lambda folder, inputs, store: _sample(config, inputs["policy"].path, folder),
        recipe=RECIPE,
    )


def offline_samples(
    config: Config, store: ArtifactStore, policy: Artifact, prompts: Sequence[Prompt]
) -> tuple[str, list[list[Response]]]:
    """Key of the artefact and, per training prompt, the stored responses of the frozen policy."""
    from unified_rl.stages.response_files import read_responses

    made = stage(config, {"policy": policy}).build(store)
    return made.key, read_responses(made.path / FILE, prompts, config.generator.decoding)


def _sample(config: Config, policy: Path, folder: Path) -> None:
    from unified_rl.stages.frozen import sampled
    from unified_rl.stages.response_files import write_responses

    problems, per_prompt = training_problems(make_task(config), config), config.source.samples_per_prompt
    seeds = [
        [rng.derive_seed(config.sft.seed, "offline", index, k) for k in range(per_prompt)] for index in range(len(problems))
    ]
    prompts, responses = sampled(config, policy, problems, seeds, "offline samples")
    write_responses(folder / FILE, prompts, responses)


def work(config: Config) -> Work:
    return Work(sampled=decoded_tokens(config.data.prompts, config.source.samples_per_prompt, config.generator.max_new_tokens))


KIND = Kind(provides=STORED, needs={"policy": POLICY}, stage=stage, work=work)
