"""The configured form of solutions: what runs a response's programs, and what ends a response. No torch."""

from __future__ import annotations

import sys
from functools import cache

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Generator, ProgramRunner, Tokenizer
from unified_rl.config.schema import Config
from unified_rl.sampling.text_cuts import StoppingGenerator
from unified_rl.sampling.tool_integrated import ToolIntegratedGenerator
from unified_rl.tasks.few_shot import read_examples
from unified_rl.tasks.letters import letters_of
from unified_rl.tasks.templates import FEW_SHOT, NEXT_EXAMPLE, render


def solution_generator(config: Config, generator: Generator, tokenizer: Tokenizer) -> Generator:
    """The generator of the configured solution format: one that runs programs, chooses letters, stops at texts, or as it is."""
    if config.task.solution == "letter_likelihood":
        return _letter_chooser(config, generator)
    if config.task.solution == "tool_integrated":
        runner = program_runner(config.task.allow_unsandboxed)
        generator = ToolIntegratedGenerator(generator, runner, tokenizer, config.task.max_rounds)
    stops = [*config.task.stop, *([NEXT_EXAMPLE] if config.task.template == FEW_SHOT else [])]
    return StoppingGenerator(generator, tokenizer, stops) if stops else generator


def _letter_chooser(config: Config, generator: Generator) -> Generator:
    """Raises ConfigError where the generator does not show its model's log-probabilities of given texts."""
    from unified_rl.sampling.letters import LetterChooser
    from unified_rl.sampling.torch_generator import TorchGenerator

    if not isinstance(generator, TorchGenerator):
        raise ConfigError(
            "task.solution=letter_likelihood reads the log-probabilities of given letters, which "
            f"generator={config.generator.name} does not tell; set generator=torch"
        )
    task = config.task
    examples = read_examples(task.examples, task.shots) if task.examples else None
    return LetterChooser(
        generator, lambda problem: render(problem, task.template, task.solution, examples, task.shots), letters_of
    )


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
