"""The stages of a configuration, with their keys and where their results are. No torch until one is made."""

from __future__ import annotations

from dataclasses import replace

from unified_rl.config.schema import Config
from unified_rl.presets import chain, loading
from unified_rl.records.artifacts import Artifact, ArtifactStore, Stage, built


def stage(config: Config, name: str) -> Stage | Artifact:
    """The stage of the chain called `name`, with all that it is made from; or what the user brings in its place."""
    kind = chain.kind_of(config, name)
    inputs = {role: stage(config, source) for role, source in chain.inputs(config, name).items()}
    found = kind.stage(loading.stage_config(config, name), inputs)
    return replace(found, name=name) if isinstance(found, Stage) else found


def made_for(config: Config) -> list[Stage]:
    """What the store must hold for a run of this configuration, in the order in which it is made."""
    names = chain.with_ancestors(config, chain.read_by(config))
    most = max((judge.members for judge in config.reward.judges.values()), default=1)
    found = (stage(of_member(config, place), name) for place in range(most) for name in names)
    return list({one.key(): one for one in found if isinstance(one, Stage)}.values())


def of_member(config: Config, place: int) -> Config:
    """The configuration of a member of an ensemble of reward models: the seed of its training is its own."""
    section = config.reward_model
    return replace(config, reward_model=replace(section, seed=section.seed + place)) if place else config


def initial_policy(config: Config, store: ArtifactStore) -> Artifact:
    """The policy that training starts from, made first if nobody has. Called by all ranks of the store."""
    return built(stage(config, chain.start(config)), store)
