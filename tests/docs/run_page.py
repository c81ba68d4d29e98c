"""Runs a page of the documentation as a reader would, block by block: Python in one namespace, and commands of `unified-rl`.

    python tests/docs/run_page.py PAGE [BEGINNING ...]

Sizes are made small (`SMALL`, `SIZES`): the parts are the real ones, the policies tiny, the steps few. What begins as one of the
BEGINNINGs (a command, or a block of Python) is left out. What stands for the reader's own is that of reader.py.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from docs.pages import ROOT, Block, blocks, named_files
from docs.pages import commands as commands_of

import unified_rl.api as api
from unified_rl.cli import main

SMALL = {
    "model.hidden_size": 64,
    "model.num_heads": 2,
    "model.num_layers": 1,
    "model.intermediate_size": 96,
    "model.vocabulary": 300,
    "sft.demonstrations": 60,
    "sft.steps": 20,
    "sft.sequences_per_step": 16,
    "trainer.steps": 2,
    "rollout.prompts_per_step": 8,
    "rollout.responses_per_prompt": 4,
    "data.prompts": 32,
    "generator.max_new_tokens": 16,
    "evaluation.max_new_tokens": 16,
    "evaluation.samples": 4,
    "evaluation.problems": 4,
    "logging.curve_problems": 4,
    "threads": 1,
    "artifacts": os.environ.get("PAGES_ARTIFACTS", "artifacts"),
}
SAMPLED = {name.removeprefix("evaluation."): value for name, value in SMALL.items() if name.startswith("evaluation.")}
LEARNED = {"prompts": 16, "samples_per_prompt": 4, "completions": 2, "epochs": 1}
TRAINED = SMALL | {f"reward_model.{name}": value for name, value in LEARNED.items()}
SMALL_WORLD = {name: 3000 for name in ("mathematics", "code", "general", "arxiv")} | {"held_out": 12}
#: By command, the sizes that stand in for its own.
SIZES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("train", "grid", "explain"), TRAINED),
    "iterate": TRAINED
    | {"iterate.iterations": 1, "iterate.steps": 2, "iterate.control_steps": 1, "iterate.agreement_problems": 4},
    "pretrain": {name: value for name, value in SMALL.items() if name.startswith(("model.", "threads", "artifacts"))}
    | {f"pretraining.world.{name}": value for name, value in SMALL_WORLD.items()}
    | {
        "pretraining.context_tokens": 128,
        "pretraining.rows_per_step": 4,
        "pretraining.tokens": 1024,
        "pretraining.warmup_steps": 1,
    }
    | {"pretraining.held_out_every": 2, "pretraining.checkpoint_every": 2},
    "evaluate": SAMPLED,
    "microscope": {"responses": 4, "methods": "grpo,rloo"},
    "pass-rate": {"run": "runs/parity", "prompts": 8, "samples": 8, "group": 4, "methods": "grpo,rloo"},
    "reward-models": {"preset": "smoke"},
    "bias-lab": {"methods": "grpo,max_rl"},
    "interval-coverage": {"tables": 4, "seeds": "2", "problems": "20"},
    "corpus": {
        "recall.tokens": "[4000]",
        "recall.rounds": 2,
        "classifier.dim": 8,
        "classifier.buckets": 100,
        "classifier.epochs": 25,
    }
    | {"annotation.by": "nobody", "recall.next_seed": "collected", "classifier.learning_rate": 0.5},
}
#: Words of a command that a size stands in for under another name.
NAMES = {"steps": "trainer.steps"}


def shrunk(words: Sequence[str]) -> list[str]:
    """A command's words with small sizes in place of its own. A plan of a large model stays as large as it is."""
    name, rest = words[0], list(words[1:])
    sizes = dict(SIZES.get(name, {}))
    if any(word.startswith(("stack=", "model=", "model.path=")) for word in rest):
        sizes = {key: value for key, value in sizes.items() if not key.startswith(("model.", "samples"))}
    planned = name == "explain" and any(word.startswith("stack=") for word in rest)
    named = name == "grid" and any("=" not in word and not word.startswith("--") for word in rest)
    if planned or (name == "corpus" and rest[:1] != ["recall"]):
        return [name, *rest]
    if named:
        return [name, *rest, "preset=testing"]
    rest = ["seeds=1" if word.startswith("seeds=") else word for word in _without(rest, sizes)]
    return [name, *rest, *(f"{key}={value}" for key, value in sizes.items())]


def _without(words: list[str], sizes: dict[str, Any]) -> list[str]:
    return [word for word in words if NAMES.get(word.partition("=")[0], word.partition("=")[0]) not in sizes]


def run_command(words: Sequence[str]) -> None:
    """One command of `unified-rl`, its name left out, small; whatever stands where it makes a new run goes."""
    small = shrunk(words)
    print(f"$ unified-rl {' '.join(words)}", flush=True)
    place = {"train": "run_dir", "iterate": "run_dir", "pretrain": "run_dir", "export": "out"}.get(small[0])
    for word in small:
        if place and word.startswith(f"{place}=") and "resume=true" not in small:
            shutil.rmtree(word.removeprefix(f"{place}="), ignore_errors=True)
    status = main(small)
    assert status in (0, None), f"{' '.join(words)} ends with {status}"


def small_calls() -> None:
    """The Python interface with small sizes in place of those that it is given."""
    train, grid, evaluate = api.train, api.grid, api.Run.evaluate

    def sized(settings: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in settings.items() if NAMES.get(name, name) not in SMALL} | SMALL

    api.train = lambda *place, **settings: train(*place, **sized(settings))
    api.grid = lambda *place, seeds=(0,), **settings: grid(*place, seeds=list(seeds)[:1], **sized(settings))
    api.Run.evaluate = lambda run, **settings: evaluate(run, **{**settings, **SAMPLED})


def run(block: Block, namespace: dict[str, Any], left_out: tuple[str, ...]) -> None:
    """Execute a block: Python, or those of its lines that are commands of ours."""
    from docs.reader import in_place

    if block.language == "python" and not block.text.startswith(left_out):
        exec(compile(block.text, str(block), "exec"), namespace)
    for command in commands_of(block.page):
        if command.block == block and command.program == "unified-rl" and not " ".join(command.words).startswith(left_out):
            assert command.words[0] == command.program, f"{command}: this runner knows no settings of the environment"
            run_command(in_place(command.words[1:], str(block.page.relative_to(ROOT))))


if __name__ == "__main__":
    page, *beginnings = sys.argv[1:]
    sys.path.insert(0, "")
    small_calls()
    for name, text in named_files(Path(page)).items():
        Path(name).write_text(text)
    module = sys.modules["page"] = ModuleType("page")
    for one in blocks(Path(page)):
        run(one, vars(module), tuple(beginnings) or ("\0",))
