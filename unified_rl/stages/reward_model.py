"""The stages that make a reward model: sample responses, label their steps, train. Each is an artefact, made once.

    SFT policy -> reward_samples -> step_labels -> reward_model

`train_reward_model` is the last stage's core: it trains any reward model on any labelled responses, and goes on from its latest
checkpoint after a kill, to the same weights.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from transformers import PreTrainedTokenizerBase

from unified_rl import files, rng
from unified_rl.artifacts import ArtifactStore
from unified_rl.config import Config
from unified_rl.engines.layout import Layout
from unified_rl.engines.optimiser import AdamWOptions
from unified_rl.engines.policy_model import load_policy, load_tokenizer
from unified_rl.engines.protocol import Trainer
from unified_rl.engines.reward_model import (
    Card,
    RewardLoss,
    RewardModel,
    RewardScorer,
    as_sequence,
    build_reward_model,
    load_reward_model,
    reward_role,
    save_reward_model,
)
from unified_rl.engines.trainers import build_trainer, state_name
from unified_rl.progress import progress
from unified_rl.reward_model_config import RewardModelConfig
from unified_rl.rewards import build_segmenter
from unified_rl.stages import world
from unified_rl.stages.generators import frozen_sampler, sampler_key
from unified_rl.stages.response_files import read_responses, write_responses
from unified_rl.stages.step_labels import StepFacts, label_steps, read_facts, write_facts
from unified_rl.types import ONE_RANK, Prompt, Ranks, Response, Split

SAMPLES_RECIPE = LABELS_RECIPE = TRAINING_RECIPE = 1
SAMPLES_FILE, LABELS_FILE, MODEL_FOLDER = "samples.parquet", "labels.parquet", "model"


@dataclass(frozen=True)
class Samples:
    """Responses of a frozen policy, under the key of their artefact: `responses[i]` answer `prompts[i]`."""

    key: str
    prompts: list[Prompt]
    responses: list[list[Response]]


@dataclass(frozen=True)
class LabelledResponse:
    """A response with labels (float64 [K] in 0..1, NaN for none) at its tokens `ends` (int64 [K])."""

    prompt: Prompt
    response: Response
    ends: np.ndarray
    labels: np.ndarray


def reward_model(
    config: Config,
    section: RewardModelConfig,
    store: ArtifactStore,
    policy_key: str,
    policy_path: Path,
    ranks: Ranks = ONE_RANK,
) -> tuple[str, Path]:
    """Key and directory of the reward model that `section` describes, trained on samples of the given policy.

    Args:
        config: task, template, generator and trainer settings. section: the reward model's own.
        policy_key, policy_path: the SFT policy, generator and completer at once. ranks: train it together, with the trainer of
            `trainer.name`; sampling and labelling are the first one's.

    Raises:
        UnifiedRLError: see the subclasses; nothing half-done is ever taken for finished.
    """
    samples = reward_samples(
        config, store, policy_key, policy_path, split="train", problems=section.prompts, per_prompt=section.samples_per_prompt
    )
    labels_key, facts = step_labels(
        config, store, samples, policy_key, policy_path, section.segmentation, section.needed_completions
    )
    init_key, init_path = (policy_key, policy_path) if section.init == "sft" else world.base_policy(config, store)
    data = labelled(samples, facts, section)

    def build(folder: Path) -> None:
        policy, tokenizer = load_policy(init_path, world.model_dtype(config), config.model.device)
        card = Card(section.kind, section.segmentation, section.trained_labels, {"init": section.init, "key": init_key})
        train_reward_model(config, section, build_reward_model(policy), tokenizer, card, data, folder, ranks)

    key, folder = store.get_or_build(
        "reward_model",
        {**_training_settings(config, section), "kind": section.kind, "labels": section.trained_labels},
        recipe_version=TRAINING_RECIPE,
        inputs={"samples": samples.key, "labels": labels_key, "init": init_key},
        build=build,
        together=ranks,
    )
    return key, folder / MODEL_FOLDER


def reward_samples(
    config: Config,
    store: ArtifactStore,
    policy_key: str,
    policy_path: Path,
    *,
    split: Split,
    problems: int,
    per_prompt: int,
    stream: str = "reward samples",
) -> Samples:
    """`per_prompt` responses of a frozen policy to the first `problems` of a split, with the training decoding settings.

    Args:
        stream: name of the random numbers; another one gives other samples of the same policy.
    """
    tokenizer = load_tokenizer(policy_path)
    prompts = world.as_prompts(list(world.make_task(config).problems(split, problems)), tokenizer, config)

    def build(folder: Path) -> None:
        seeds = [
            [rng.derive_seed(0, f"{stream}/{split}", index, k) for k in range(per_prompt)] for index in range(len(prompts))
        ]
        with (
            frozen_sampler(config, policy_path) as generator,
            progress(f"{stream}, {split}", len(prompts) * per_prompt, "responses") as hook,
        ):
            generator.on_progress = lambda done, total: hook(done, {})
            solver = world.solution_generator(config, generator, tokenizer)
            responses = solver.generate(prompts, seeds, config.generator.decoding, policy_version=0)
        write_responses(folder / SAMPLES_FILE, prompts, responses)

    key, folder = store.get_or_build(
        "reward_samples",
        {
            **world.world_settings(config),
            "split": split,
            "problems": problems,
            "per_prompt": per_prompt,
            "stream": stream,
            "dtype": config.model.dtype,
            "decoding": asdict(config.generator.decoding),
            **sampler_key(config),
        },
        recipe_version=SAMPLES_RECIPE,
        inputs={"policy": policy_key},
        build=build,
    )
    return Samples(key, prompts, read_responses(folder / SAMPLES_FILE, prompts, config.generator.decoding))


def step_labels(
    config: Config,
    store: ArtifactStore,
    samples: Samples,
    completer_key: str,
    completer_path: Path,
    segmentation: str,
    completions: int,
) -> tuple[str, list[list[StepFacts]]]:
    """Key of the artefact, and the facts of every sampled response (see `stages.step_labels`).

    Args:
        completions: N; 0 where the labels need no sampling.
    """

    def build(folder: Path) -> None:
        task, tokenizer = world.make_task(config), load_tokenizer(completer_path)
        with frozen_sampler(config, completer_path) as generator:
            facts = label_steps(
                task,
                tokenizer,
                build_segmenter(segmentation, task, tokenizer),
                generator,
                config.generator.decoding,
                samples.prompts,
                samples.responses,
                completions=completions,
            )
        write_facts(folder / LABELS_FILE, facts)

    key, folder = store.get_or_build(
        "step_labels",
        {
            **world.world_settings(config),
            "segmentation": segmentation,
            "completions": completions,
            "dtype": config.model.dtype,
            "decoding": asdict(config.generator.decoding),
            **sampler_key(config),
        },
        recipe_version=LABELS_RECIPE,
        inputs={"samples": samples.key, "completer": completer_key},
        build=build,
    )
    return key, read_facts(folder / LABELS_FILE, completions)


def labelled(samples: Samples, facts: Sequence[Sequence[StepFacts]], section: RewardModelConfig) -> list[LabelledResponse]:
    """Samples with the labels that a reward model of this section is trained on: one at the end, or one per step."""
    data = []
    for prompt, group, facts_group in zip(samples.prompts, samples.responses, facts, strict=True):
        for response, known in zip(group, facts_group, strict=True):
            labels = known.labels(section.trained_labels, section.needed_completions)
            kept = slice(-1, None) if section.kind == "outcome" else slice(None)
            data.append(LabelledResponse(prompt, response, known.ends[kept], labels[kept]))
    return data


def train_reward_model(
    config: Config,
    section: RewardModelConfig,
    model: RewardModel,
    tokenizer: PreTrainedTokenizerBase,
    card: Card,
    data: Sequence[LabelledResponse],
    folder: Path,
    ranks: Ranks = ONE_RANK,
) -> None:
    """Train, going on from the latest checkpoint in `folder`, and save the model as `folder/model`.

    The order is a function of the section's seed: prompts shuffled anew for each epoch, the responses to one prompt together (the
    packed rows then hold the prompt once). `folder/training.jsonl` has a line per update.

    Args:
        model: where training starts, without regard to any checkpoint. ranks: all of them call this together.
    """
    per_epoch = -(-len(data) // section.sequences_per_step)
    total = per_epoch * section.epochs
    trainer = _trainer_at_latest(config, section, model, total, folder, ranks)
    log = folder / "training.jsonl"
    if ranks.first:
        files.keep_lines(log, trainer.updates - 1)
    hooks = progress(f"training the {section.kind} reward model", total, "updates") if ranks.first else nullcontext(_silent)
    with hooks as hook, log.open("a") if ranks.first else nullcontext() as lines:
        for step in range(trainer.updates, total):
            batch = [data[index] for index in _batch(data, section, step, per_epoch)]
            sequences = [as_sequence(item.prompt, item.response.token_ids) for item in batch]
            report = trainer.update(sequences, RewardLoss([item.ends for item in batch], [item.labels for item in batch]))
            hook(step + 1, {})
            if lines:
                lines.write(json.dumps({"step": step, "loss": report.loss, "grad_norm": report.grad_norm}) + "\n")
                lines.flush()
            if (step + 1) % section.checkpoint_every == 0 and step + 1 < total:
                _checkpoint(config, folder, trainer, step + 1, ranks)
    whole = trainer.whole_model()
    if ranks.first:
        save_reward_model(cast(RewardModel, whole), tokenizer, card, folder / MODEL_FOLDER)
        files.remove(folder / "checkpoints")


def _trainer_at_latest(
    config: Config, section: RewardModelConfig, model: RewardModel, total: int, folder: Path, ranks: Ranks
) -> Trainer:
    """The configured trainer at the latest checkpoint in `folder`, or at the start."""
    checkpoint = _latest_checkpoint(folder)
    if checkpoint:
        model = RewardModel.load(checkpoint / "model", world.model_dtype(config), config.model.device)
    layout, options = Layout(config.trainer.row_tokens, config.trainer.micro_batch_tokens), _adamw(config, section, total)
    trainer = build_trainer(config.trainer.name, config.deepspeed, model, reward_role, options, layout, ranks)
    if checkpoint:
        trainer.load(checkpoint / state_name(config.trainer.name, "optimizer"))
    return trainer


def _silent(done: int, values: dict[str, float]) -> None:
    """Progress of the ranks that show none."""


def load_scorer(config: Config, path: Path) -> tuple[RewardScorer, PreTrainedTokenizerBase, Card]:
    """A trained reward model, ready to serve with the configuration's packing, dtype and device."""
    model, tokenizer, card = load_reward_model(path, world.model_dtype(config), config.model.device)
    return RewardScorer(model, card.kind, Layout(config.trainer.row_tokens, config.trainer.micro_batch_tokens)), tokenizer, card


def _batch(data: Sequence[LabelledResponse], section: RewardModelConfig, step: int, per_epoch: int) -> list[int]:
    """Which responses update `step` trains on."""
    epoch, place = divmod(step, per_epoch)
    by_prompt: dict[str, list[int]] = {}
    for index, item in enumerate(data):
        by_prompt.setdefault(item.prompt.id, []).append(index)
    groups = list(by_prompt.values())
    order = rng.generator(section.seed, "reward model", epoch).permutation(len(groups))
    indices = [index for group in order for index in groups[group]]
    return indices[place * section.sequences_per_step : (place + 1) * section.sequences_per_step]


def _latest_checkpoint(folder: Path) -> Path | None:
    found = sorted((folder / "checkpoints").glob("step_*"))
    return found[-1] if found else None


def _checkpoint(config: Config, folder: Path, trainer: Trainer, step: int, ranks: Ranks) -> None:
    """Write the weights and the optimiser's state aside, rename them into place, and drop the checkpoint before."""
    final = folder / "checkpoints" / f"step_{step:06d}"
    aside = final.with_name(f".{final.name}.tmp")
    if ranks.first:
        with files.disk_errors(final):
            files.remove(aside)
            aside.mkdir(parents=True)
    ranks.barrier()  # the folder is there
    trainer.save(aside / state_name(config.trainer.name, "optimizer"))
    whole = trainer.whole_model()
    ranks.barrier()  # everyone has written
    if ranks.first:
        cast(RewardModel, whole).save(aside / "model")
        _put_in_place(aside, final)
    ranks.barrier()


def _put_in_place(aside: Path, final: Path) -> None:
    with files.disk_errors(final):
        files.sync_tree(aside)
        older = [path for path in final.parent.glob("step_*") if path != final]
        aside.rename(final)
        for path in older:
            files.remove(path)


def _training_settings(config: Config, section: RewardModelConfig) -> dict[str, Any]:
    trainer = config.trainer
    return {
        **world.world_settings(config),
        "training": {
            name: getattr(section, name)
            for name in ("epochs", "sequences_per_step", "learning_rate", "schedule", "warmup_steps", "seed")
        },
        "optimizer": [trainer.weight_decay, trainer.beta1, trainer.beta2, trainer.adam_eps, trainer.max_grad_norm],
        "dtype": config.model.dtype,
        "trainer": trainer.name,
    }


def _adamw(config: Config, section: RewardModelConfig, total: int) -> AdamWOptions:
    trainer = config.trainer
    return AdamWOptions(
        learning_rate=section.learning_rate,
        total_updates=total,
        schedule=section.schedule,
        warmup_updates=section.warmup_steps,
        weight_decay=trainer.weight_decay,
        betas=(trainer.beta1, trainer.beta2),
        eps=trainer.adam_eps,
        max_grad_norm=trainer.max_grad_norm,
    )
