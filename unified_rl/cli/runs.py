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


@dataclass(frozen=True)
class ExportHarnessOptions:
    """What is written, for which model.

    tasks: benchmarks as NAME or NAME:STYLE (cot, pot, letters; cot unless said otherwise), or mmlu, bbh, humaneval, mbpp. data:
    folder with their files. out: folder for the tasks. model: a Hugging Face directory, for the command that is printed. run:
    instead, a run whose latest checkpoint is taken. shots: worked examples of each; by default the usual number. examples: a file
    of them.
    """

    tasks: list[str]
    data: Path
    out: Path
    model: Path | None = None
    run: Path | None = None
    shots: int | None = None
    examples: str = ""


def _export_harness(call: Call) -> None:
    from unified_rl.adapters.harness_export import export
    from unified_rl.records import runs

    options: ExportHarnessOptions = call.options
    model = options.model
    if options.run is not None:
        if model is not None:
            raise ConfigError("export-harness takes run=DIR, a run of ours, or model=DIR, a Hugging Face folder, and not both")
        checkpoint = runs.latest_checkpoint(options.run)
        if checkpoint is None:
            raise ConfigError(f"{options.run} has no checkpoint; train it first, or give model=DIR")
        model = checkpoint / "policy"
    found = export(options.tasks, options.data, options.out, model, options.shots, options.examples)
    print(f"written to {options.out}: {', '.join(found.names)}")
    if found.command:
        print(f"to run them (pip install 'unified-rl[harness]'):\n\n    {found.command}")


def _train(call: Call) -> None:
    jobs.train(call.words, _page_beside)


def _pretrain(call: Call) -> None:
    jobs.pretrain(call.words)


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
    "pretrain": Command(
        "train on rows of tokens from a weighted mix of sources; resume=true goes on with an interrupted run",
        "mix=tiny run_dir=runs/base",
        _pretrain,
        sections=("config",),
        goes_on="resume=true",
        more="Section pretraining is what counts (`unified-rl pretrain --help pretraining`), and of the others the model and the "
        "trainer. It begins with the last pretrain stage of the chain, model.path=DIR or a model from scratch. The result is a "
        "Hugging Face directory, for model.path.",
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
    "export-harness": Command(
        "write benchmarks as local tasks of lm-evaluation-harness, and print its command",
        "model=DIR tasks=gsm8k,mmlu_stem:letters data=FOLDER out=runs/harness",
        _export_harness,
        ExportHarnessOptions,
    ),
    "compose-data": Command(
        "tokenise the SFT data and say what it is composed of",
        "data.demonstrations='[{path: mine.jsonl}]'",
        _compose_data,
        flags=JSON,
        sections=("config",),
    ),
}
