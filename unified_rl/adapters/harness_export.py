"""Local tasks for lm-evaluation-harness (extra `harness`), of the benchmarks' files: `unified-rl export-harness`.

    OUT/NAME.yaml          a task, which the harness finds by --include_path OUT
    OUT/data/NAME.jsonl    its documents; NAME_shots.jsonl its worked examples
    OUT/graded.py          the filters that grade as we do (`adapters.harness`)

The harness puts the prompts together by itself, from documents and worked examples. Each task of ours gives two numbers: `graded`,
by our grader (and for programs our sandbox), and where an answer is a number or a letter `plain`, by a pattern and a comparison of
texts that need nothing of ours. Nothing is fetched.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_rl.adapters import harness_others
from unified_rl.adapters.harness_files import PREFIX, HarnessTask, raw, write_task
from unified_rl.base import files
from unified_rl.base.errors import ConfigError, RunDirectoryError
from unified_rl.base.types import Problem
from unified_rl.tasks import build_task
from unified_rl.tasks.benchmarks import BENCHMARKS
from unified_rl.tasks.few_shot import read_examples, worked_examples
from unified_rl.tasks.few_shot_protocol import BY_LETTER, shots_of, style_of
from unified_rl.tasks.letters import LetterAnswers, letters_of
from unified_rl.tasks.templates import NEXT_EXAMPLE
from unified_rl.tasks.worked_examples import Example

#: The last number behind a mark, and the last letters in a box, as the `plain` numbers read them.
NUMBER = (
    r"(?:####|\\boxed\{|[Tt]he (?:final )?answer is|答案是)\s*[:：]?\s*(?:\\?[$￥¥])?\s*"
    r"(-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|-?\.[0-9]+)"
)
LETTER = r"\\boxed\{\s*\(?([A-H]{1,8})\)?\s*\}"
EXACT = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "regexes_to_ignore": [",", "\\.$"]}


@dataclass(frozen=True)
class Exported:
    """What was written. names: of the tasks. command: runs them; "" where no model was named."""

    names: tuple[str, ...]
    command: str


def export(
    tasks: Sequence[str], data: Path, out: Path, model: Path | None = None, shots: int | None = None, examples: str = ""
) -> Exported:
    """Write tasks of the harness.

    Args:
        tasks: benchmarks as NAME or NAME:STYLE (cot unless said otherwise), or mmlu, bbh, humaneval, mbpp. data: the folder with
            their files. shots: worked examples; None = the usual number. examples: a file of them; "" = the built-in ones.

    Raises:
        ConfigError: an unknown task or style. DataError: files that are not there or not readable. RunDirectoryError: `out` holds
            something else.
    """
    if out.exists() and not (out / "graded.py").exists() and any(out.iterdir()):
        raise RunDirectoryError(f"{out} holds something else; choose another out=DIR")
    made: list[HarnessTask] = []
    for word in tasks:
        name, _, style = word.partition(":")
        if name in harness_others.MAKERS and not style:
            made += harness_others.MAKERS[name](data)
        elif name in ("gsm8k", *BENCHMARKS):
            made.append(_of_benchmark(name, style or "cot", data, shots, examples))
        else:
            known = ", ".join(["gsm8k", *BENCHMARKS, *harness_others.MAKERS])
            raise ConfigError(f"tasks={word} is no task that can be exported; choose from {known} (NAME:STYLE)")
    with files.disk_errors(out):
        for task in made:
            write_task(out, task)
        files.write_text(out / "graded.py", _module(made))
    names = tuple(task.name for task in made if not task.part_of_group)
    return Exported(names, _command(names, out, model) if model else "")


def _of_benchmark(name: str, style_name: str, data: Path, shots: int | None, examples: str) -> HarnessTask:
    style = style_of(style_name)
    task = build_task(name, path=str(data))
    letters = style.solution == BY_LETTER
    problems = (LetterAnswers(task) if letters else task).problems("test")
    first = problems[0]
    count = shots_of(name, style_name)[0] if shots is None else shots
    shown = _shown(first, style.solution, count, examples) if shots != 0 else ()
    facts: dict[str, Any] = {"num_fewshot": len(shown), "metadata": {"version": 1.0, "style": style_name}}
    if letters:
        return _by_letter(f"{name}_{style_name}", problems, shown, facts)
    facts |= {
        "output_type": "generate_until",
        "doc_to_text": "Problem: {{question}}\nSolution:",
        "doc_to_target": "{{target}}",
        "generation_kwargs": {"until": [NEXT_EXAMPLE], "max_gen_toks": style.max_new_tokens, "do_sample": False},
        "filter_list": raw(_filters(f"{name}_{style_name}", "" if style_name == "pot" else _plain_pattern(name))),
        "metric_list": [EXACT],
    }
    docs = [{"id": problem.id, "question": problem.question, "target": problem.gold} for problem in problems]
    made = [{"id": f"shot {index}", "question": one.question, "target": one.solution} for index, one in enumerate(shown)]
    call = f"answers({name!r}, {style_name!r}, {str(data.resolve())!r})"
    return HarnessTask(f"{PREFIX}{name}_{style_name}", facts, docs, made, {f"{name}_{style_name}": call})


def _shown(problem: Problem, solution: str, count: int, examples: str) -> tuple[Example, ...]:
    """The worked examples of a task."""
    if examples:
        return read_examples(examples, count)
    language = "zh" if problem.info.get("language") == "zh" else "en"
    return worked_examples(solution, language, choice=problem.info.get("format") == "choice", count=count)


def _by_letter(name: str, problems: Sequence[Problem], shown: Iterable[Example], facts: Mapping[str, Any]) -> HarnessTask:
    docs = [
        {"id": problem.id, "question": problem.question, "letters": letters, "target": _index(problem.gold, letters)}
        for problem in problems
        for letters in [[letter.strip() for letter in letters_of(problem)]]
    ]
    made = [
        {"id": f"shot {index}", "question": one.question, "letters": list("ABCDEFGH"), "target": "ABCDEFGH".index(one.solution)}
        for index, one in enumerate(shown)
    ]
    return HarnessTask(f"{PREFIX}{name}", {**facts, **harness_others.BY_LETTER}, docs, made)


def _index(gold: str, letters: Sequence[str]) -> int:
    """The place of the right letter; that of no letter where there are several right ones."""
    return letters.index(gold) if gold in letters else len(letters)


def _plain_pattern(name: str) -> str:
    """The pattern of the `plain` number; "" where answers are more than a number or a letter."""
    if name == "gsm8k" or BENCHMARKS[name].gold_form == "number":
        return NUMBER
    return LETTER if BENCHMARKS[name].format == "choice" else ""


def _filters(function: str, pattern: str) -> str:
    """filter_list, as YAML."""
    graded = f'{{"name": "graded", "filter": [{{"function": "custom", "filter_fn": !function graded.{function}}}, {_FIRST}]}}'
    regex = json.dumps({"function": "regex", "regex_pattern": pattern, "group_select": -1}, ensure_ascii=False)
    return f'[{graded}, {{"name": "plain", "filter": [{regex}, {_FIRST}]}}]' if pattern else f"[{graded}]"


_FIRST = '{"function": "take_first"}'


def _module(tasks: Sequence[HarnessTask]) -> str:
    """graded.py: the filters by name."""
    lines = [f"{name} = {call}" for task in tasks for name, call in task.functions.items()]
    imports = "from unified_rl.adapters.harness import answers, humaneval, mbpp  # noqa: F401"
    return "\n".join(
        ['"""Filters of the tasks beside this file, written by `unified-rl export-harness`."""', imports, "", *lines, ""]
    )


def _command(names: Sequence[str], out: Path, model: Path) -> str:
    """The harness's own command for the tasks."""
    words = ["lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32"]
    words += ["--include_path", str(out), "--tasks", ",".join(names), "--batch_size", "1", "--log_samples"]
    return shlex.join([*words, "--output_path", str(out / "results")])
