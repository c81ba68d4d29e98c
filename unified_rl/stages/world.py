"""What every stage starts from: the task, its prompts as tokens, and the base model."""

from __future__ import annotations

import hashlib
import inspect
import re
import shutil
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unified_rl import files
from unified_rl.artifacts import ArtifactStore
from unified_rl.config import Config
from unified_rl.engines.policy_model import build_llama, save_policy
from unified_rl.engines.text_cuts import StoppingGenerator
from unified_rl.engines.tool_integrated import ToolIntegratedGenerator
from unified_rl.errors import ConfigError, DataError
from unified_rl.tasks import build_task
from unified_rl.tasks.demonstration_files import read_demonstrations
from unified_rl.tasks.few_shot import read_examples
from unified_rl.tasks.programs import ProgramAnswers
from unified_rl.tasks.reading import HUB, hub_commit
from unified_rl.tasks.templates import FEW_SHOT, NEXT_EXAMPLE, encode
from unified_rl.tasks.tokenizers import train_tokenizer, word_tokenizer
from unified_rl.types import Generator, Problem, ProgramRunner, Prompt, Task, Tokenizer

BASE_RECIPE = 1
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
#: Files up to this size are hashed by content; larger ones (model weights) by size and time of change.
_HASHED_BYTES = 64 * 2**20


def make_task(config: Config) -> Task:
    """The configured task. Raises ConfigError or DataError naming the field at fault."""
    options = dict(config.task.options)
    if config.data.path:
        options["path"] = config.data.path
    task = build_task(config.task.name, **options)
    return (
        ProgramAnswers(task, program_runner(config.task.allow_unsandboxed))
        if config.task.solution == "program_of_thought"
        else task
    )


def solution_generator(config: Config, generator: Generator, tokenizer: Tokenizer) -> Generator:
    """The generator of the configured solution format: one that runs programs, or stops at stop texts, or the given one."""
    if config.task.solution == "tool_integrated":
        runner = program_runner(config.task.allow_unsandboxed)
        generator = ToolIntegratedGenerator(generator, runner, tokenizer, config.task.max_rounds)
    stops = [*config.task.stop, *([NEXT_EXAMPLE] if config.task.template == FEW_SHOT else [])]
    return StoppingGenerator(generator, tokenizer, stops) if stops else generator


@cache
def program_runner(allow_unsandboxed: bool) -> ProgramRunner:
    """The sandbox in which model-written programs run, one for the process; what it protects is said once, on standard error.

    Raises:
        ConfigError: the machine cannot contain them, and `task.allow_unsandboxed` is not set.
    """
    from unified_rl.isolation.sandbox import Sandbox

    sandbox = Sandbox(allow_unsandboxed=allow_unsandboxed)
    print(sandbox.describe(), file=sys.stderr)
    return sandbox


def training_problems(task: Task, config: Config) -> list[Problem]:
    """The pool of training problems: the first `data.prompts` of the train split, or all of them; of `data.slices` in even shares.

    Raises:
        ConfigError: an unknown slice. DataError: there are no problems.
    """
    slices = config.data.slices
    if slices:
        counts = [len(share) for share in np.array_split(np.arange(config.data.prompts), len(slices))]
        problems = [
            problem
            for name, count in zip(slices, counts, strict=True)
            for problem in task.problems("train", count or None, name)
        ]
    else:
        problems = list(task.problems("train", config.data.prompts or None))
    if not problems:
        raise DataError(f"task {task.name} has no training problems; check data.path={config.data.path!r}")
    return problems


def check_slices(task: Task, config: Config) -> None:
    """Refuse a training slice that the task does not have. Raises ConfigError with those that it has."""
    unknown = sorted(set(config.data.slices) - set(task.slices))
    if unknown:
        raise ConfigError(
            f"data.slices names {unknown[0]!r}, which task {task.name} does not have; choose from: {', '.join(task.slices)}"
        )


def as_prompts(problems: list[Problem], tokenizer: Tokenizer, config: Config) -> list[Prompt]:
    """Problems through the template and the tokenizer."""
    task = config.task
    examples = read_examples(task.examples, task.shots) if task.examples else None
    return [encode(problem, tokenizer, task.template, task.solution, examples, task.shots) for problem in problems]


def world_settings(config: Config) -> dict[str, Any]:
    """What an artefact depends on through the task: its settings, its code, and the content of the data it reads."""
    task = make_task(config)
    task = getattr(task, "task", task)  # the one that reads the problems
    settings = {
        "task": asdict(config.task),
        "task_code": path_fingerprint(inspect.getfile(type(task))),
        "data": path_fingerprint(config.data.path),
    } | _mix_settings(config)
    return settings | ({"task_identity": task.identity} if hasattr(task, "identity") else {})


def _mix_settings(config: Config) -> dict[str, Any]:
    """What an artefact depends on through a mix of demonstrations; {} without one."""
    data = config.data
    if not data.mixed:
        return {}
    parts = [asdict(part) | {"content": path_fingerprint(part.path)} for part in data.demonstrations]
    return {"mix": parts, "batch": data.batch, "context_tokens": data.context_tokens}


def base_policy(config: Config, store: ArtifactStore) -> tuple[str, Path]:
    """Key and folder of the untrained policy: the given Hugging Face directory, or a Llama built from the configuration."""
    if config.model.path:
        return path_fingerprint(config.model.path), Path(config.model.path)
    shape = {name: value for name, value in asdict(config.model).items() if name not in ("path", "dtype", "device")}
    return store.get_or_build(
        "base",
        {**world_settings(config), "model": shape, "demonstrations": config.sft.demonstrations},
        recipe_version=BASE_RECIPE,
        inputs={},
        build=lambda folder: _build_base(config, folder),
    )


def check_model_path(config: Config) -> None:
    """Refuse a pretrained model that is not on this machine. Raises ConfigError with the command that fetches it."""
    name, path = config.architecture.name, config.model.path
    if not path and name:
        raise ConfigError(
            f"stack={config.stack} starts from the pretrained model {name}, which you bring: hf download {name} --local-dir DIR, "
            "then set model.path=DIR"
        )
    if _HUB_NAME.fullmatch(path) and not Path(path).exists():
        raise ConfigError(
            f"model.path={path} is no folder here; if it is a model of the Hugging Face Hub, fetch it yourself: hf download {path} "
            "--local-dir DIR, then set model.path=DIR"
        )


def model_dtype(config: Config) -> torch.dtype:
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[config.model.dtype]


def user_code(config: Config) -> dict[str, str]:
    """Fingerprints of the user's own files (FILE.py:NAME) that a run is made of, by the field that names them."""
    named = {
        "method": config.method,
        "coefficient": config.coefficient.name,
        "reward.source": config.reward.source,
        "task.name": config.task.name,
    }
    places = {field: name.rpartition(":")[0] for field, name in named.items()}
    return {f"code of {field}": path_fingerprint(place) for field, place in places.items() if place.endswith(".py")}


def path_fingerprint(path: str) -> str:
    """A hash that changes when the file or folder does, or the commit of a `hub:` data set; "" for no path.

    Raises:
        DataError: there is nothing at `path`.
    """
    if not path:
        return ""
    if path.startswith(HUB):
        return hub_commit(path)
    root = Path(path)
    if not root.exists():
        raise DataError(f"{path} does not exist; check data.path and model.path")
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*")) if root.is_dir() else [root]:
        if file.is_file():
            stat = file.stat()
            content = files.file_hash(file) if stat.st_size <= _HASHED_BYTES else f"{stat.st_size} {stat.st_mtime_ns}"
            digest.update(f"{file.name} {content}\n".encode())
    return digest.hexdigest()[:20]


def _build_base(config: Config, folder: Path) -> None:
    task, shape = make_task(config), config.model
    tokenizer = _make_tokenizer(task, config)
    model = build_llama(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.max_positions,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        init_std=shape.init_std,
        seed=shape.seed,
    )
    shutil.rmtree(folder)  # whatever a killed attempt left
    save_policy(model, tokenizer, folder)


def _make_tokenizer(task: Task, config: Config) -> Any:
    """The closed vocabulary of a task that states its `corpus()`, else byte-level BPE trained on the demonstrations' text."""
    if hasattr(task, "corpus"):
        return word_tokenizer(task.corpus())
    demonstrations = [item for part in config.data.demonstrations for item in read_demonstrations(part) if item]
    demonstrations = demonstrations or task.demonstrations(config.sft.demonstrations or None)
    texts = [text for item in demonstrations for text in (item.problem.question, item.solution)]
    return train_tokenizer(texts, vocab_size=config.model.vocabulary)
