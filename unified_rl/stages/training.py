"""Builds a run's parts from its configuration and runs it. The SFT stage is the same thing with method sft from the base model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from unified_rl import files, loading, runs
from unified_rl.artifacts import ArtifactStore
from unified_rl.coefficients import build as build_coefficient
from unified_rl.config import Config
from unified_rl.engines.policy_copy import FrozenCopy
from unified_rl.engines.policy_model import ValueModel, build_value_model, load_policy, save_policy
from unified_rl.engines.ranks import divided
from unified_rl.engines.torch_generator import TorchGenerator
from unified_rl.engines.torch_trainer import AdamWOptions, Layout, Role, evaluate_role, policy_role, value_role
from unified_rl.engines.trainers import Trainer, build_trainer, preflight_trainer, state_name
from unified_rl.engines.whole_copy import FollowingGenerator, WholeCopy
from unified_rl.errors import ConfigError, DataError, RunDirectoryError
from unified_rl.importance import corrected
from unified_rl.progress import progress
from unified_rl.stages import curve, sinks, world
from unified_rl.stages.generators import live_sampler, preflight_generator, synced, trained_temperature
from unified_rl.stages.rewards import build_reward, preflight_reward
from unified_rl.stages.sources import Collaborators, build_source
from unified_rl.train import Parts, train
from unified_rl.types import ONE_RANK, Generator, Ranks, StatefulSource

SFT_RECIPE = 1
#: Of the trainer's settings: packing, which results do not depend on, and a budget, which stages do not have.
_NOT_IN_KEY = frozenset({"micro_batch_tokens", "row_tokens", "token_budget", "budget_counts"})
StepHook = Callable[[int, dict[str, float]], None]


def run_training(config: Config, on_step: StepHook = lambda *_: None, ranks: Ranks = ONE_RANK) -> runs.Run:
    """Run (or resume) the training that a checked configuration describes. Artefacts it needs are built first.

    Args:
        ranks: the processes that call this together, with the same configuration; the first one writes the run directory.

    Raises:
        UnifiedRLError: see the subclasses; the run directory's `status.json` then says "failed" and why.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.model.dtype == "bfloat16" and config.model.device.startswith("cuda"):
        torch.set_float32_matmul_precision("high")  # TF32 in the float32 head: exact for forward products of bfloat16 numbers
    transformers.utils.logging.disable_progress_bar()  # one bar for the run, none for each checkpoint
    store = ArtifactStore(Path(config.artifacts), ranks)
    preflight(config)
    run, engines = _open(config, ranks), contextlib.ExitStack()
    try:
        policy_key, policy_path = initial_policy(config, store, ranks)
        parts, inputs = _assemble(config, store, policy_key, policy_path, run, ranks, engines)
        reference = {"reference": world.path_fingerprint(config.reference)} if config.reference else {}
        run.write_provenance({"policy": policy_key, "data": world.path_fingerprint(config.data.path), **reference, **inputs})
        with sinks.attached(config, run) if ranks.first else contextlib.nullcontext():
            train(parts, config, run, on_step)
    except Exception as error:
        with contextlib.suppress(RunDirectoryError):  # a full disk cannot note that it is full
            run.set_status("failed", run.step, config.trainer.steps, str(error) or type(error).__name__)
        raise
    finally:
        engines.close()
        run.close()
    return run


def _open(config: Config, ranks: Ranks) -> runs.Run:
    """The run directory, opened by the first rank before the others look at it."""
    run = runs.Run.open(Path(config.run_dir), loading.as_dict(config), resume=config.resume) if ranks.first else None
    ranks.barrier()
    return run or runs.FollowedRun(Path(config.run_dir))


def preflight(config: Config) -> None:
    """Look at everything outside the configuration that it names, before a run directory is made or a stage is built.

    Raises:
        ConfigError, DataError: the task, its data, the model's folder, the device or a user's file cannot be used.
    """
    sinks.check(config.logging.sinks)
    task = world.make_task(config)
    world.check_slices(task, config)
    world.check_model_path(config)
    world.path_fingerprint(config.model.path)
    world.path_fingerprint(config.reference)
    preflight_reward(config, task)
    preflight_generator(config)
    preflight_trainer(config.trainer.name)
    try:
        torch.zeros(1, device=config.model.device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"model.device={config.model.device} cannot be used here: {str(error).splitlines()[0]}") from error


def initial_policy(config: Config, store: ArtifactStore, ranks: Ranks = ONE_RANK) -> tuple[str, Path]:
    """Key and Hugging Face folder of the policy that training starts from: the base model, or the SFT policy made from it."""
    base_key, base_path = world.base_policy(config, store)
    if config.init == "base":
        return base_key, base_path
    stage = sft_config(config)
    settings = {
        **world.world_settings(config),
        "sft": {name: value for name, value in asdict(config.sft).items() if name != "trainer"},  # it is in the next line
        "trainer": {name: value for name, value in asdict(stage.trainer).items() if name not in _NOT_IN_KEY},
        "dtype": config.model.dtype,
        "aggregation": asdict(stage.aggregation),
    }
    key, folder = store.get_or_build(
        "sft",
        settings,
        recipe_version=SFT_RECIPE,
        inputs={"base": base_key},
        build=lambda aside: _run_stage(stage, aside, ranks),
        together=ranks,
    )
    return key, _policy_folder(folder)


def sft_config(config: Config) -> Config:
    """The SFT stage as a run of its own: method sft from the base model on the configured demonstrations."""
    preset = loading.compose(["method=sft", f"stack={config.stack}"])
    return replace(
        preset,
        seed=config.sft.seed,
        threads=config.threads,
        artifacts=config.artifacts,
        init="base",
        label="SFT stage",
        task=config.task,
        data=replace(config.data, prompts=config.sft.demonstrations, slices=[]),
        model=config.model,
        sft=config.sft,
        rollout=replace(preset.rollout, prompts_per_step=config.sft.sequences_per_step, responses_per_prompt=1),
        generator=config.generator,
        deepspeed=config.deepspeed,
        trainer=replace(
            preset.trainer,
            name=config.sft.trainer or config.trainer.name,
            steps=config.sft.steps,
            learning_rate=config.sft.learning_rate,
            schedule=config.sft.schedule,
            warmup_steps=config.sft.warmup_steps,
            micro_batch_tokens=config.trainer.micro_batch_tokens,
            row_tokens=config.trainer.row_tokens,
        ),
        logging=replace(preset.logging, checkpoint_every=200, keep_checkpoints=1, curve_problems=0, samples=0),
    )


def _run_stage(stage: Config, folder: Path, ranks: Ranks) -> None:
    """Run a stage inside an artefact's folder, going on from what a killed attempt left there.

    What was left by an attempt with other incidental settings (threads, packing), which the key does not hold, is begun again.
    """
    config = replace(stage, run_dir=str(folder), resume=True)
    if ranks.first and _holds_another_run(folder, config):
        files.remove(folder)
        folder.mkdir()
    with shown_by_first(ranks, stage.label, stage.trainer.steps) as on_step:
        run_training(config, on_step, ranks)


def shown_by_first(ranks: Ranks, label: str, steps: int) -> contextlib.AbstractContextManager[StepHook]:
    """Progress on the terminal, of one rank for all."""
    return progress(label, steps) if ranks.first else contextlib.nullcontext(lambda *_: None)


def _holds_another_run(folder: Path, config: Config) -> bool:
    stored = folder / "config.yaml"
    return stored.exists() and loading.as_dict(loading.load_resolved(stored)) != loading.as_dict(config)


def _policy_folder(run_dir: Path) -> Path:
    checkpoint = runs.latest_checkpoint(run_dir)
    if checkpoint is None:
        raise DataError(f"{run_dir} holds no checkpoint; delete that folder and the stage will run again")
    return checkpoint / "policy"


def _assemble(
    config: Config,
    store: ArtifactStore,
    policy_key: str,
    policy_path: Path,
    run: runs.Run,
    ranks: Ranks,
    engines: contextlib.ExitStack,
) -> tuple[Parts, dict[str, Any]]:
    """A run's parts, at its latest checkpoint if it has one, and what to record as its inputs.

    Args:
        engines: what to close when the run is over.
    """
    task = world.make_task(config)
    checkpoint = run.latest_checkpoint()
    model, tokenizer = _load(config, checkpoint / "policy" if checkpoint else policy_path)
    coefficient = corrected(build_coefficient(config.coefficient), config.importance)
    role = policy_role(trained_temperature(config))
    # before the policy's trainer, which may divide the weights that the value model begins with
    value = _value_trainer(config, model, checkpoint, ranks) if "values" in coefficient.needs else None
    policy = _trainer(config, model, role, _adamw(config, config.trainer.learning_rate, config.rollout.updates), ranks)
    if checkpoint:
        policy.load(checkpoint / state_name(config.trainer.name, "optimizer"))
    reference = None
    if "ref_logp" in coefficient.needs:
        frozen, _ = _load(config, Path(config.reference) if config.reference else policy_path)
        reference = lambda sequences: evaluate_role(frozen, role, sequences, _layout(config), ranks)  # noqa: E731
    copied = _copy_to_sample(config, policy)
    weights = checkpoint / "policy" if checkpoint else policy_path
    sampler = live_sampler(config, copied.model if copied else model, tokenizer, weights)
    generator = world.solution_generator(config, sampler, tokenizer)
    reward, reward_inputs = build_reward(config, store, task, tokenizer, policy_key, policy_path, ranks)
    generator, reward = divided(generator, reward, ranks)
    generator = FollowingGenerator(generator, copied) if copied else generator
    live = synced(config, generator, sampler, policy, task, ranks)
    generator = live.generator
    engines.callback(live.close)

    def frozen_copy() -> tuple[FrozenCopy, Generator]:
        copy = FrozenCopy(model)
        old = TorchGenerator(copy.model, tokenizer, max_concurrent_sequences=config.generator.max_concurrent_sequences)
        return copy, divided(world.solution_generator(config, old, tokenizer), reward, ranks)[0]

    context = getattr(model.config, "max_position_embeddings", None) or 0
    source, inputs = build_source(
        Collaborators(config, store, task, tokenizer, generator, reward, policy_key, policy_path, frozen_copy, context)
    )
    if checkpoint and isinstance(source, StatefulSource):
        source.load(checkpoint / "source")
    probe = curve.Curve(config, task, tokenizer, generator)

    def save(folder: Path) -> None:
        policy.save(folder / state_name(config.trainer.name, "optimizer"))
        whole = policy.whole_model()
        if value is not None:
            value.save(folder / state_name(config.trainer.name, "value_optimizer"))
            whole_value = value.whole_model()
        if not ranks.first:
            return
        save_policy(whole, tokenizer, folder / "policy")
        files.write_json(folder / "state.json", {"updates": policy.updates})
        if isinstance(source, StatefulSource):
            source.save(folder / "source")
        if value is not None:
            whole_value.save(folder / "value")

    decode = lambda ids: [tokenizer.decode([token]) for token in ids]  # noqa: E731
    parts = Parts(source, coefficient, policy, reference, value, probe.entries, save, decode, ranks, live.metrics)
    return parts, {**reward_inputs, **inputs}


def _load(config: Config, path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    return load_policy(path, world.model_dtype(config), config.model.device)


def _adamw(config: Config, learning_rate: float, updates: int) -> AdamWOptions:
    """Options of one role's optimiser, which makes `updates` updates per step."""
    trainer = config.trainer
    return AdamWOptions(
        learning_rate=learning_rate,
        total_updates=max(1, trainer.steps * updates),
        schedule=trainer.schedule,
        warmup_updates=trainer.warmup_steps * updates,
        weight_decay=trainer.weight_decay,
        betas=(trainer.beta1, trainer.beta2),
        eps=trainer.adam_eps,
        max_grad_norm=trainer.max_grad_norm,
    )


def _value_trainer(config: Config, policy: PreTrainedModel, checkpoint: Path | None, ranks: Ranks) -> Trainer:
    model = (
        ValueModel.load(checkpoint / "value", world.model_dtype(config), config.model.device)
        if checkpoint
        else build_value_model(policy)
    )
    options = _adamw(config, config.coefficient.value_learning_rate, config.coefficient.value_epochs)
    trainer = _trainer(config, model, value_role, options, ranks)
    if checkpoint:
        trainer.load(checkpoint / state_name(config.trainer.name, "value_optimizer"))
    return trainer


def _trainer(config: Config, model: torch.nn.Module, role: Role, options: AdamWOptions, ranks: Ranks) -> Trainer:
    return build_trainer(config.trainer.name, config.deepspeed, model, role, options, _layout(config), ranks)


def _layout(config: Config) -> Layout:
    return Layout(config.trainer.row_tokens, config.trainer.micro_batch_tokens)


def _copy_to_sample(config: Config, policy: Trainer) -> WholeCopy | None:
    """A whole copy of a divided policy, where the torch generator is to sample from it."""
    divides = config.trainer.name == "deepspeed" and config.deepspeed.zero_stage == 3
    return WholeCopy(policy) if divides and config.generator.name == "torch" else None  # type: ignore[arg-type]
