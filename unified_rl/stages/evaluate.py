"""Evaluation: many samples and one greedy response per problem, stored raw. Every statistic is derived afterwards.

It is done in chunks of problems, each stored whole as soon as it is sampled and graded; an evaluation that is killed goes on after
the last whole chunk. Every response is a function of the weights, its problem and its own seed, so it ends with the same file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import transformers

from unified_rl.base import files, rng
from unified_rl.base.errors import CheckpointError, RunDirectoryError
from unified_rl.base.types import Decoding, Problem, Prompt, Response, Score, Task
from unified_rl.config.problems import DataConfig, TaskConfig
from unified_rl.config.records import EvaluationConfig
from unified_rl.config.schema import Config
from unified_rl.records import reading, runs
from unified_rl.records.progress import doing, progress
from unified_rl.records.provenance import code_hash
from unified_rl.rewards import OutcomeReward
from unified_rl.sampling.torch_generator import TorchGenerator
from unified_rl.sampling.vllm_generator import VllmGenerator
from unified_rl.stages import soundness, stored, world
from unified_rl.stages.fingerprints import sampler_key, world_settings
from unified_rl.stages.generators import frozen_sampler
from unified_rl.stages.solutions import solution_generator
from unified_rl.stages.threads import use_threads
from unified_rl.tasks import check_slices

ROW_GROUP = 1 << 15
PLAN = "plan.json"  # beside the chunks of an unfinished evaluation: what they depend on
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
        ("sound", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Policy:
    """What is evaluated: a Hugging Face folder, and what is known of it.

    key: what the stored responses depend on of it. step, updates: behind its weights. owner: name of the folder that its
    evaluations are in. facts: what is said of it beside, or in place of, what the configuration says.
    """

    folder: Path
    key: Mapping[str, str]
    step: int
    updates: int
    owner: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Chunk:
    """Consecutive problems of one slice in one mode ("greedy" or "sample"), with `each` responses to each.

    `first` is the place of its first problem.
    """

    index: int
    mode: str
    slice_index: int
    slice: str
    first: int
    prompts: Sequence[Prompt]
    each: int

    @property
    def responses(self) -> int:
        return len(self.prompts) * self.each

    @property
    def file(self) -> str:
        return f"{self.index:06d}.parquet"


def evaluate(
    run_dir: Path,
    options: EvaluationConfig,
    name: str,
    threads: int = 0,
    task: TaskConfig | None = None,
    data: DataConfig | None = None,
    allow_code: bool = False,
) -> Path:
    """Sample from a run's latest checkpoint and store every response with its verdict in `run_dir/evaluations/name`.

    What an evaluation of that name left behind when it was killed is taken up, if it had the same settings, weights and data.

    Args:
        options: split, problems per slice, samples per problem and decoding. name: of the evaluation.
        task, data: other problems or prompts than the run's own. allow_code: see `stages.stored`.

    Returns:
        The evaluation's folder.

    Raises:
        CheckpointError: the run has no checkpoint, or it is damaged. RunDirectoryError: the evaluation exists.
    """
    own = stored.read_run(run_dir, allow_code)
    config = replace(own, evaluation=options, task=task or own.task, data=data or own.data)
    if config.task.name == own.task.name:
        stored.check_code(own.task.name, run_dir, allow_code)
    final = _free(run_dir, name)
    checkpoint = runs.latest_checkpoint(run_dir)
    if checkpoint is None:
        raise CheckpointError(f"{run_dir} has no checkpoint to evaluate; train it first (or go on with resume=true)")
    key = {"name": checkpoint.name, "hash": files.file_hash(checkpoint / files.MANIFEST)}
    step = int(checkpoint.name.removeprefix("step_"))
    policy = Policy(checkpoint / "policy", key, step, _updates(checkpoint), run_dir.name)
    return evaluate_policy(config, policy, final, threads or config.threads)


def evaluate_policy(config: Config, policy: Policy, final: Path, threads: int) -> Path:
    """Sample from a policy as a configuration says, and store every response with its verdict in the folder `final`.

    Raises:
        RunDirectoryError: `final` exists, or is being written by another process.
    """
    _free(final.parents[1], final.name)
    use_threads(threads)
    transformers.utils.logging.disable_progress_bar()  # one bar for the evaluation, none for the weights
    with files.disk_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
    with runs.held(final.with_name(f".{final.name}.lock")):
        return _write(config, policy, files.aside_of(final), final)


def _free(run_dir: Path, name: str) -> Path:
    final = run_dir / files.EVALUATIONS / name
    if final.exists():
        raise RunDirectoryError(f"{final} exists already; choose another name=..., or delete that folder")
    return final


def _write(config: Config, policy: Policy, aside: Path, final: Path) -> Path:
    """Evaluate into `aside`, chunk by chunk; put the chunks together in a folder there, and rename it to `final`."""
    plan = _plan(config, policy)
    with files.disk_errors(final):
        if _stored_plan(aside) != plan:
            files.remove(aside)
            aside.mkdir(parents=True)
            files.write_json(aside / PLAN, plan)
    with frozen_sampler(config, policy.folder) as sampler:
        meta, chunks = _sample_all(config, policy, aside, sampler)
    whole = aside / "whole"
    with files.disk_errors(final):
        files.remove(whole)
        whole.mkdir()
        with pq.ParquetWriter(whole / reading.SAMPLES, COLUMNS) as writer:
            for table in _row_groups(aside / chunk.file for chunk in chunks):
                writer.write_table(table, ROW_GROUP)
        reading.write_evaluation_meta(whole, {**meta, "run": policy.owner, "complete": True})
        files.sync_tree(whole)
        whole.rename(final)
        files.sync(final.parent)
        files.remove(aside)
    return final


def _row_groups(paths: Iterable[Path]) -> Iterator[pa.Table]:
    """The rows of all chunks, `ROW_GROUP` at a time: the file does not depend on how the work was cut into chunks."""
    rest = COLUMNS.empty_table()
    for path in paths:
        rest = pa.concat_tables([rest, pq.read_table(path, use_threads=False)])
        while len(rest) >= ROW_GROUP:
            yield rest.slice(0, ROW_GROUP).combine_chunks()
            rest = rest.slice(ROW_GROUP)
    if len(rest):
        yield rest.combine_chunks()


def _plan(config: Config, policy: Policy) -> dict[str, Any]:
    """Everything that the stored chunks depend on."""
    plan = {
        "schema": reading.EVALUATION_SCHEMA,
        "evaluation": asdict(config.evaluation),
        "world": world_settings(config),
        "checkpoint": dict(policy.key),
        "dtype": config.model.dtype,
        "columns": COLUMNS.names,
        **sampler_key(config),
    }
    return json.loads(json.dumps(plan, default=str))


def _stored_plan(aside: Path) -> dict[str, Any] | None:
    try:
        return json.loads((aside / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _sample_all(
    config: Config, policy: Policy, aside: Path, sampler: TorchGenerator | VllmGenerator
) -> tuple[dict[str, Any], list[_Chunk]]:
    """Sample, grade and store the chunks that are not stored yet. Returns the evaluation's facts, and all chunks."""
    options = config.evaluation
    task = world.make_task(config)
    tokenizer = sampler.tokenizer
    generator = solution_generator(config, sampler, tokenizer)
    prompts = _prompts(config, task, sampler)
    chunks = list(_chunks(prompts, options, task.slices))
    reward, judge = OutcomeReward(task), soundness.judge_of(task, chunks[0].prompts[0].problem)
    total = sum(chunk.responses for chunk in chunks)
    done = 0
    with progress(f"evaluating {task.name}", total, "responses") as hook:
        for chunk in chunks:
            if not (aside / chunk.file).exists():
                if generator is sampler:  # where responses take several calls, a call's count is not one of responses
                    sampler.on_progress = lambda now, _, before=done: hook(before + now, {})
                asked = _seeds(chunk, options), _decoding(chunk, options), policy.updates
                responses = generator.generate(chunk.prompts, *asked)
                doing(f"grading {chunk.responses} responses")
                _store(_table(chunk, options.split, responses, reward, judge), aside / chunk.file)
            done += chunk.responses
            hook(done, {})
    return _facts(config, task, policy, prompts), chunks


def _prompts(config: Config, task: Task, sampler: TorchGenerator | VllmGenerator) -> dict[str, Sequence[Prompt]]:
    """Slice -> its problems as prompts, those that fit into the sampler's context.

    Raises:
        ConfigError: the task has no slice of a name that is asked for.
    """
    options = config.evaluation
    check_slices(task, options.slices, "evaluation.slices")
    split = world.split_of(options.split)
    return {
        name: world.fitting(
            world.as_prompts(list(task.problems(split, options.problems or None, name)), sampler.tokenizer, config),
            sampler.info.context,
            options.max_new_tokens,
            config,
        )
        for name in options.slices or task.slices
    }


def _facts(config: Config, task: Task, policy: Policy, prompts: Mapping[str, Sequence[Prompt]]) -> dict[str, Any]:
    """What is said of an evaluation beside its responses."""
    options = config.evaluation
    return {
        "method": config.method,
        "label": config.label,
        "seed": config.seed,
        "step": policy.step,
        "task": task.name,
        "task_settings": asdict(config.task),
        "data": config.data.path,
        "decoding": asdict(options.decoding),
        "evaluation_seed": options.seed,
        "samples_per_problem": options.samples,
        "coverage_problems": options.coverage_problems,
        "coverage_samples": options.coverage_samples,
        "problems": {name: len(of_slice) for name, of_slice in prompts.items()},
        "code": code_hash(),
        **policy.facts,
    }


def _chunks(prompts: Mapping[str, Sequence[Prompt]], options: EvaluationConfig, slices: Sequence[str]) -> Iterator[_Chunk]:
    """The chunks in the order of the rows: per slice first the greedy responses, then the samples.

    slices: all of the task: a slice has the same samples beside others and alone.
    """
    index = 0
    for name, of_slice in prompts.items():
        for mode, start, end, each in _spans(len(of_slice), options):
            count = max(1, options.responses_per_chunk // each)
            for first in range(start, end, count):
                yield _Chunk(index, mode, slices.index(name), name, first, of_slice[first : min(first + count, end)], each)
                index += 1


def _spans(problems: int, options: EvaluationConfig) -> Iterator[tuple[str, int, int, int]]:
    """(mode, first problem, the one after the last, responses to each) of a slice, where there are any."""
    yield "greedy", 0, problems, 1
    start = 0
    for count, each in options.parts(problems):
        if each:
            yield "sample", start, start + count, each
        start += count


def _seeds(chunk: _Chunk, options: EvaluationConfig) -> list[list[int]]:
    """Every sample's own seed: a function of (evaluation seed, slice, problem's place, sample)."""
    if chunk.mode == "greedy":
        return [[0]] * len(chunk.prompts)
    places = range(chunk.first, chunk.first + len(chunk.prompts))
    return [
        [rng.derive_seed(options.seed, "evaluation", chunk.slice_index, place, k) for k in range(chunk.each)]
        for place in places
    ]


def _decoding(chunk: _Chunk, options: EvaluationConfig) -> Decoding:
    return _greedy(options.decoding) if chunk.mode == "greedy" else options.decoding


def _store(table: pa.Table, path: Path) -> None:
    """Write a chunk, saved aside."""
    with files.replacing(path) as aside:
        pq.write_table(table, aside)


def _greedy(decoding: Decoding) -> Decoding:
    return Decoding(temperature=0.0, max_new_tokens=decoding.max_new_tokens)


def _table(
    chunk: _Chunk, split: str, responses: Sequence[Sequence[Response]], reward: OutcomeReward, judge: soundness.Judge | None
) -> pa.Table:
    scores = reward.score(chunk.prompts, responses)
    rows = [
        _row(chunk.mode, chunk.slice, split, prompt.problem, index, response, score)
        | {"gold_class": _gold_class(prompt.problem, group_scores), "sound": judge and judge(prompt.problem, response, score)}
        for prompt, group, group_scores in zip(chunk.prompts, responses, scores, strict=True)
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
