"""The artefacts that cells share, by their keys, before anything is made: the SFT policy, stored samples, reward models."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from unified_rl.config.problems import ModelConfig
from unified_rl.config.schema import Config
from unified_rl.presets import chain, loading
from unified_rl.presets.chain import Work
from unified_rl.records.artifacts import ArtifactStore
from unified_rl.stages.chain import made_for


@dataclass(frozen=True)
class SharedStage:
    """A shared stage: its name, its key, whether its artefact is there, and what making it takes, of a model of this shape."""

    name: str
    key: str
    there: bool
    work: Work = field(default_factory=Work)
    model: ModelConfig = field(default_factory=ModelConfig, compare=False)


def shared_stages(config: Config) -> list[SharedStage]:
    """What a run of this configuration reads from the store, in the order in which it would be made.

    Raises:
        UnifiedRLError: the task, its data or a folder that the configuration names cannot be used.
    """
    store = ArtifactStore(Path(config.artifacts))
    found = []
    for stage in made_for(config):
        work = chain.kind_of(config, stage.name).work(loading.stage_config(config, stage.name))
        found.append(SharedStage(stage.name, stage.key(), store.has(stage), work, config.model))
    return found
