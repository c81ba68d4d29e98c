"""Responses of a frozen policy that a reward model is trained or judged on. Section reward_model. No torch until they are made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from unified_rl.base import rng
from unified_rl.base.types import Prompt, Response, Split, Tokenizer
from unified_rl.config.schema import Config
from unified_rl.presets.chain import POLICY, RESPONSES, Kind, Work, decoded_tokens
from unified_rl.records.artifacts import Artifact, Stage
from unified_rl.stages.fingerprints import draws_key, sampler_key, world_settings
from unified_rl.stages.world import as_prompts, make_task

RECIPE = 1
FILE = "samples.parquet"


@dataclass(frozen=True)
class Samples:
    """Responses of a frozen policy, under the key of their artefact: `responses[i]` answer `prompts[i]`."""

    key: str
    prompts: list[Prompt]
    responses: list[list[Response]]


def stage(config: Config, inputs: Mapping[str, Stage | Artifact]) -> Stage:
    """What the configured reward model is trained on."""
    section = config.reward_model
    return samples_of(config, inputs["policy"], split="train", problems=section.prompts, per_prompt=section.samples_per_prompt)


def samples_of(
    config: Config,
    policy: Stage | Artifact,
    *,
    split: Split,
    problems: int,
    per_prompt: int,
    stream: str = "reward samples",
) -> Stage:
    """`per_prompt` responses of a frozen policy to the first `problems` of a split, with the training decoding settings.

    Args:
        stream: name of the random numbers; another one gives other samples of the same policy.
    """

    def make(folder: Path, inputs: Mapping[str, Artifact], store: object) -> None:
        from unified_rl.stages.frozen import sampled
        from unified_rl.stages.response_files import write_responses

        own, name = config.sft.seed, f"{stream}/{split}"
        seeds = [[rng.derive_seed(own, name, index, k) for k in range(per_prompt)] for index in range(problems)]
        found = make_task(config).problems(split, problems)
        prompts, responses = sampled(config, inputs["policy"].path, found, seeds, f"{stream}, {split}")
        write_responses(folder / FILE, prompts, responses)

    return Stage(
        kind="reward_samples",
        settings={
            **world_settings(config),
            "split": split,
            "problems": problems,
            "per_prompt": per_prompt,
            "stream": stream,
            "dtype": config.model.dtype,
            "decoding": asdict(config.generator.decoding),
            **sampler_key(config),
            **draws_key(config),
        },
        inputs={"policy": policy},
        make=make,
        recipe=RECIPE,
    )


def read_samples(config: Config, made: Artifact, tokenizer: Tokenizer) -> Samples:
    """What the stage made.

    Args:
        tokenizer: of the policy that was sampled.
    """
    from unified_rl.stages.response_files import read_responses

    settings = json.loads((made.path / "artifact.json").read_text(encoding="utf-8"))["settings"]
    prompts = as_prompts(list(make_task(config).problems(settings["split"], settings["problems"])), tokenizer, config)
    return Samples(made.key, prompts, read_responses(made.path / FILE, prompts, config.generator.decoding))


def work(config: Config) -> Work:
    section = config.reward_model
    return Work(sampled=decoded_tokens(section.prompts, section.samples_per_prompt, config.generator.max_new_tokens))


KIND = Kind(provides=RESPONSES, needs={"policy": POLICY}, stage=stage, work=work)
