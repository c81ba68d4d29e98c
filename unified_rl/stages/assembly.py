"""From a configuration to the parts of a run, at its latest checkpoint if it has one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from unified_rl.base import files
from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Generator, Ranks, Reward, Source, StatefulSource, Task, Tokenizer
from unified_rl.config.schema import Config
from unified_rl.loop.memory import Memory, memories
from unified_rl.loop.train import Parts, Pass
from unified_rl.methods.base import Coefficient
from unified_rl.methods.importance import corrected
from unified_rl.methods.losses import all_needs, of_policy
from unified_rl.methods.signals import Role as ModelRole
from unified_rl.methods.signals import beside_policy, per_micro_batch, within_update
from unified_rl.models.adapters import adapter_off, add_adapter, load_adapter
from unified_rl.models.compiled_forward import compiled_forward
from unified_rl.models.decoder_pass import decoder_of
from unified_rl.models.forward import Forward, plain_forward
from unified_rl.models.policy_copy import FrozenCopy
from unified_rl.models.policy_model import ValueModel, build_value_model, load_policy, save_policy
from unified_rl.models.roles import Outputs, Role, policy_role, value_role
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.records.artifacts import ArtifactStore
from unified_rl.records.progress import announce
from unified_rl.sampling.awaited import AwaitedGenerator
from unified_rl.sources import AheadOfTraining, Settled
from unified_rl.stages import curve, world
from unified_rl.stages.fingerprints import path_fingerprint
from unified_rl.stages.generators import (
    Synced,
    live_sampler,
    samples_beside_training,
    synced,
    torch_sampler,
    trained_temperature,
)
from unified_rl.stages.models import model_dtype
from unified_rl.stages.optimisers import adamw
from unified_rl.stages.rewards import build_reward
from unified_rl.stages.solutions import solution_generator
from unified_rl.stages.sources import Collaborators, build_source
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.passes import evaluate_role
from unified_rl.training.protocol import Trainer
from unified_rl.training.ranks import divided
from unified_rl.training.trainers import build_trainer, state_name
from unified_rl.training.whole_copy import Divided, FollowingGenerator, WholeCopy


def assemble(
    config: Config,
    store: ArtifactStore,
    policy_key: str,
    policy_path: Path,
    checkpoint: Path | None,
    ranks: Ranks,
    engines: contextlib.ExitStack,
) -> tuple[Parts, dict[str, Any], dict[str, Any]]:
    """A run's parts, what to record as its inputs, and what this machine makes of it.

    policy_key, policy_path: the initial policy. checkpoint: where the run goes on. engines: what to close when the run is over.
    """
    task = world.make_task(config)
    coefficient = corrected(config.coefficient, config.importance)
    roles = beside_policy(coefficient.needs | all_needs(config))
    loaded = {
        role.name: _load_frozen(config, role, policy_path) for role in roles if role.frozen and not _is_start(config, role)
    }
    trained = _trained(config, policy_path, checkpoint, ranks, [role for role in roles if not role.frozen], loaded)
    frozen = {role.name: _frozen(config, role, loaded.get(role.name), trained, ranks) for role in roles if role.frozen}
    awaited = AwaitedGenerator()
    reward, reward_inputs = build_reward(config, store, task, trained.tokenizer, awaited)
    live, reward = _sampling(config, trained, _weights(policy_path, checkpoint), task, reward, ranks, engines)
    given = _collaborators(config, store, task, trained, live, reward, ranks, policy_key, policy_path)
    awaited.arrived(given.generator)
    source, source_inputs = _source_at(checkpoint, given)
    remembered = _memories(coefficient, checkpoint)
    parts = Parts(
        source=source,
        coefficient=coefficient,
        policy=trained.policy,
        frozen=frozen,
        companions=trained.companions,
        curve=curve.Curve(config, task, trained.tokenizer, _beside_source(live.generator, source, engines)).entries,
        save=lambda folder: _save(config, trained, source, remembered, folder, ranks),
        decode=partial(_pieces, trained.tokenizer),
        ranks=ranks,
        memories=remembered,
        sampler_metrics=live.metrics,
    )
    read = {**reward_inputs, **source_inputs, **_given_weights(config, roles)}
    return parts, read, {"company": live.company, **world.shown_prompt(task, trained.tokenizer, config)}


def _weights(start: Path, checkpoint: Path | None) -> Path:
    """The folder of the policy's weights: where the run goes on, or where it starts."""
    return checkpoint / "policy" if checkpoint else start


def _is_start(config: Config, role: ModelRole) -> bool:
    """Whether a frozen role is the policy with its adapter switched off, and so needs no weights of its own."""
    return bool(config.model.lora.rank) and role.weights is not None and not role.weights(config)


def _source_at(checkpoint: Path | None, given: Collaborators) -> tuple[Source, dict[str, Any]]:
    """The source, where the run goes on, and what it read."""
    source, inputs = build_source(given)
    if checkpoint and isinstance(source, StatefulSource):
        source.load(checkpoint / "source")
    return source, inputs


def _memories(coefficient: Coefficient, checkpoint: Path | None) -> tuple[Memory, ...]:
    """What the run remembers of its prompts, of what the coefficient reads."""
    found = memories(coefficient)
    for memory in found if checkpoint else ():
        memory.load(checkpoint)  # type: ignore[arg-type]
    return found


@dataclass(frozen=True)
class _Trained:
    """What the run trains. model: the policy's module, which a trainer may divide. forward: of decoders. companions: by role."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    forward: Forward
    policy: Trainer
    companions: dict[str, Trainer]


def _beside_source(generator: Generator, source: Source, engines: contextlib.ExitStack) -> Generator:
    """The generator for what samples beside the source, which may be sampling ahead."""
    if not isinstance(source, AheadOfTraining):
        return generator
    engines.callback(source.close)
    return Settled(generator, source)


def _collaborators(
    config: Config,
    store: ArtifactStore,
    task: Task,
    trained: _Trained,
    live: Synced,
    reward: Reward,
    ranks: Ranks,
    policy_key: str,
    policy_path: Path,
) -> Collaborators:
    """What the source is made of."""
    beside = samples_beside_training(config)
    return Collaborators(
        config=config,
        store=store,
        task=task,
        tokenizer=trained.tokenizer,
        generator=live.as_it_is if beside else live.generator,
        reward=reward,
        policy_key=policy_key,
        policy_path=policy_path,
        copy_policy=lambda: _frozen_copy(config, trained, reward, ranks),
        responses=config.rollout.responses_per_prompt,
        context=live.generator.info.context or 0,
        begin=live.push.sync if beside and live.push else None,
    )


#: A frozen role's model, and its tokenizer.
_Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]


def _trained(
    config: Config,
    start: Path,
    checkpoint: Path | None,
    ranks: Ranks,
    beside: Sequence[ModelRole],
    frozen: Mapping[str, _Loaded],
) -> _Trained:
    adapts = config.model.lora.rank > 0
    model, tokenizer = _load(config, start if adapts else _weights(start, checkpoint))
    forward = _compiled_forward(model, ranks) if config.trainer.compiled else plain_forward
    role = _policy_role(config, forward, frozen)
    # before the policy's adapter and its trainer, which may divide the weights that a value model begins with
    companions = {one.name: _companion(config, one, model, start, value_role(forward), checkpoint, ranks) for one in beside}
    if adapts:
        add_adapter(model, config.model.lora, start, config.seed)
        if checkpoint:
            load_adapter(model, checkpoint / "policy")
    policy = _trainer(config, model, role, adamw(config.trainer, updates=config.rollout.updates), ranks)
    if checkpoint:
        policy.load(checkpoint / state_name(config.trainer.name, "optimizer"))
    return _Trained(model, tokenizer, forward, policy, companions)


def _policy_role(config: Config, forward: Forward, frozen: Mapping[str, _Loaded]) -> Role:
    """What the policy's pass gives in this run: what the coefficient and the losses read, against whom they read it."""
    needs = all_needs(config)
    differentiated = frozenset().union(*(loss.differentiates for loss in of_policy(config.losses)))
    beside = frozenset(signal.output for signal in per_micro_batch(needs))
    teacher = next((frozen[role.name][0] for role in within_update(needs)), None)
    return policy_role(trained_temperature(config), forward, differentiated, beside, teacher, config.jsd_beta)


def _compiled_forward(model: PreTrainedModel, ranks: Ranks) -> Forward:
    if ranks.first:
        announce("compiling the training pass (trainer.compiled=true), which may take a minute")
    return compiled_forward(decoder_of(model))


def _load_frozen(config: Config, role: ModelRole, policy_path: Path) -> _Loaded:
    """A frozen role's model on the weights that the configuration gives it."""
    assert role.weights is not None
    given = role.weights(config)
    model, tokenizer = _load(config, Path(given) if given else policy_path)
    return model.eval(), tokenizer


def _frozen(config: Config, role: ModelRole, loaded: _Loaded | None, trained: _Trained, ranks: Ranks) -> Pass:
    """The pass of a frozen role, on the policy's tokens: log-probs, as of the policy."""
    assert role.weights is not None
    if loaded is None:
        return partial(_without_adapter, trained.policy)
    frozen, tokenizer = loaded
    if tokenizer.get_vocab() != trained.tokenizer.get_vocab():
        raise ConfigError(
            f"the {role.label} in {role.weights(config)} has another vocabulary than the policy, so that the policy's tokens mean "
            "something else to it; set one with the same tokenizer"
        )
    sizes = [model.config.get_text_config().vocab_size for model in (frozen, trained.model)]
    if role in within_update(all_needs(config)) and sizes[0] != sizes[1]:
        raise ConfigError(
            f"the {role.label} in {role.weights(config)} has {sizes[0]} outputs and the policy {sizes[1]}, so that a divergence "
            "over the whole vocabulary is not defined; set one with the same head, or leave its losses out"
        )
    computes = policy_role(trained_temperature(config), trained.forward)
    return lambda sequences: evaluate_role(frozen, computes, sequences, _layout(config), ranks)


def _without_adapter(policy: Trainer, sequences: Sequence[TokenSequence]) -> Outputs:
    """The pass of the policy that training started from: the trained one's, its adapter switched off."""
    with adapter_off(policy.model):
        return policy.outputs(sequences)


def _pieces(tokenizer: Tokenizer, token_ids: Sequence[int]) -> list[str]:
    """The text of each token by itself."""
    return [tokenizer.decode([token]) for token in token_ids]


def _given_weights(config: Config, roles: Sequence[ModelRole]) -> dict[str, Any]:
    """Fingerprints of the weights that the configuration gives to frozen roles."""
    given = {role.name: role.weights(config) for role in roles if role.weights is not None}
    return {name: path_fingerprint(path) for name, path in given.items() if path}


def _sampling(
    config: Config,
    trained: _Trained,
    weights: Path,
    task: Task,
    reward: Reward,
    ranks: Ranks,
    engines: contextlib.ExitStack,
) -> tuple[Synced, Reward]:
    """The generator of the policy, and the reward, each doing this rank's share."""
    copied = _copy_to_sample(config, trained.policy)
    model = copied.model if copied else trained.model
    assert isinstance(model, PreTrainedModel)
    sampler = live_sampler(config, model, trained.tokenizer, weights)
    solver = solution_generator(config, sampler, trained.tokenizer)
    generator, shared = divided(solver, reward, ranks.apart() if samples_beside_training(config) else ranks)
    if not config.reward.completed:  # else all ranks score everything, and divide what is sampled for it
        reward = shared
    generator = FollowingGenerator(generator, copied) if copied else generator
    live = synced(config, generator, sampler, trained.policy, task, ranks)
    engines.callback(live.close)
    return live, reward


def _frozen_copy(
    config: Config, trained: _Trained, reward: Reward, ranks: Ranks
) -> tuple[FrozenCopy[PreTrainedModel], Generator]:
    """A copy of the policy, and a generator that samples from the copy."""
    copy = FrozenCopy(trained.model)
    sampler = torch_sampler(config, copy.model, trained.tokenizer)
    return copy, divided(solution_generator(config, sampler, trained.tokenizer), reward, ranks)[0]


def _save(config: Config, trained: _Trained, source: Source, remembered: Sequence[Memory], folder: Path, ranks: Ranks) -> None:
    """Write a checkpoint's content: every rank its part of the trainers' state, the first one everything else."""
    policy = trained.policy
    policy.save(folder / state_name(config.trainer.name, "optimizer"))
    whole: Any = policy.whole_model()
    wholes: dict[str, Any] = {}
    for name, trainer in trained.companions.items():
        trainer.save(folder / state_name(config.trainer.name, f"{name}_optimizer"))
        wholes[name] = trainer.whole_model()
    if not ranks.first:
        return
    save_policy(whole, trained.tokenizer, folder / "policy")
    files.write_json(folder / "state.json", {"updates": policy.updates})
    for memory in remembered:
        memory.save(folder)
    if isinstance(source, StatefulSource):
        source.save(folder / "source")
    for name, whole in wholes.items():
        whole.save(folder / name)


def _load(config: Config, path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    return load_policy(path, model_dtype(config), config.model.device)


def _companion(
    config: Config, role: ModelRole, policy: PreTrainedModel, start: Path, computes: Role, checkpoint: Path | None, ranks: Ranks
) -> Trainer:
    """The trainer of a role beside the policy: a value model on the policy's decoder, or what a checkpoint holds of it.

    With adapters it has one of its own, on the very weights that are under the policy's.
    """
    if config.model.lora.rank:
        model = build_value_model(policy, shared=not _divides(config))
        model.add_adapter(config.model.lora, start, config.seed)
        if checkpoint:
            model.resume(checkpoint / role.name)
    elif checkpoint:
        model = ValueModel.load(checkpoint / role.name, model_dtype(config), config.model.device)
    else:
        model = build_value_model(policy)
    rate, epochs = (getattr(config.coefficient, option) for option in role.options)
    trainer = _trainer(config, model, computes, adamw(config.trainer, rate, epochs), ranks)
    if checkpoint:
        trainer.load(checkpoint / state_name(config.trainer.name, f"{role.name}_optimizer"))
    return trainer


def _trainer(config: Config, model: torch.nn.Module, role: Role, options: AdamWOptions, ranks: Ranks) -> Trainer:
    return build_trainer(config.trainer.name, config.deepspeed, model, role, options, _layout(config), ranks)


def _layout(config: Config) -> Layout:
    return Layout(config.trainer.row_tokens, config.trainer.micro_batch_tokens)


def _copy_to_sample(config: Config, policy: Trainer) -> WholeCopy | None:
    """A whole copy of a divided policy, where the torch generator is to sample from it."""
    if not _divides(config) or config.generator.name != "torch":
        return None
    assert isinstance(policy, Divided)
    return WholeCopy(policy)


def _divides(config: Config) -> bool:
    """Whether the trainer divides weights among the ranks, in place."""
    return config.trainer.name == "deepspeed" and config.deepspeed.zero_stage == 3
