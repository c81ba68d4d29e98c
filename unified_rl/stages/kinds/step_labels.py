"""The facts of sampled responses' steps, from which their labels follow. Section reward_model. No torch until they are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from unified_rl.config.reward_models import section_of
from unified_rl.config.schema import Config
from unified_rl.presets.chain import POLICY, RESPONSES, STEP_FACTS, STEPS, Kind, Work, decoded_tokens
from unified_rl.records.artifacts import Artifact, Stage
from unified_rl.rewards.steps import build_segmenter
from unified_rl.stages.fingerprints import draws_key, sampler_key, world_settings
from unified_rl.stages.kinds.reward_samples import read_samples
from unified_rl.stages.world import make_task

if TYPE_CHECKING:
    from unified_rl.stages.step_labels import StepFacts

RECIPE = 1
FILE = "labels.parquet"


def stage(config: Config, inputs: Mapping[str, Stage | Artifact]) -> Stage:
    """What the labels of the configured reward model follow from."""
    section = section_of(config.reward_model, config.reward.supervision)
    return facts_of(config, inputs["samples"], inputs["completer"], section.segmentation, section.needed_completions)


def facts_of(
    config: Config, samples: Stage | Artifact, completer: Stage | Artifact, segmentation: str, completions: int
) -> Stage:
    """The facts of every sampled response (see `stages.step_labels`).

    Args:
        completer: the policy that goes on from each step's end. completions: N; 0 where the labels need no sampling.
    """
    return Stage(
        kind="step_labels",
        settings={
            **world_settings(config),
            "segmentation": segmentation,
            "completions": completions,
            "dtype": config.model.dtype,
            "decoding": asdict(config.generator.decoding),
            **sampler_key(config),
            **draws_key(config),
        },
        inputs={"samples": samples, "completer": completer},
        make=lambda folder, inputs, store: _label(config, inputs, segmentation, completions, folder),
        recipe=RECIPE,
    )


def read_step_facts(made: Artifact, completions: int) -> list[list[StepFacts]]:
    """What the stage made."""
    from unified_rl.stages.step_labels import read_facts

    return read_facts(made.path / FILE, completions)


def _label(config: Config, inputs: Mapping[str, Artifact], segmentation: str, completions: int, folder: Path) -> None:
    from unified_rl.models.policy_model import load_tokenizer
    from unified_rl.stages.generators import frozen_sampler
    from unified_rl.stages.step_labels import label_steps, write_facts

    completer = inputs["completer"].path
    task, tokenizer = make_task(config), load_tokenizer(completer)
    samples = read_samples(config, inputs["samples"], tokenizer)
    with frozen_sampler(config, completer) as generator:
        facts = label_steps(
            task,
            tokenizer,
            build_segmenter(segmentation, task, tokenizer),
            generator,
            config.generator.decoding,
            samples.prompts,
            samples.responses,
            completions=completions,
            seed=config.sft.seed,
        )
    write_facts(folder / FILE, facts)


def work(config: Config) -> Work:
    """From the end of each of a few steps, on average half a response is left to be written."""
    section = section_of(config.reward_model, config.reward.supervision)
    prefixes = STEPS * section.prompts * section.samples_per_prompt
    return Work(sampled=decoded_tokens(prefixes, section.needed_completions, config.generator.max_new_tokens) / 2)


KIND = Kind(provides=STEP_FACTS, needs={"samples": RESPONSES, "completer": POLICY}, stage=stage, work=work)
