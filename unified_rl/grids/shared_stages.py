"""The artefacts that cells share, by their keys, before anything is made: the SFT policy, stored samples, reward models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unified_rl.config.schema import Config
from unified_rl.grids.costs import stage_units
from unified_rl.records.artifacts import ArtifactStore
from unified_rl.stages.chain import made_for


@dataclass(frozen=True)
class SharedStage:
    """A shared stage: its name, its key, whether its artefact is there, and its work in units (`costs`; None: not estimated)."""

    name: str
    key: str
    there: bool
    units: float | None = None


def shared_stages(config: Config) -> list[SharedStage]:
    """What a run of this configuration reads from the store, in the order in which it would be made.

    Raises:
        UnifiedRLError: the task, its data or a folder that the configuration names cannot be used.
    """
    store = ArtifactStore(Path(config.artifacts))
    return [
        SharedStage(stage.name, stage.key(), store.has(stage), stage_units(config, stage.name)) for stage in made_for(config)
    ]
