"""A reward model renewed: trained on from the one before, on samples of the present policy and a replayed share of history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from unified_rl.base import files
from unified_rl.config.reward_models import section_of
from unified_rl.config.schema import Config
from unified_rl.models.policy_model import load_tokenizer
from unified_rl.models.reward_model import load_reward_model
from unified_rl.records.artifacts import Artifact, ArtifactStore
from unified_rl.sources.replay import Kept, ReplayStore
from unified_rl.stages.kinds.reward_model import trained, training_run
from unified_rl.stages.kinds.reward_samples import read_samples, samples_of
from unified_rl.stages.kinds.step_labels import facts_of, read_step_facts
from unified_rl.stages.models import model_dtype
from unified_rl.stages.reward_model import Beginning, LabelledResponse, labelled, misjudged, train_reward_model

MIX_FILE = "mix.parquet"


class Renewal:
    """Makes reward model 1, 2 ... of an iterative run, in order. Everything is an artefact: a killed one is taken up again."""

    def __init__(self, config: Config, store: ArtifactStore) -> None:
        self._config, self._store = config, store
        self._section = section_of(config.reward_model, config.reward.supervision)
        self._history: ReplayStore[LabelledResponse] = ReplayStore()
        self._inputs: list[Artifact] = []

    def remember_initial(self, policy: Artifact) -> None:
        """Let later mixes replay what the initial reward model was trained on: samples of the initial policy."""
        data = misjudged(self._label(policy, "reward samples"), self._section)
        self._history.add(data, iteration=0, policy=policy.key)

    def _label(self, policy: Artifact, stream: str) -> list[LabelledResponse]:
        """Labelled samples of a policy; `stream` names the sampling's random numbers."""
        section, config, store = self._section, self._config, self._store
        size = {"problems": section.prompts, "per_prompt": section.samples_per_prompt}
        sampled = samples_of(config, policy, split="train", stream=stream, **size).build(store)
        facts = facts_of(config, sampled, policy, section.segmentation, section.needed_completions).build(store)
        self._inputs += [sampled, facts]
        samples = read_samples(config, sampled, load_tokenizer(policy.path))
        return labelled(samples, read_step_facts(facts, section.needed_completions), section)

    def renew(self, before: Artifact, policy: Artifact, iteration: int) -> Artifact:
        """The reward model of `iteration`: the one before, trained on with the present policy's samples and replay."""
        fresh, options = self._label(policy, f"iteration {iteration}"), self._config.iterate
        mix = self._history.mix(fresh, iteration=iteration, policy=policy.key, share=options.replay, seed=self._section.seed)
        self._history.add(fresh, iteration=iteration, policy=policy.key)
        run = training_run(self._config, replace(self._section, epochs=options.epochs), len(mix))

        def make(folder: Path, inputs: Mapping[str, Artifact], store: ArtifactStore) -> None:
            model, tokenizer, card = load_reward_model(before.path, model_dtype(run), run.model.device)
            card = replace(card, base={"continued from": before.key, "iteration": iteration})
            beginning = Beginning(model, tokenizer, card, [kept.item for kept in mix], before.path)
            train_reward_model(run, beginning, {role: made.key for role, made in inputs.items()}, folder, store.ranks)
            if store.ranks.first:
                write_mix(mix, iteration, folder / MIX_FILE)

        inputs = {"before": before, **{f"data {place}": made for place, made in enumerate(self._inputs)}}
        return trained(run, inputs, make, replay=options.replay, iteration=iteration).build(self._store)


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
    with files.replacing(path) as aside:
        pq.write_table(table, aside)
