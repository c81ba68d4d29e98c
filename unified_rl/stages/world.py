"""The task of a configuration, and its problems as the policy is given them. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import SPLITS, Problem, Prompt, Split, Task, Tokenizer
from unified_rl.config.schema import Config
from unified_rl.records.progress import announce
from unified_rl.stages.solutions import program_runner
from unified_rl.tasks import build_task, templates
from unified_rl.tasks.checked import checked
from unified_rl.tasks.few_shot import read_examples
from unified_rl.tasks.letters import LetterAnswers
from unified_rl.tasks.programs import ProgramAnswers
from unified_rl.tasks.reading import refuse
from unified_rl.tasks.templates import CHAT, encode


def make_task(config: Config) -> Task:
    """The configured task. Raises ConfigError or DataError naming the field at fault."""
    task = problems_task(config)
    if ":" in config.task.name:
        task = checked(task)
    if config.task.solution == "program_of_thought":
        return ProgramAnswers(task, program_runner(config.task.allow_unsandboxed))
    return LetterAnswers(task) if config.task.solution == "letter_likelihood" else task


def problems_task(config: Config) -> Task:
    """The task that reads the problems, without what runs the programs of their solutions. Raises as `make_task`."""
    options = dict(config.task.options)
    if config.data.path:
        options["path"] = config.data.path
    return build_task(config.task.name, **options)


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


def split_of(name: str) -> Split:
    """The split of that name, one that the configuration has let through."""
    return next(split for split in SPLITS if split == name)


def response_end(tokenizer: Tokenizer, config: Config) -> int:
    """The id that ends a demonstration, and a response. Raises ConfigError where the model names none."""
    end = templates.response_end(tokenizer, config.task.template)
    if end is None:
        raise ConfigError(
            "neither the model's tokenizer nor its generation_config.json nor its config.json names an eos_token_id, so that no "
            "response could end; set it in one of them"
        )
    return int(end)


def shown_prompt(task: Task, tokenizer: Tokenizer, config: Config) -> dict[str, str]:
    """The first training prompt as the model's chat template renders it today: such a template may hold the date. Else {}."""
    if config.task.template != CHAT:
        return {}
    (prompt,) = as_prompts(list(task.problems("train", 1)), tokenizer, config)
    return {"first_prompt": tokenizer.decode(list(prompt.token_ids), skip_special_tokens=False)}


def fitting(
    prompts: Sequence[Prompt], context: int | None, new_tokens: int, config: Config, written: Mapping[str, int] | None = None
) -> list[Prompt]:
    """The prompts that leave room for a response in the model's context.

    Args:
        new_tokens: of a response that is to be sampled. written: by prompt, of responses that are there, in its place.

    Raises:
        DataError: some do not, and `data.too_long` does not say to drop them; or none does.
    """
    wanted = [written[prompt.id] if written else new_tokens for prompt in prompts]
    long = [prompt for prompt, new in zip(prompts, wanted, strict=True) if context and len(prompt.token_ids) > context - new]
    if not long:
        return list(prompts)
    named = ", ".join(f"{prompt.id!r:.60} ({len(prompt.token_ids)} tokens)" for prompt in long[:5])
    what, remedy = ("their responses", "") if written else (f"{new_tokens} tokens", "lower max_new_tokens, ")
    said = f"{len(long)} of {len(prompts)} prompts leave no room for {what} in a context of {context}: {named}"
    if config.data.too_long == "refuse" or len(long) == len(prompts):
        raise DataError(f"{said}; shorten them, {remedy}or leave them out with data.too_long=drop")
    announce(f"{said}; left out (data.too_long=drop)")
    kept = set(map(id, prompts)) - set(map(id, long))
    return [prompt for prompt in prompts if id(prompt) in kept]


def as_prompts(problems: list[Problem], tokenizer: Tokenizer, config: Config) -> list[Prompt]:
    """Problems through the template and the tokenizer. Raises DataError, of all of them that cannot be."""
    task = config.task
    examples = read_examples(task.examples, task.shots) if task.examples else None
    made, wrong = [], []
    for problem in problems:
        try:
            made.append(encode(problem, tokenizer, task.template, task.solution, examples, task.shots))
        except DataError as error:
            wrong.append(str(error))
    refuse(wrong)
    return made
