"""Program of thought: which program a response holds, and how what it prints is graded."""

from __future__ import annotations

import json

import pytest
from plain_runner import PlainRunner

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Problem
from unified_rl.tasks import build_task
from unified_rl.tasks.programs import ProgramAnswers, find_program


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    (folder / "test.jsonl").write_text(json.dumps({"q": "How many jars?", "a": "75"}) + "\n")
    inner = build_task("table", path=folder, question="q", gold="a", grading_workers=1)
    yield ProgramAnswers(inner, PlainRunner())
    inner.close()


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\nprint(1)\n```", "print(1)\n"),
        ("First:\n```python\nx = 1\n```\nBetter:\n```python\nprint(2)\n```\nDone.", "print(2)\n"),
        ("```\nprint(1)\n```", "print(1)\n"),
        ("print(1)\nprint(2)", "print(1)\nprint(2)"),
        ("print(1)\n```\nThat is all.", "print(1)\n"),  # the prompt opened the block
        ("```python\nprint('```')\n```", "print('```')\n"),
        ("```python\nprint(1)", "print(1)"),
        ("```python\n\n```", ""),
        ("", ""),
        ("x" * 30_000, ""),
    ],
)
def test_the_program_of_a_response(text, program):
    assert find_program(text) == program


def test_what_the_programs_print_is_graded_in_one_run(task):
    problem = task.problems("test")[0]
    programs = ["print(6 * 14 - 9)", "print('so')\nprint(75.0)\n\n", "print(74)", "x = 75", "1 / 0", "while True: pass", ""]
    checks = task.check_answers([(problem, f"```python\n{program}\n```") for program in programs])
    assert [check.verdict for check in checks] == [
        "correct",
        "correct",
        "incorrect",
        "unparsable",
        "unparsable",
        "timeout",
        "unparsable",
    ]
    assert [check.answer for check in checks] == ["75", "75.0", "74", None, None, None, None]
    assert task.check_answer(problem, "print(75)").verdict == "correct"
    assert [len(call) for call in task._runner.calls] == [6, 1]


def test_a_task_that_grades_one_by_one_serves_too(tmp_path):
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": "q", "answer": "#### 5"}) + "\n")
    task = ProgramAnswers(build_task("gsm8k", path=tmp_path), PlainRunner())
    checks = task.check_answers([(Problem("p", "q", "5"), "print(2 + 3)"), (Problem("p", "q", "5"), "print(6)")])
    assert [check.verdict for check in checks] == ["correct", "incorrect"]


def test_what_programs_do_not_have_is_refused(task):
    with pytest.raises(ConfigError, match="init=base"):
        task.demonstrations(1)
    with pytest.raises(ConfigError, match=r"reward\.supervision=outcome"):
        task.check_steps(task.problems("test")[0], "print(1)")
