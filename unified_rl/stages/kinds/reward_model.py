"""A reward model trained on labelled responses, from the policy of a stage. Section reward_model. No torch until it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from unified_rl.config.reward_models import RewardModelConfig, section_of
from unified_rl.config.schema import Config
from unified_rl.presets import loading
from unified_rl.presets.chain import POLICY, RESPONSES, REWARD, STEP_FACTS, Kind, Work, response_tokens
from unified_rl.records.artifacts import Artifact, ArtifactStore, Make, Stage
from unified_rl.stages.fingerprints import adapter_settings, trainer_settings, world_settings

RECIPE = 2
MODEL_FOLDER = "model"
#: Sections that the stage has in common with the run it is made for.
_SHARED = ("threads", "artifacts", "stages", "task", "model", "generator", "deepspeed", "vllm")


def stage(run: Config, inputs: Mapping[str, Stage | Artifact]) -> Stage:
    """The reward model after the last step of the stage's run, which `as_run` describes."""

    def make(folder: Path, inputs: Mapping[str, Artifact], store: ArtifactStore) -> None:
        from unified_rl.stages.reward_model import train_initial

        train_initial(run, inputs, folder, store.ranks)

    rates = run.reward_model.label_rates
    return trained(run, inputs, make, **({"label_rates": list(rates)} if any(rates) else {}))


def trained(run: Config, inputs: Mapping[str, Stage | Artifact], make: Make, **further: object) -> Stage:
    """A reward model that `make` trains as `run` says; further: settings that it depends on beside those of the training."""
    return Stage(
        kind="reward_model",
        settings={**training_settings(run), **further},
        inputs=inputs,
        make=make,
        recipe=RECIPE,
        output=MODEL_FOLDER,
        together=True,
    )


def as_run(config: Config) -> Config:
    """The stage as a run of its own, as long as the passes of section reward_model over the responses that are sampled for it."""
    section = section_of(config.reward_model, config.reward.supervision)
    return training_run(config, section, section.prompts * section.samples_per_prompt)


def training_run(config: Config, section: RewardModelConfig, responses: int) -> Config:
    """The training of a reward model on so many responses: the optimiser of section trainer, the rest of its own section."""
    preset = _preset(config.stack)
    per_epoch = -(-responses // section.sequences_per_step)
    return replace(
        preset,
        **{name: getattr(config, name) for name in _SHARED},
        seed=section.seed,
        label=f"training the {section.kind} reward model",
        data=replace(config.data, prompts=section.prompts, slices=[]),
        reward_model=section,
        trainer=replace(
            config.trainer,
            steps=per_epoch * section.epochs,
            compiled=preset.trainer.compiled,
            token_budget=0,
            **section.learning_rates,
        ),
        logging=replace(
            preset.logging, checkpoint_every=section.checkpoint_every, keep_checkpoints=1, curve_problems=0, samples=0
        ),
    )


def training_settings(run: Config) -> dict[str, object]:
    """What trained weights depend on, beside the data."""
    section = run.reward_model
    return {
        **world_settings(run),
        "trainer": trainer_settings(run.trainer),
        "sequences_per_step": section.sequences_per_step,
        "seed": run.seed,
        "dtype": run.model.dtype,
        "kind": section.kind,
        "labels": section.trained_labels,
        **adapter_settings(run),
    }


def _reads(config: Config, inputs: dict[str, str]) -> dict[str, str]:
    """The backbone is copied from the stage that the section names, if it names one."""
    return inputs | ({"backbone": config.reward_model.init} if config.reward_model.init else {})


@cache
def _preset(stack: str) -> Config:
    return loading.compose([f"stack={stack}"])


def work(run: Config) -> Work:
    """A prompt of its own for every response, about as long."""
    tokens = 2 * response_tokens(run.generator.max_new_tokens)
    return Work(trained=run.trainer.steps * run.reward_model.sequences_per_step * tokens)


KIND = Kind(
    provides=REWARD,
    needs={"samples": RESPONSES, "labels": STEP_FACTS, "backbone": POLICY},
    stage=stage,
    reads=_reads,
    as_run=as_run,
    work=work,
)
