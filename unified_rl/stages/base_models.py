"""Evaluation of a model that no run of ours made: any Hugging Face directory, asked with worked examples. No torch at import.

OUT/base_model.json          which model: its folder, a hash of its content, its label
OUT/evaluations/NAME/        as an evaluation of a run, one per benchmark and style
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.errors import ConfigError, RunDirectoryError
from unified_rl.config.schema import Config
from unified_rl.presets import loading
from unified_rl.stages import world
from unified_rl.stages.fingerprints import path_fingerprint
from unified_rl.stages.models import check_model_path
from unified_rl.tasks.few_shot import read_examples
from unified_rl.tasks.few_shot_protocol import BY_LETTER, shots_of, style_of
from unified_rl.tasks.templates import render

SCHEMA = 1
METHOD = "base_model"
FOLDER = Path("runs/base_models")
#: Words that are about the evaluation as a whole; those of these sections are the configuration's, the others section evaluation's.
_OWN = ("out", "style", "shots", "label", "name", "threads", "allow_code")
_CONFIGURED = ("task", "data", "model", "generator", "vllm", "artifacts")


@dataclass(frozen=True)
class Asked:
    """A model's evaluation, as it was asked for. shots_by: whose choice the number of worked examples is."""

    config: Config
    out: Path
    name: str
    label: str
    style: str
    shots_by: str


def asked(words: Sequence[str]) -> Asked:
    """The words of `unified-rl evaluate model=DIR ...`.

    Raises:
        ConfigError: an unknown word or style, no task, or a model that is not here.
    """
    own = dict(word.partition("=")[::2] for word in words if word.split("=")[0] in _OWN)
    configured = [word for word in words if word.split("=")[0].split(".")[0] in _CONFIGURED]
    rest = [word for word in words if word not in configured and word.split("=")[0] not in own]
    style_name = own.get("style", "cot")
    style = style_of(style_name)
    given = loading.compose(configured)
    if not any(word.partition("=")[0] in ("task", "task.name") for word in configured):
        raise ConfigError("evaluate model=DIR needs task=NAME, and data.path=FILE for a benchmark (docs/base_models.md)")
    shots, shots_by = shots_of(given.task.name, style_name)
    if "shots" in own:
        shots, shots_by = _whole("shots", own["shots"]), "given"
    task = replace(given.task, solution=style.solution, template=style.template, shots=shots)
    usual = ["samples=0", f"max_new_tokens={style.max_new_tokens}", "responses_per_chunk=256", "problems=0"]
    options = loading.override(given.evaluation, [*usual, *rest], "evaluation")
    config = replace(given, task=task, evaluation=options, threads=_whole("threads", own.get("threads", "0")))
    check_model_path(config)
    folder = Path(config.model.path)
    name = own.get("name") or f"{Path(task.name.rpartition(':')[2]).name}_{style_name}"
    if Path(name).name != name:
        raise ConfigError(f"name={name} must be a plain folder name")
    out = Path(own.get("out") or FOLDER / (folder.resolve().name or "model"))
    return Asked(config, out, name, own.get("label") or folder.resolve().name, style_name, shots_by)


def evaluate_model(words: Sequence[str]) -> Path:
    """Ask a model every question of a benchmark and store what it answered; returns the evaluation's folder.

    Raises:
        RunDirectoryError: an evaluation of that name exists, or the folder holds another model's. Others as `asked`.
    """
    wanted = asked(words)
    _try_prompt(wanted.config)
    content = _claim(wanted)
    from unified_rl.stages import evaluate as stage

    task = wanted.config.task
    facts: dict[str, Any] = {
        "method": METHOD,
        "label": wanted.label,
        "seed": 0,
        "model": {"path": wanted.config.model.path, "content": content},
        "style": wanted.style,
        "shots": {
            "count": task.shots,
            "chosen_by": wanted.shots_by,
            "examples": task.examples or "built-in, written for this project",
        },
    }
    folder = Path(wanted.config.model.path)
    policy = stage.Policy(folder, {"name": METHOD, "hash": content}, 0, 0, wanted.out.name, facts)
    return stage.evaluate_policy(wanted.config, policy, wanted.out / files.EVALUATIONS / wanted.name, wanted.config.threads)


def _try_prompt(config: Config) -> None:
    """Find out what cannot be asked before a model is loaded. Raises ConfigError or DataError."""
    task = config.task
    if config.evaluation.samples and task.solution == BY_LETTER:
        raise ConfigError("style=letters samples nothing: the most likely letter is the answer; leave out samples")
    (problem,) = world.make_task(config).problems(world.split_of(config.evaluation.split), 1)
    render(
        problem, task.template, task.solution, read_examples(task.examples, task.shots) if task.examples else None, task.shots
    )


def _claim(wanted: Asked) -> str:
    """Write down whose answers the folder holds, or find them to be this model's; returns the hash of the model's content."""
    from unified_rl.records import reading  # loads pandas, which a refusal does not wait for

    folder, path = Path(wanted.config.model.path), wanted.out / reading.BASE_MODEL
    if (wanted.out / "config.yaml").exists():
        raise RunDirectoryError(f"{wanted.out} is a run's; choose another out=DIR for the model's answers")
    facts = {"schema": SCHEMA, "path": str(folder), "content": path_fingerprint(str(folder)), "label": wanted.label}
    if path.exists():
        before = reading.read_base_model(wanted.out)
        if before["content"] != facts["content"]:
            raise RunDirectoryError(
                f"{wanted.out} holds answers of another model ({before['path']}); choose another out=DIR, or delete that folder"
            )
        if before["label"] != facts["label"]:
            raise RunDirectoryError(
                f"{wanted.out} calls this model {before['label']!r}; leave out label={wanted.label}, or choose another out=DIR"
            )
    with files.disk_errors(wanted.out):
        wanted.out.mkdir(parents=True, exist_ok=True)
    files.write_json(path, facts)
    return str(facts["content"])


def _whole(name: str, text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"{name}={text} must be a whole number")
    return int(text)
