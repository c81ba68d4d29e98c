"""A reward model renewed: trained on from the one before, on samples of the present policy and a replayed share of history."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from unified_rl import files
from unified_rl.artifacts import ArtifactStore
from unified_rl.config import Config
from unified_rl.engines.reward_model import load_reward_model
from unified_rl.reward_model_config import RewardModelConfig
from unified_rl.sources.replay import Kept, ReplayStore
from unified_rl.stages import world
from unified_rl.stages.reward_model import (
    MODEL_FOLDER,
    LabelledResponse,
    labelled,
    reward_samples,
    step_labels,
    train_reward_model,
)
from unified_rl.types import ONE_RANK, Ranks

RECIPE = 1
MIX_FILE = "mix.parquet"


@dataclass(frozen=True)
class PolicyAt:
    """A policy by its key and its Hugging Face folder."""

    key: str
    path: Path


@dataclass(frozen=True)
class TrainedReward:
    """A reward model by its key and its folder."""

    key: str
    path: Path


class Renewal:
    """Makes reward model 1, 2 ... of an iterative run, in order. Everything is an artefact: a killed one is taken up again."""

    def __init__(self, config: Config, section: RewardModelConfig, store: ArtifactStore, ranks: Ranks = ONE_RANK) -> None:
        self._config, self._section, self._store, self._ranks = config, section, store, ranks
        self._history: ReplayStore[LabelledResponse] = ReplayStore()
        self._inputs: list[str] = []

    def remember_initial(self, policy: PolicyAt) -> None:
        """Let later mixes replay what the initial reward model was trained on: samples of the initial policy."""
        self._history.add(self._label(policy, "reward samples"), iteration=0, policy=policy.key)

    def _label(self, policy: PolicyAt, stream: str) -> list[LabelledResponse]:
        """Labelled samples of a policy; `stream` names the sampling's random numbers."""
        section, config = self._section, self._config
        samples = reward_samples(
            config,
            self._store,
            policy.key,
            policy.path,
            split="train",
            problems=section.prompts,
            per_prompt=section.samples_per_prompt,
            stream=stream,
        )
        labels_key, facts = step_labels(
            config, self._store, samples, policy.key, policy.path, section.segmentation, section.needed_completions
        )
        self._inputs += [samples.key, labels_key]
        return labelled(samples, facts, section)

    def renew(self, before: TrainedReward, policy: PolicyAt, iteration: int) -> TrainedReward:
        """The reward model of `iteration`: the one before, trained on with the present policy's samples and replay."""
        fresh, options = self._label(policy, f"iteration {iteration}"), self._config.iterate
        mix = self._history.mix(fresh, iteration=iteration, policy=policy.key, share=options.replay, seed=self._section.seed)
        self._history.add(fresh, iteration=iteration, policy=policy.key)
        section = replace(self._section, epochs=options.epochs)

        def build(folder: Path) -> None:
            if self._ranks.first:
                write_mix(mix, iteration, folder / MIX_FILE)
            model, tokenizer, card = load_reward_model(before.path, world.model_dtype(self._config), self._config.model.device)
            card = replace(card, base={"continued from": before.key, "iteration": iteration})
            train_reward_model(self._config, section, model, tokenizer, card, [kept.item for kept in mix], folder, self._ranks)

        key, folder = self._store.get_or_build(
            "reward_model",
            {
                **world.world_settings(self._config),
                "section": asdict(section),
                "optimizer": [getattr(self._config.trainer, name) for name in _OPTIMIZER],
                "dtype": self._config.model.dtype,
                "trainer": self._config.trainer.name,
                "replay": options.replay,
                "iteration": iteration,
            },
            recipe_version=RECIPE,
            inputs={"before": before.key, "data": hashlib.sha256("".join(self._inputs).encode()).hexdigest()[:20]},
            build=build,
            together=self._ranks,
        )
        return TrainedReward(key, folder / MODEL_FOLDER)


def write_mix(mix: list[Kept[LabelledResponse]], iteration: int, path: Path) -> None:
    """The composition of a training mix: one row per response, with the iteration and policy that made it."""
    table = pa.table(
        {
            "prompt_id": [kept.item.prompt.id for kept in mix],
            "response_seed": pa.array([kept.item.response.seed for kept in mix], pa.int64()),
            "iteration": pa.array([kept.iteration for kept in mix], pa.int32()),
            "policy": [kept.policy for kept in mix],
            "replayed": [kept.iteration != iteration for kept in mix],
        }
    )
    with files.disk_errors(path):
        pq.write_table(table, path)


_OPTIMIZER = ("weight_decay", "beta1", "beta2", "adam_eps", "max_grad_norm")
