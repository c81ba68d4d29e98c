"""Runs the training that a configuration describes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch
import transformers

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import ONE_RANK, Ranks, Task
from unified_rl.config.schema import Config
from unified_rl.loop.train import train
from unified_rl.methods.signals import ROLES
from unified_rl.models.cpp_compiler import require_compiler
from unified_rl.models.policy_model import load_tokenizer
from unified_rl.presets import chain, loading
from unified_rl.records import runs, sinks
from unified_rl.records.artifacts import Artifact, ArtifactStore, built
from unified_rl.records.progress import announce
from unified_rl.stages import world
from unified_rl.stages.assembly import assemble
from unified_rl.stages.chain import initial_policy, stage
from unified_rl.stages.fingerprints import path_fingerprint, user_code
from unified_rl.stages.generators import preflight_generator
from unified_rl.stages.models import check_model_path, try_model
from unified_rl.stages.rewards import preflight_reward, try_reward
from unified_rl.stages.threads import use_threads
from unified_rl.stages.trained import StepHook, opened
from unified_rl.tasks import check_slices
from unified_rl.training.trainers import preflight_trainer


def run_training(
    config: Config, on_step: StepHook = lambda *_: None, ranks: Ranks = ONE_RANK, start: Artifact | None = None
) -> runs.Run:
    """Run (or resume) the training that a checked configuration describes. Artefacts it needs are built first.

    Args:
        ranks: the processes that call this together, with the same configuration; the first one writes the run directory.
        start: the policy that it starts from, where that is known; else the one of stage `init`.

    Raises:
        UnifiedRLError: see the subclasses; the run directory's `status.json` then says "failed" and why.
    """
    use_threads(config.threads)
    transformers.utils.logging.disable_progress_bar()  # one bar for the run, none for each checkpoint
    store = ArtifactStore(Path(config.artifacts), ranks)
    task = preflight(config)
    if start is None and ranks.first and hasattr(task, "in_words"):
        announce(task.in_words())
    try_model(config)
    with opened(config, ranks) as run, contextlib.ExitStack() as engines:
        if any(":" in judge.source for judge in config.reward.judges.values()):
            beginning = start or built(stage(config, chain.root(config)), store)  # its tokenizer is the run's
            try_reward(config, world.make_task(config), load_tokenizer(beginning.path))
        policy = start or initial_policy(config, store)
        parts, inputs, machine = assemble(config, store, policy.key, policy.path, run.latest_checkpoint(), ranks, engines)
        read = {"policy": policy.key, "data": path_fingerprint(config.data.path), **user_code(config)}
        run.write_provenance({**read, **inputs}, machine)
        with sinks.attached(config, run) if ranks.first else contextlib.nullcontext():
            train(parts, config, run, on_step)
        if ranks.first:
            _say_if_nothing_was_learned(run)
    return run


def _say_if_nothing_was_learned(run: runs.Run) -> None:
    """A line on the terminal where no step had a gradient: every configuration was legal, and yet the policy is what it was."""
    steps = run.entries("metrics")
    if steps and not any(step.get("grad_norm") for step in steps):
        announce(
            f"warning: none of the {len(steps)} steps had a gradient, so the policy is what it was: no pair, no accepted response, "
            "or rewards that are all alike (groups/count, reward/accepted, groups/zero_variance of metrics.jsonl); change it"
        )


def preflight(config: Config) -> Task:
    """Look at everything outside the configuration that it names, before a run directory is made or a stage is built.

    Returns:
        The task.

    Raises:
        ConfigError, DataError: the task, its data, the model's folder, the device or a user's file cannot be used.
    """
    sinks.check(config.logging.sinks)
    task = world.make_task(config)
    check_slices(task, config.data.slices, "data.slices")
    check_model_path(config)
    path_fingerprint(config.model.path)
    path_fingerprint(config.model.lora.path)
    for role in ROLES.values():
        if role.weights is not None:
            path_fingerprint(role.weights(config))
    preflight_reward(config, task)
    preflight_generator(config)
    for trainer in {config.trainer.name, *_trainers_of_stages(config)}:
        preflight_trainer(trainer)
    if config.trainer.compiled and config.model.device == "cpu":
        require_compiler("trainer.compiled")
    try:
        torch.zeros(1, device=config.model.device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"model.device={config.model.device} cannot be used here: {str(error).splitlines()[0]}") from error
    return task


def _trainers_of_stages(config: Config) -> set[str]:
    """The trainers of all that is trained before the run."""
    names = chain.with_ancestors(config, chain.read_by(config))
    trained = [name for name in names if chain.kind_of(config, name).as_run is not None]
    return {loading.stage_config(config, name).trainer.name for name in trained}
