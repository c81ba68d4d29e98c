"""Runs the training that a configuration describes. The SFT stage is the same thing with method sft from the base model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch
import transformers

from unified_rl import files, loading, runs
from unified_rl.artifacts import ArtifactStore
from unified_rl.config import Config
from unified_rl.engines.cpp_compiler import require_compiler
from unified_rl.engines.trainers import preflight_trainer
from unified_rl.errors import ConfigError, DataError, RunDirectoryError
from unified_rl.progress import progress
from unified_rl.stages import sinks, world
from unified_rl.stages.assembly import assemble
from unified_rl.stages.generators import preflight_generator
from unified_rl.stages.rewards import preflight_reward
from unified_rl.train import train
from unified_rl.types import ONE_RANK, Ranks

SFT_RECIPE = 1
#: Of the trainer's settings: packing, which results do not depend on; a budget and a compiled pass, which stages do not have.
_NOT_IN_KEY = frozenset({"compiled", "micro_batch_tokens", "row_tokens", "token_budget", "budget_counts"})
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
        parts, inputs, machine = assemble(config, store, policy_key, policy_path, run.latest_checkpoint(), ranks, engines)
        reference = {"reference": world.path_fingerprint(config.reference)} if config.reference else {}
        read = {"policy": policy_key, "data": world.path_fingerprint(config.data.path), **world.user_code(config)}
        run.write_provenance({**read, **reference, **inputs}, machine)
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
    for trainer in {config.trainer.name, config.sft.trainer or config.trainer.name}:
        preflight_trainer(trainer)
    if config.trainer.compiled and config.model.device == "cpu":
        require_compiler("trainer.compiled")
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
