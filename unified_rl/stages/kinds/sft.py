"""Training on demonstrations, as a run of method sft from the policy of another stage. Section sft. No torch until it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from unified_rl.config.lora import LoraConfig
from unified_rl.config.schema import Config
from unified_rl.presets import loading
from unified_rl.presets.chain import POLICY, Kind, Work, response_tokens
from unified_rl.records.artifacts import Artifact, ArtifactStore, Stage
from unified_rl.records.runs import checkpoint_name
from unified_rl.stages.fingerprints import adapter_settings, trainer_settings, world_settings

RECIPE = 1
METHOD = "sft"
#: Sections that the stage has in common with the run it is made for.
SHARED = ("threads", "artifacts", "stages", "task", "model", "generator", "deepspeed", "vllm", "sft")


def stage(run: Config, inputs: Mapping[str, Stage | Artifact]) -> Stage:
    """The policy after the last step of the stage's run."""

    def make(folder: Path, inputs: Mapping[str, Artifact], store: ArtifactStore) -> None:
        from unified_rl.stages.trained import run_inside
        from unified_rl.stages.training import run_training

        run_inside(folder, run, store.ranks, lambda run, on_step: run_training(run, on_step, store.ranks, inputs["policy"]))

    return Stage(
        kind="sft",
        settings={
            **world_settings(run),
            "demonstrations": run.data.prompts,
            "sequences_per_step": run.rollout.prompts_per_step,
            "seed": run.seed,
            "trainer": trainer_settings(run.trainer),
            "dtype": run.model.dtype,
            "aggregation": asdict(run.aggregation),
            **adapter_settings(run),
        },
        inputs=inputs,
        make=make,
        recipe=RECIPE,
        output=f"checkpoints/{checkpoint_name(run.trainer.steps)}/policy",
        together=True,
    )


def as_run(config: Config) -> Config:
    """The stage as a run of its own: method sft as the stack has it, on the demonstrations and with the steps of section sft.

    A model from scratch is trained whole: on random weights an adapter is of no use.
    """
    preset, section = _preset(config.stack), config.sft
    shared = {name: getattr(config, name) for name in SHARED}
    if not (config.model.path or config.model.lora.path):
        shared["model"] = replace(config.model, lora=LoraConfig())
    return replace(
        preset,
        **shared,
        seed=section.seed,
        label="SFT stage",
        data=replace(config.data, prompts=section.demonstrations, slices=[]),
        rollout=replace(preset.rollout, prompts_per_step=section.sequences_per_step, responses_per_prompt=1),
        trainer=replace(
            preset.trainer,
            name=section.trainer or config.trainer.name,
            steps=section.steps,
            micro_batch_tokens=config.trainer.micro_batch_tokens,
            row_tokens=config.trainer.row_tokens,
            **section.learning_rates,
        ),
        logging=replace(preset.logging, checkpoint_every=200, keep_checkpoints=1, curve_problems=0, samples=0),
    )


@cache
def _preset(stack: str) -> Config:
    return loading.compose([f"method={METHOD}", f"stack={stack}"])


def work(run: Config) -> Work:
    """A prompt of its own for every demonstration, about as long."""
    tokens = 2 * response_tokens(run.generator.max_new_tokens)
    return Work(trained=run.trainer.steps * run.rollout.prompts_per_step * tokens)


KIND = Kind(
    provides=POLICY,
    needs={"policy": POLICY},
    stage=stage,
    as_run=as_run,
    work=work,
    words=lambda config: f"the SFT policy ({config.trainer.steps} steps on demonstrations)",
)
