"""Evaluation: many samples and one greedy response per problem, stored raw. Every statistic is derived afterwards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from unified_rl import files, loading, rng, runs
from unified_rl.config import Config, EvaluationConfig
from unified_rl.engines.policy_model import load_policy
from unified_rl.engines.torch_generator import TorchGenerator
from unified_rl.errors import CheckpointError, RunDirectoryError
from unified_rl.progress import progress
from unified_rl.rewards import OutcomeReward
from unified_rl.stages import world
from unified_rl.types import Decoding, Problem, Prompt, Response, Score

SCHEMA = 1
COLUMNS = pa.schema(
    [
        ("problem_id", pa.string()),
        ("slice", pa.string()),
        ("split", pa.string()),
        ("mode", pa.string()),
        ("sample_index", pa.int32()),
        ("seed", pa.int64()),
        ("text", pa.string()),
        ("answer", pa.string()),
        ("answer_class", pa.string()),
        ("gold", pa.string()),
        ("gold_class", pa.string()),
        ("verdict", pa.string()),
        ("num_tokens", pa.int32()),
        ("finish", pa.string()),
        ("policy_version", pa.int32()),
    ]
)


def evaluate(run_dir: Path, options: EvaluationConfig, name: str, threads: int = 0) -> Path:
    """Sample from a run's latest checkpoint and store every response with its verdict in `run_dir/evaluations/name`.

    Args:
        options: split, problems per slice, samples per problem and decoding. name: of the evaluation.

    Returns:
        The evaluation's folder.

    Raises:
        CheckpointError: the run has no checkpoint, or it is damaged. RunDirectoryError: the evaluation exists.
    """
    config = replace(loading.load_resolved(run_dir / "config.yaml"), evaluation=options)
    final = run_dir / "evaluations" / name
    if final.exists():
        raise RunDirectoryError(f"{final} exists already; choose another name=..., or delete that folder")
    checkpoint = runs.latest_checkpoint(run_dir)
    if checkpoint is None:
        raise CheckpointError(f"{run_dir} has no checkpoint to evaluate; train it first (or go on with resume=true)")
    if threads or config.threads:
        torch.set_num_threads(threads or config.threads)
    aside = final.with_name(f".{name}.tmp")
    with files.disk_errors(final):
        final.parent.mkdir(exist_ok=True)
    with runs.held(final.with_name(f".{name}.lock")):
        return _write(config, checkpoint, run_dir, aside, final)


def _write(config: Config, checkpoint: Path, run_dir: Path, aside: Path, final: Path) -> Path:
    """Evaluate into `aside` and rename it to `final`."""
    with files.disk_errors(final):
        files.remove(aside)
        aside.mkdir(parents=True)
    step = int(checkpoint.name.removeprefix("step_"))
    meta = _sample_all(config, checkpoint, step, aside / "samples.parquet")
    files.write_json(aside / "meta.json", {**meta, "run": run_dir.name, "complete": True})
    with files.disk_errors(final):
        files.sync_tree(aside)
        aside.rename(final)
    return final


def _sample_all(config: Config, checkpoint: Path, step: int, path: Path) -> dict[str, Any]:
    options = config.evaluation
    task = world.make_task(config)
    model, tokenizer = load_policy(checkpoint / "policy", world.model_dtype(config), config.model.device)
    generator = TorchGenerator(model, tokenizer, max_concurrent_sequences=config.generator.max_concurrent_sequences)
    reward = OutcomeReward(task)
    version = _updates(checkpoint)
    counts: dict[str, int] = {}
    with files.disk_errors(path), pq.ParquetWriter(path, COLUMNS) as writer:
        for slice_index, name in enumerate(task.slices):
            prompts = world.as_prompts(list(task.problems(options.split, options.problems, name)), tokenizer, config)
            counts[name] = len(prompts)
            generator.on_progress = None
            greedy = generator.generate(prompts, [[0]] * len(prompts), _greedy(options.decoding), version)
            writer.write_table(_table("greedy", name, options.split, prompts, greedy, reward))
            if options.samples:
                seeds = [
                    [rng.derive_seed(options.seed, "evaluation", slice_index, place, k) for k in range(options.samples)]
                    for place in range(len(prompts))
                ]
                with progress(f"evaluating {name}", len(prompts) * options.samples, "responses") as hook:
                    generator.on_progress = lambda done, total, hook=hook: hook(done, {})
                    sampled = generator.generate(prompts, seeds, options.decoding, version)
                writer.write_table(_table("sample", name, options.split, prompts, sampled, reward))
    return {
        "schema": SCHEMA,
        "method": config.method,
        "label": config.label,
        "seed": config.seed,
        "step": step,
        "task": task.name,
        "decoding": asdict(options.decoding),
        "evaluation_seed": options.seed,
        "samples_per_problem": options.samples,
        "problems": counts,
    }


def _greedy(decoding: Decoding) -> Decoding:
    return Decoding(temperature=0.0, max_new_tokens=decoding.max_new_tokens)


def _table(
    mode: str, name: str, split: str, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]], reward: OutcomeReward
) -> pa.Table:
    scores = reward.score(prompts, responses)
    rows = [
        _row(mode, name, split, prompt.problem, index, response, score)
        | {"gold_class": _gold_class(prompt.problem, group_scores)}
        for prompt, group, group_scores in zip(prompts, responses, scores, strict=True)
        for index, (response, score) in enumerate(zip(group, group_scores, strict=True))
    ]
    return pa.Table.from_pylist(rows, schema=COLUMNS)


def _gold_class(problem: Problem, scores: Sequence[Score]) -> str:
    """The class of the right answers; where nobody gave one, the gold answer itself, which is then no sampled class."""
    return next((score.answer_class for score in scores if score.verdict == "correct" and score.answer_class), problem.gold)


def _row(mode: str, name: str, split: str, problem: Problem, index: int, response: Response, score: Score) -> dict[str, Any]:
    return {
        "problem_id": problem.id,
        "slice": name,
        "split": split,
        "mode": mode,
        "sample_index": index,
        "seed": response.seed,
        "text": response.text,
        "answer": score.answer,
        "answer_class": score.answer_class,
        "gold": problem.gold,
        "verdict": score.verdict,
        "num_tokens": len(response),
        "finish": response.finish,
        "policy_version": response.policy_version,
    }


def _updates(checkpoint: Path) -> int:
    """Updates behind a checkpoint's weights: the policy version of everything sampled from it."""
    return int(json.loads((checkpoint / "state.json").read_text())["updates"])
