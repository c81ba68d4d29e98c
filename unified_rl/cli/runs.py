"""Commands that make runs: train, iterate, evaluate; and what a run's SFT data would be composed of."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from unified_rl.base.errors import ConfigError
from unified_rl.cli.grammar import JSON, Call, Command
from unified_rl.presets import loading
from unified_rl.stages import jobs


@dataclass(frozen=True)
class EvaluateOptions:
    """Which run, or which model.

    run: a run's directory, as `unified-rl train` made it. model: instead, any Hugging Face directory, asked with worked examples.
    style: of a model's answers: cot (reasoned), pot (a program), letters (multiple choice, by likelihood). shots: worked examples;
    by default the paper's number for the benchmark. out: folder of a model's evaluations; by default runs/base_models/NAME. label:
    what tables call the model; by default its folder's name. name: of the evaluation's folder; by default the split, or another
    task's name, with a model's style. threads: of this process; 0 = as many as torch chooses. allow_code: also import a task's code
    that came with the run.
    """

    run: str = ""
    model: str = ""
    style: str = "cot"
    shots: int = 0
    out: str = ""
    label: str = ""
    name: str = ""
    threads: str = "0"
    allow_code: bool = False


def _train(call: Call) -> None:
    jobs.train(call.words, _page_beside)


def _iterate(call: Call) -> None:
    jobs.iterate(call.words, _page_beside)


def _page_beside(run_dir: Path, every: float) -> AbstractContextManager[None]:
    """The run's page, written while it goes on."""
    from unified_rl.pages.live import beside_work

    return beside_work(run_dir, every)


def _evaluate(call: Call) -> None:
    folder = jobs.evaluate(call.words)
    from unified_rl.statistics import experiment, tables

    run_dir = folder.parents[1]
    found = tables.results(experiment.read_experiment([run_dir], folder.name))
    print(f"\n{tables.format_results(found)}\nfinished: {folder}; next: {jobs.tables_of(run_dir)}")


def _compose_data(call: Call) -> None:
    config = loading.load_config([*call.rest, "method=sft"])
    config = replace(config, data=replace(config.data, prompts=config.sft.demonstrations))
    if not config.data.mixed:
        raise ConfigError(
            "compose-data describes a mix of demonstrations, and there is none: set data.demonstrations='[{path: FILE}]', or "
            "data.batch=rows to fill rows with the task's own solutions"
        )
    from unified_rl.stages.demonstrations import compose, described

    folder, composition = compose(config)
    print(json.dumps(composition, indent=1, ensure_ascii=False) if call.json else described(composition))
    print(f"stored: {folder}", file=sys.stderr)


COMMANDS: Mapping[str, Command] = {
    "train": Command(
        "train; resume=true goes on with an interrupted run",
        "method=grpo run_dir=runs/mine",
        _train,
        sections=("config",),
        goes_on="resume=true",
        more="Words that a method, a stack or the defaults do not set keep the defaults below. `unified-rl train --help trainer` "
        "shows one section; `unified-rl config method=...` prints what a configuration comes to.",
    ),
    "iterate": Command(
        "iterative RL (Algorithm 1): rounds of training, the reward model and the reference renewed between them",
        "method=grpo_ps reward=model run_dir=runs/iterative iterate.iterations=2",
        _iterate,
        sections=("config",),
        goes_on="resume=true",
    ),
    "evaluate": Command(
        "sample from a run's latest checkpoint, or ask a base model with worked examples, and store every response",
        "run=runs/mine samples=64",
        _evaluate,
        EvaluateOptions,
        sections=("evaluation",),
        goes_on="",
        more="What is not given is as in the run's own section `evaluation`. Words of the sections task and data choose other "
        "problems than the run's. A base model: `unified-rl evaluate model=DIR task=gsm8k data.path=FILE style=cot`, greedy "
        "(samples=0) unless samples are asked for (docs/base_models.md).",
    ),
    "compose-data": Command(
        "tokenise the SFT data and say what it is composed of",
        "data.demonstrations='[{path: mine.jsonl}]'",
        _compose_data,
        flags=JSON,
        sections=("config",),
    ),
}
