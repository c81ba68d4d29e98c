"""Our graders and our sandbox inside lm-evaluation-harness: filters that the tasks of `unified-rl export-harness` name.

A filter gets the harness's responses and its documents, and gives for each response what `exact_match` compares with the document's
target: the target itself where the response is right, else our verdict in brackets. The harness need not know how that was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unified_rl.base.types import Task
from unified_rl.stages.solutions import program_runner
from unified_rl.tasks import build_task
from unified_rl.tasks.few_shot_protocol import POT, style_of
from unified_rl.tasks.programs import ProgramAnswers, check_answers

Filter = Callable[[Iterable[Sequence[str]], Sequence[Mapping[str, Any]]], list[list[str]]]
PASSED = "passed"


def answers(name: str, style: str, path: str | Path) -> Filter:
    """The filter of a benchmark of ours: its grader, and for programs the sandbox, in which nothing a model wrote can do harm.

    Args:
        name: of the task. style: cot or pot. path: of the benchmark's files, as in `data.path`.
    """
    problems: dict[str, Any] = {}
    found: list[Task] = []

    def graded(resps: Iterable[Sequence[str]], docs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
        if not found:
            task = build_task(name, path=str(path))
            problems.update({problem.id: problem for problem in task.problems("test")})
            found.append(ProgramAnswers(task, program_runner(False)) if style_of(style).solution == POT else task)
        pairs = [(problems[doc["id"]], text) for texts, doc in zip(resps, docs, strict=True) for text in texts[:1]]
        verdicts = [check.verdict for check in check_answers(found[0], pairs)]
        return [[str(doc["target"]) if said == "correct" else f"({said})"] for said, doc in zip(verdicts, docs, strict=True)]

    return graded


def programs(whole: Callable[[Mapping[str, Any], str], str]) -> Filter:
    """The filter of a benchmark of programs: whether a response's program runs to its end in the sandbox, its tests included.

    Args:
        whole: of a document and a response, the program with its tests.
    """

    def run(resps: Iterable[Sequence[str]], docs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
        texts = [whole(doc, texts[0]) for texts, doc in zip(resps, docs, strict=True)]
        return [[PASSED if result.status == "ok" else f"({result.status})"] for result in program_runner(False).run(texts)]

    return run


def _of_humaneval(doc: Mapping[str, Any], response: str) -> str:
    return f"{doc['prompt']}{response}\n{doc['test']}\ncheck({doc['entry_point']})\n"


def _of_mbpp(doc: Mapping[str, Any], response: str) -> str:
    return "\n".join([response, *doc["test_list"], ""])


humaneval, mbpp = programs(_of_humaneval), programs(_of_mbpp)
