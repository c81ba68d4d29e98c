"""Runs a page of the documentation as a reader would, block by block: Python in one namespace, and commands of `unified-rl`.

    python tests/docs/run_page.py PAGE [BEGINNING ...]

Sizes are made small (`SMALL`): the parts are the real ones, the policies tiny, the steps few. What begins as one of the BEGINNINGs
(a command, or a block of Python) is left out.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from docs.pages import Block, blocks, named_files
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
#: Commands that train and so take every size, and words of a command that a size stands in for.
TRAINING = ("train", "iterate", "grid", "explain")
NAMES = {"steps": "trainer.steps"}


def shrunk(words: tuple[str, ...]) -> list[str]:
    """A command's words with small sizes in place of its own."""
    name, rest = words[0], list(words[1:])
    if name == "evaluate":
        return [name, *_without(rest, SAMPLED), *(f"{key}={value}" for key, value in SAMPLED.items())]
    if name not in TRAINING or any("=" not in word and not word.startswith("--") for word in rest):
        return [name, *rest]
    rest = ["seeds=1" if word.startswith("seeds=") else word for word in _without(rest, SMALL)]
    return [name, *rest, *(f"{key}={value}" for key, value in SMALL.items())]


def _without(words: list[str], sizes: dict[str, Any]) -> list[str]:
    return [word for word in words if NAMES.get(word.partition("=")[0], word.partition("=")[0]) not in sizes]


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
    if block.language == "python" and not block.text.startswith(left_out):
        exec(compile(block.text, str(block), "exec"), namespace)
    for command in commands_of(block.page):
        line = " ".join(command.words)
        if command.block == block and command.words[0] == "unified-rl" and not line.startswith(left_out):
            print(f"$ {line}", flush=True)
            status = main(shrunk(command.words[1:]))
            assert status in (0, None), f"{command} ends with {status}"


if __name__ == "__main__":
    page, *beginnings = sys.argv[1:]
    sys.path.insert(0, "")
    small_calls()
    for name, text in named_files(Path(page)).items():
        Path(name).write_text(text)
    module = sys.modules["page"] = ModuleType("page")
    for one in blocks(Path(page)):
        run(one, vars(module), tuple(beginnings) or ("\0",))
