"""The artefacts that cells share, by their keys, before anything is built: the SFT policy, stored samples, reward models.

The keys are those that the stages compute themselves: they are called with a store that looks and never builds. What a stage reads
must be there before its key is known, so of a chain that is still to be built only the first links have keys.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_rl.artifacts import ArtifactStore
from unified_rl.config import Config
from unified_rl.sources.registry import declared
from unified_rl.stages import world
from unified_rl.stages.rewards import initial_reward_model
from unified_rl.stages.sampling import offline_samples
from unified_rl.stages.training import initial_policy

#: Where looking ends: nothing shared is made from these.
_LAST = frozenset({"sft", "offline_samples", "reward_model"})


@dataclass(frozen=True)
class Stage:
    """A shared stage: its name, its key ("" while what it reads is missing), and whether its artefact is there."""

    name: str
    key: str
    there: bool


def shared_stages(config: Config) -> list[Stage]:
    """What a run of this configuration reads from the store, in the order in which it would be built.

    Raises:
        UnifiedRLError: the task, its data or a folder that the configuration names cannot be used.
    """
    store = _Looking(Path(config.artifacts))
    policy = store.look(lambda: initial_policy(config, store), "sft") if config.init == "sft" else None
    key, path = (policy.key, store.root / "sft" / policy.key) if policy else initial_policy(config, store)
    if declared(config.source).artefacts:
        problems: Any = world.training_problems(world.make_task(config), config)  # only their number is looked at
        store.look(lambda: offline_samples(config, store, key, path, problems), "offline_samples")
    if config.reward.learned and not config.reward.model_path:
        if policy is not None and not policy.there:
            store.found.append(Stage("reward_model", "", False))
        else:
            folder = _checkpoint_of(path) if policy else path
            store.look(lambda: initial_reward_model(config, store, key, folder), "reward_model")
    return store.found


class _Stop(Exception):
    """Enough has been seen."""


class _Looking(ArtifactStore):
    """A store that builds nothing: it notes what it is asked for, and stops the stage that asks for what is missing."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.found: list[Stage] = []

    def look(self, stage: Callable[[], object], last: str) -> Stage:
        """Run a stage up to its last artefact, or the first that is missing; returns what is known of the last one."""
        with contextlib.suppress(_Stop):
            stage()
        if self.found[-1].name != last:
            self.found.append(Stage(last, "", False))
        return self.found[-1]

    def get_or_build(
        self, stage: str, settings: Mapping[str, Any], *, recipe_version: int, inputs: Mapping[str, str], **build: Any
    ) -> tuple[str, Path]:
        key = self.key(stage, settings, recipe_version, inputs)
        final = self.root / stage / key
        self.found.append(Stage(stage, key, final.is_dir()))
        # The SFT policy's key needs the base model's key alone, not its files.
        if stage in _LAST or (stage != "base" and not final.is_dir()):
            raise _Stop
        return key, final


def _checkpoint_of(stage: Path) -> Path:
    """The policy's folder in an SFT artefact."""
    return max((stage / "checkpoints").glob("step_*")) / "policy"
