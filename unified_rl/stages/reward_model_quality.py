"""How good labels and reward models are, as raw facts on held-out problems. Every statistic is derived afterwards.

    FOLDER/steps.parquet    a row per step of each held-out response: what the exact checker, the rule and N completions say of it
    FOLDER/scores.parquet   a row per step and reward model: the logit after the step's last token
    FOLDER/meta.json        what was measured, and with what

The columns are those of `STEPS` and `SCORES`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unified_rl.base import files
from unified_rl.base.types import Split
from unified_rl.config.schema import Config
from unified_rl.models.policy_model import load_tokenizer
from unified_rl.records.artifacts import Artifact, ArtifactStore
from unified_rl.stages.kinds.reward_samples import Samples, read_samples, samples_of
from unified_rl.stages.kinds.step_labels import facts_of, read_step_facts
from unified_rl.stages.reward_model import load_scorer
from unified_rl.stages.step_labels import StepFacts

SCHEMA = 1
STEPS = pa.schema(
    [
        ("problem_id", pa.string()),
        ("sample", pa.int32()),
        ("step", pa.int32()),
        ("num_steps", pa.int32()),
        ("exact", pa.bool_()),  # the exact step checker's verdict; null where it has none
        ("outcome", pa.bool_()),  # the rule's verdict on the response
        ("successes", pa.list_(pa.bool_())),  # completion 1, 2 ... reached the answer; null at the last step
    ]
)
SCORES = pa.schema(
    [("model", pa.string()), ("problem_id", pa.string()), ("sample", pa.int32()), ("step", pa.int32()), ("logit", pa.float32())]
)


def write_quality(
    config: Config,
    store: ArtifactStore,
    policy: Artifact,
    models: Mapping[str, Path],
    folder: Path,
    *,
    problems: int,
    per_prompt: int,
    completions: int,
    segmentation: str = "task",
    split: Split = "validation",
) -> Path:
    """Measure reward models on responses of the policy to problems none of them was trained on.

    Args:
        models: label -> reward model directory. folder: where the files go; what it held of them is replaced.
        problems, per_prompt: held-out problems, and responses to each. completions: most completions per step.

    Returns:
        The folder.
    """
    sampled = samples_of(config, policy, split=split, problems=problems, per_prompt=per_prompt).build(store)
    labelled = facts_of(config, sampled, policy, segmentation, completions).build(store)
    samples, facts = read_samples(config, sampled, load_tokenizer(policy.path)), read_step_facts(labelled, completions)
    _write_steps(samples, facts, folder)
    meta = {
        "schema": SCHEMA,
        "task": config.task.name,
        "split": split,
        "segmentation": segmentation,
        "completions": completions,
        "samples_per_problem": per_prompt,
        "problems": problems,
        "decoding": asdict(config.generator.decoding),
        "models": _write_scores(config, models, samples, facts, folder),
        "inputs": {"policy": policy.key, "samples": sampled.key, "labels": labelled.key},
    }
    files.write_json(folder / "meta.json", meta)
    return folder


def _write_steps(samples: Samples, facts: Sequence[Sequence[StepFacts]], folder: Path) -> None:
    with files.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(_step_rows(samples, facts), schema=STEPS), folder / "steps.parquet")


def _write_scores(
    config: Config, models: Mapping[str, Path], samples: Samples, facts: Sequence[Sequence[StepFacts]], folder: Path
) -> dict[str, Any]:
    """Write what each model says of every step; returns the models' cards, by label."""
    cards: dict[str, Any] = {}
    with files.disk_errors(folder), pq.ParquetWriter(folder / "scores.parquet", SCORES) as writer:
        for label, path in models.items():
            scorer, _, card = load_scorer(config, path)
            cards[label] = asdict(card)
            logits = scorer.scores(*_flat(samples))
            writer.write_table(pa.Table.from_pylist(_score_rows(label, samples, facts, logits), schema=SCORES))
    return cards


def _flat(samples: Samples) -> tuple[list, list]:
    pairs = [(prompt, one) for prompt, group in zip(samples.prompts, samples.responses, strict=True) for one in group]
    return [prompt for prompt, _ in pairs], [response for _, response in pairs]


def _each(samples: Samples, facts: Sequence[Sequence[StepFacts]]) -> list[tuple[str, int, StepFacts]]:
    """(problem, sample, facts) of every response, in the order of `_flat`."""
    return [
        (prompt.id, index, known)
        for prompt, group in zip(samples.prompts, facts, strict=True)
        for index, known in enumerate(group)
    ]


def _step_rows(samples: Samples, facts: Sequence[Sequence[StepFacts]]) -> list[dict[str, Any]]:
    return [
        {
            "problem_id": problem,
            "sample": sample,
            "step": step,
            "num_steps": len(known.ends),
            "exact": None if np.isnan(known.exact[step]) else bool(known.exact[step]),
            "outcome": known.outcome,
            "successes": known.successes[step].tolist() if step + 1 < len(known.ends) else None,
        }
        for problem, sample, known in _each(samples, facts)
        for step in range(len(known.ends))
    ]


def _score_rows(
    label: str, samples: Samples, facts: Sequence[Sequence[StepFacts]], logits: Sequence[np.ndarray]
) -> list[dict[str, Any]]:
    return [
        {"model": label, "problem_id": problem, "sample": sample, "step": step, "logit": float(logits_T[end])}
        for (problem, sample, known), logits_T in zip(_each(samples, facts), logits, strict=True)
        for step, end in enumerate(known.ends)
    ]
