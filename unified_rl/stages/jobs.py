"""What the commands `train`, `iterate` and `evaluate` do with their words: read them, then start the stage. No torch before that.

The command line calls these, and so does the worker of a grid's cell, in its own process.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

from unified_rl.base.errors import ConfigError
from unified_rl.config.problems import DataConfig, TaskConfig
from unified_rl.config.schema import Config
from unified_rl.presets import loading
from unified_rl.records import phase
from unified_rl.records.runs import checkpoint_name
from unified_rl.stages import base_models, stored
from unified_rl.stages.kinds.pretrain import COMMAND as PRETRAIN
from unified_rl.stages.kinds.pretrain import command_config

#: What goes on beside a run, given its folder and `logging.page_every`.
Beside = Callable[[Path, float], AbstractContextManager[None]]

#: Words of `evaluate` that are not settings of an evaluation.
_OF_EVALUATE = ("run", "name", "threads", "allow_code")


def _nothing(run_dir: Path, every: float) -> AbstractContextManager[None]:
    return nullcontext()


def train(words: Sequence[str], beside: Beside = _nothing) -> None:
    """Train, or go on with an interrupted run (`resume=true`).

    Args:
        beside: of the first rank: what shows the run while it goes on.

    Raises:
        UnifiedRLError: settings, data or files that cannot be used.
    """
    config = loading.load_config(words)
    if not config.run_dir:
        raise ConfigError("train needs run_dir=DIR, the folder that will hold the run")
    from unified_rl.stages.trained import shown_by_first
    from unified_rl.stages.training import run_training
    from unified_rl.training.ranks import join_ranks

    ranks = join_ranks()
    with shown_by_first(ranks, config.label, config.trainer.steps) as on_step, _told(config, beside, ranks.first):
        run = run_training(config, on_step, ranks)
    if ranks.first:
        done = f"{config.run_dir} ({run.step} steps of {config.label})"
        print(f"finished: {done}; next: {shlex.join(['unified-rl', 'evaluate', f'run={config.run_dir}'])}")


def pretrain(words: Sequence[str]) -> None:
    """Pre-train, or go on with an interrupted run (`resume=true`).

    Raises:
        UnifiedRLError: settings, data or files that cannot be used.
    """
    config = command_config(words)
    if not config.run_dir:
        raise ConfigError("pretrain needs run_dir=DIR, the folder that will hold the run")
    from unified_rl.stages.pretraining import run_pretraining
    from unified_rl.stages.trained import shown_by_first
    from unified_rl.training.ranks import join_ranks

    ranks = join_ranks()
    with shown_by_first(ranks, config.label, config.trainer.steps) as on_step:
        run = run_pretraining(config, on_step, ranks)
    if ranks.first:
        made = run.path / "checkpoints" / checkpoint_name(run.step) / "policy"
        print(f"finished: {config.run_dir} ({run.step} steps); the model: {made}")


@contextmanager
def _told(config: Config, beside: Beside, first: bool) -> Iterator[None]:
    """Within this context, the run's folder says what is being worked on, and what goes on beside it does."""
    with ExitStack() as stack:
        if first:
            run_dir = Path(config.run_dir)
            stack.enter_context(beside(run_dir, config.logging.page_every))
            stack.enter_context(phase.noted(run_dir))
        yield


def iterate(words: Sequence[str], beside: Beside = _nothing) -> None:
    """Iterative RL (Algorithm 1). beside: as of `train`.

    Raises:
        UnifiedRLError: settings, data or files that cannot be used.
    """
    config = loading.load_config(words)
    if not config.run_dir:
        raise ConfigError("iterate needs run_dir=DIR, the folder that will hold the iterations")
    from unified_rl.stages import iterate as stage
    from unified_rl.training.ranks import join_ranks

    ranks = join_ranks()
    with _told(config, beside, ranks.first):
        folder = stage.iterate(config, ranks)
    if ranks.first:
        print(f"finished: {folder}; next: {tables_of(folder)}")


def tables_of(folder: Path) -> str:
    """The command that makes tables of a folder of runs."""
    return shlex.join(["unified-rl", "tables", str(folder), "out=TABLES"])


def _true_or_false(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ConfigError(f"{name}={text} must be true or false")
    return text.lower() == "true"


def evaluate(words: Sequence[str]) -> Path:
    """Sample from a run's latest checkpoint, or a model (`model=DIR`), and store every response; returns the evaluation's folder.

    Raises:
        UnifiedRLError: settings, data or files that cannot be used.
    """
    names = {word.split("=")[0] for word in words}
    if {"model", "model.path"} & names:
        if "run" in names:
            raise ConfigError("evaluate takes run=DIR, a run of ours, or model=DIR, a Hugging Face folder, and not both")
        return base_models.evaluate_model(words)
    given = dict(word.partition("=")[::2] for word in words if word.split("=")[0] in _OF_EVALUATE)
    other = [word for word in words if word.split("=")[0].split(".")[0] in ("task", "data")]
    words = [word for word in words if word not in other]
    if "run" not in given:
        raise ConfigError("evaluate needs run=DIR, a run that `unified-rl train` made, or model=DIR, a Hugging Face folder")
    run_dir = Path(given["run"])
    allow_code = _true_or_false("allow_code", given.get("allow_code", "false"))
    config = stored.read_run(run_dir, allow_code)
    task, data = _other_problems(config, other)
    words = [word for word in words if word.split("=")[0] not in given]
    if (task.name, data.path) != (config.task.name, config.data.path):
        words = ["problems=0", *words]  # how many it has, the run's own settings do not know
    options = loading.override(config.evaluation, words, "evaluation")
    name, threads = given.get("name", options.split if task.name == config.task.name else task.name), given.get("threads", "0")
    if not threads.isdecimal():
        raise ConfigError(f"threads={threads} must be a whole number")
    if Path(name).name != name:
        raise ConfigError(f"name={name} must be a plain folder name")
    from unified_rl.stages import evaluate as stage

    with phase.noted(run_dir):
        return stage.evaluate(run_dir, options, name, int(threads), task, data, allow_code)


def _other_problems(config: Config, words: Sequence[str]) -> tuple[TaskConfig, DataConfig]:
    """The task and data that words of `evaluate` choose: of a table that the run was not trained on, all are test problems."""
    task, data = loading.other_problems(config, words)
    if task.name == "table" and data.path != config.data.path:
        task, data = loading.other_problems(config, ["task.options.test_fraction=1", *words])
    return task, data


JOBS: Mapping[str, Callable[[Sequence[str]], object]] = {
    "train": train,
    PRETRAIN: pretrain,
    "iterate": iterate,
    "evaluate": evaluate,
}
