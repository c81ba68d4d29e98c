"""Training a reward model on labelled responses, and loading one to serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from transformers import PreTrainedTokenizerBase

from unified_rl.base import files, rng
from unified_rl.base.types import Prompt, Ranks, Response
from unified_rl.config.reward_models import RewardModelConfig
from unified_rl.config.schema import Config
from unified_rl.loop.steps import Made, Work, repeat, timed
from unified_rl.models.policy_model import load_policy, load_tokenizer
from unified_rl.models.reward_model import Card, RewardModel, build_reward_model, load_reward_model, save_reward_model
from unified_rl.packing.layout import Layout
from unified_rl.records.artifacts import Artifact
from unified_rl.stages.kinds.reward_model import MODEL_FOLDER
from unified_rl.stages.kinds.reward_samples import Samples, read_samples
from unified_rl.stages.kinds.step_labels import read_step_facts
from unified_rl.stages.models import model_dtype
from unified_rl.stages.optimisers import adamw
from unified_rl.stages.step_labels import StepFacts
from unified_rl.stages.trained import StepHook, opened, run_inside
from unified_rl.training.loss_scale import until_it_fits
from unified_rl.training.protocol import Trainer
from unified_rl.training.reward_loss import RewardLoss
from unified_rl.training.reward_scores import RewardScorer, as_sequence, reward_role
from unified_rl.training.trainers import build_trainer, state_name


@dataclass(frozen=True)
class LabelledResponse:
    """A response with labels (float64 [K] in 0..1, NaN for none) at its tokens `ends` (int64 [K])."""

    prompt: Prompt
    response: Response
    ends: np.ndarray
    labels: np.ndarray


def labelled(samples: Samples, facts: Sequence[Sequence[StepFacts]], section: RewardModelConfig) -> list[LabelledResponse]:
    """Samples with the labels that a reward model of this section is trained on: one at the end, or one per step."""
    data = []
    for prompt, group, facts_group in zip(samples.prompts, samples.responses, facts, strict=True):
        for response, known in zip(group, facts_group, strict=True):
            labels = known.labels(section.trained_labels, section.needed_completions)
            kept = slice(-1, None) if section.kind == "outcome" else slice(None)
            data.append(LabelledResponse(prompt, response, known.ends[kept], labels[kept]))
    return data


def misjudged(data: Sequence[LabelledResponse], section: RewardModelConfig) -> list[LabelledResponse]:
    """The same with labels turned over at the section's rates, each a function of (seed, prompt, response, step)."""
    if not any(section.label_rates):
        return list(data)
    return [replace(item, labels=_turned_over(item, section)) for item in data]


def _turned_over(item: LabelledResponse, section: RewardModelConfig) -> np.ndarray:
    stream, tokens = f"label noise/{item.prompt.id}", item.response.token_ids.tolist()
    draws = np.array([rng.derive_seed(section.seed, stream, step, *tokens) / 2**63 for step in range(len(item.labels))])
    false_positive, false_negative = section.label_rates
    wrong = draws < np.where(item.labels > 0.5, false_negative, false_positive)
    return np.where(wrong, 1.0 - item.labels, item.labels)  # a label that is not known stays so


@dataclass(frozen=True)
class Beginning:
    """What a training begins with: weights and tokenizer, what will be said of the model, and what it is trained on.

    base: folder of the weights, which an adapter trained on them names.
    """

    model: RewardModel
    tokenizer: PreTrainedTokenizerBase
    card: Card
    data: Sequence[LabelledResponse]
    base: Path


def train_initial(run: Config, inputs: Mapping[str, Artifact], folder: Path, ranks: Ranks) -> None:
    """Train the reward model of a stage's run from the decoder of a policy, a head of zeros on it.

    Args:
        inputs: samples, labels, and the policy whose backbone is copied.
    """
    section, backbone = run.reward_model, inputs["backbone"]
    samples = read_samples(run, inputs["samples"], load_tokenizer(backbone.path))
    data = misjudged(labelled(samples, read_step_facts(inputs["labels"], section.needed_completions), section), section)
    policy, tokenizer = load_policy(backbone.path, model_dtype(run), run.model.device)
    card = Card(section.kind, section.segmentation, section.trained_labels, {"init": run.init, "key": backbone.key})
    beginning = Beginning(build_reward_model(policy), tokenizer, card, data, backbone.path)
    train_reward_model(run, beginning, {role: made.key for role, made in inputs.items()}, folder, ranks)


def train_reward_model(run: Config, beginning: Beginning, inputs: Mapping[str, str], folder: Path, ranks: Ranks) -> None:
    """Train, going on from the latest checkpoint in `folder`, and leave the model as `folder/model` beside the run's metrics.

    The order is a function of the section's seed: prompts shuffled anew for each epoch, the responses to one prompt together (the
    packed rows then hold the prompt once).

    Args:
        run: the training as a run (`kinds.reward_model.training_run`). inputs: role -> key, for the record. ranks: all of them call
            this together.
    """
    model = folder / MODEL_FOLDER
    if not ranks.gather(model.is_dir())[0]:
        run_inside(folder, run, ranks, lambda own, on_step: _train(own, beginning, inputs, ranks, on_step))
    if ranks.first:
        for checkpoint in (folder / "checkpoints").glob("step_*"):
            if not model.is_dir():
                (checkpoint / MODEL_FOLDER).rename(model)
        files.remove(folder / "checkpoints")


def _train(run: Config, beginning: Beginning, inputs: Mapping[str, str], ranks: Ranks, on_step: StepHook) -> None:
    with opened(run, ranks) as directory:
        trainer = _trainer_at(directory.latest_checkpoint(), run, beginning, ranks)
        directory.write_provenance(inputs, {})

        def step(number: int, timings: dict[str, float]) -> Made:
            batch = [beginning.data[index] for index in _batch(beginning.data, run.reward_model, number - 1)]
            sequences = [as_sequence(item.prompt, item.response.token_ids) for item in batch]
            with timed(timings, "update"):
                loss = RewardLoss([item.ends for item in batch], [item.labels for item in batch], run.model.device)
                report = until_it_fits(partial(trainer.update, sequences, loss))
            rate = report.learning_rate
            return {"step": number, "loss": report.loss, "grad_norm": report.grad_norm, "learning_rate": rate}, []

        repeat(Work(step, lambda folder: _save(run, trainer, beginning, folder, ranks)), run, directory, on_step)


def _trainer_at(checkpoint: Path | None, run: Config, beginning: Beginning, ranks: Ranks) -> Trainer:
    """The configured trainer at the latest checkpoint, or at the start."""
    model = beginning.model
    if run.model.lora.rank:
        model.add_adapter(run.model.lora, beginning.base, run.seed)
        if checkpoint:
            model.resume(checkpoint / MODEL_FOLDER)
    elif checkpoint:
        model = RewardModel.load(checkpoint / MODEL_FOLDER, model_dtype(run), run.model.device)
    layout, options = Layout(run.trainer.row_tokens, run.trainer.micro_batch_tokens), adamw(run.trainer)
    trainer = build_trainer(run.trainer.name, run.deepspeed, model, reward_role, options, layout, ranks)
    if checkpoint:
        trainer.load(checkpoint / state_name(run.trainer.name, "optimizer"))
    return trainer


def _save(run: Config, trainer: Trainer, beginning: Beginning, folder: Path, ranks: Ranks) -> None:
    """Write a checkpoint's content: every rank its part of the optimiser's state, the first one everything else."""
    trainer.save(folder / state_name(run.trainer.name, "optimizer"))
    whole = trainer.whole_model()
    if ranks.first:
        save_reward_model(cast(RewardModel, whole), beginning.tokenizer, beginning.card, folder / MODEL_FOLDER)


def load_scorer(config: Config, path: Path) -> tuple[RewardScorer, PreTrainedTokenizerBase, Card]:
    """A trained reward model, ready to serve with the configuration's packing, dtype and device."""
    model, tokenizer, card = load_reward_model(path, model_dtype(config), config.model.device)
    return RewardScorer(model, card.kind, Layout(config.trainer.row_tokens, config.trainer.micro_batch_tokens)), tokenizer, card


def _batch(data: Sequence[LabelledResponse], section: RewardModelConfig, step: int) -> list[int]:
    """Which responses update `step` trains on."""
    per_epoch = -(-len(data) // section.sequences_per_step)
    epoch, place = divmod(step, per_epoch)
    by_prompt: dict[str, list[int]] = {}
    for index, item in enumerate(data):
        by_prompt.setdefault(item.prompt.id, []).append(index)
    groups = list(by_prompt.values())
    order = rng.generator(section.seed, "reward model", epoch).permutation(len(groups))
    indices = [index for group in order for index in groups[group]]
    return indices[place * section.sequences_per_step : (place + 1) * section.sequences_per_step]
