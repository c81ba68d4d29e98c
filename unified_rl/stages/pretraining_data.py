"""Where the files of section `pretraining` are: the user's own, or those of the made-up world, which is made when it is needed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from unified_rl.base.errors import ConfigError
from unified_rl.config.pretraining import WORLD, WorldConfig
from unified_rl.config.schema import Config
from unified_rl.pretraining import world
from unified_rl.records.artifacts import ArtifactStore, Stage
from unified_rl.stages.fingerprints import path_fingerprint


def world_stage(options: WorldConfig) -> Stage:
    """The made-up world as an artefact: token files and marked texts of all of its sources, and their tokenizer."""
    return Stage(
        kind="pretraining_world",
        settings={**asdict(options), "code": path_fingerprint(world.__file__)},
        inputs={},
        make=lambda folder, inputs, store: world.write(options, folder),
    )


def located(config: Config, path: str, store: ArtifactStore) -> Path:
    """The place of a path of section `pretraining`, made first where it is of the world. Called by all ranks."""
    if not path.startswith(WORLD):
        return Path(path)
    return world_stage(config.pretraining.world).build(store).path / _of_world(path)


def fingerprint(config: Config, path: str) -> str:
    """What stands for the content of such a path in a key. Raises DataError where there is nothing."""
    if not path.startswith(WORLD):
        return path_fingerprint(path)
    return f"{world_stage(config.pretraining.world).key()}/{_of_world(path)}"


def _of_world(path: str) -> str:
    """The file of the world that `world:NAME` is. Raises ConfigError where it has no such file."""
    name = path.removeprefix(WORLD)
    if name not in world.FILES:
        raise ConfigError(f"{path} is not in the made-up world, which has {', '.join(WORLD + one for one in world.FILES)}")
    return name
