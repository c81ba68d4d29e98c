"""Exported tasks as files: what stands in them, what is refused, and the filters that grade as we do. No harness is needed."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from plain_runner import PlainRunner

from unified_rl.adapters import harness, harness_others
from unified_rl.adapters.harness_export import export
from unified_rl.adapters.harness_files import HarnessTask
from unified_rl.base.errors import ConfigError, DataError, RunDirectoryError
from unified_rl.cli import main
from unified_rl.tasks.few_shot import worked_examples


def lines(path: Path, *records: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def facts(path: Path) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in path.read_text().splitlines())


@pytest.fixture
def data(tmp_path) -> Path:
    folder = tmp_path / "data"
    lines(folder / "gsm8k_test.jsonl", {"question": "2 + 2?", "answer": "#### 4"}, {"question": "3 + 3?", "answer": "#### 6"})
    lines(
        folder / "gaokao_mathqa.jsonl",
        {"question": "1+1", "options": ["(A)2", "(B)3"], "label": "A"},
        {"question": "偶数", "options": ["(A)2", "(B)4"], "label": "A B"},
    )
    return folder


def test_documents_and_worked_examples(data, tmp_path, capsys):
    line = ["tasks=gsm8k,gaokao_mathqa:letters", f"data={data}", f"out={tmp_path / 'out'}", f"model={tmp_path / 'm'}"]
    assert main(["export-harness", *line]) == 0
    assert (
        f"--include_path {tmp_path / 'out'} --tasks unified_rl_gsm8k_cot,unified_rl_gaokao_mathqa_letters"
        in capsys.readouterr().out
    )
    of_task = facts(tmp_path / "out" / "unified_rl_gsm8k_cot.yaml")
    assert of_task["num_fewshot"] == "8" and json.loads(of_task["generation_kwargs"])["until"] == ["\n\nProblem:"]
    assert "!function graded.gsm8k_cot" in of_task["filter_list"] and '"plain"' in of_task["filter_list"]
    shown = [
        json.loads(line) for line in (tmp_path / "out" / "data" / "unified_rl_gsm8k_cot_shots.jsonl").read_text().splitlines()
    ]
    examples = worked_examples("chain_of_thought", "en", choice=False)
    assert [(shot["question"], shot["target"]) for shot in shown] == [(one.question, one.solution) for one in examples]
    path = tmp_path / "out" / "data" / "unified_rl_gaokao_mathqa_letters.jsonl"
    docs = [json.loads(line) for line in path.read_text().splitlines()]
    assert [doc["target"] for doc in docs] == [0, 2], "several right letters are no letter's place"
    assert docs[0]["question"] == "1+1\nA. 2\nB. 3\n答案："
    assert export(["gsm8k"], data, tmp_path / "out", shots=0).names == ("unified_rl_gsm8k_cot",)
    assert "fewshot_split" not in facts(tmp_path / "out" / "unified_rl_gsm8k_cot.yaml")


def test_the_written_filters_grade_as_we_do(data, tmp_path):
    export(["gsm8k"], data, tmp_path / "out")
    graded = runpy.run_path(str(tmp_path / "out" / "graded.py"))["gsm8k_cot"]
    docs = [{"id": f"gsm8k/test/{place}", "target": gold} for place, gold in enumerate(("4", "6"))]
    assert graded([["So \\boxed{4.0}."], ["#### 7"]], docs) == [["4"], ["(incorrect)"]]
    assert graded([["hm"], ["The answer is 6."]], docs) == [["(unparsable)"], ["6"]]


def test_programs_run_with_their_tests_in_the_sandbox(monkeypatch):
    monkeypatch.setattr(harness, "program_runner", lambda allow: PlainRunner())
    human = {"prompt": "def twice(x):\n", "test": "def check(f):\n    assert f(2) == 4\n", "entry_point": "twice"}
    assert harness.humaneval([["    return 2 * x"], ["    return x"]], [human, human]) == [["passed"], ["(error)"]]
    mbpp = {"test_list": ["assert one() == 1"]}
    assert harness.mbpp([["def one():\n    return 1"], ["def one():\n    return 2"]], [mbpp, mbpp]) == [["passed"], ["(error)"]]


def test_mmlu_by_subject(tmp_path):
    record = {"question": "1+1?", "choices": ["2", "3"], "answer": 0, "subject": "elementary_mathematics"}
    lines(tmp_path / "mmlu_test.jsonl", record, record | {"answer": "B", "subject": "astronomy"})
    with pytest.raises(DataError, match=r"mmlu_dev\.jsonl"):
        harness_others.mmlu(tmp_path)
    lines(tmp_path / "mmlu_dev.jsonl", *[record] * 5, record | {"subject": "astronomy"})
    first, second, group = harness_others.mmlu(tmp_path)
    assert (first.name, first.facts["num_fewshot"], first.docs[0]["target"]) == ("unified_rl_mmlu_astronomy", 1, 1)
    assert "about elementary mathematics." in second.facts["description"] and len(second.shots) == 5
    assert group.facts["task"] == [first.name, second.name] and group.docs is None
    assert export(["mmlu"], tmp_path, tmp_path / "out").names == ("unified_rl_mmlu",)
    lines(tmp_path / "mmlu_test.jsonl", record | {"answer": 2})
    with pytest.raises(DataError, match="line 1: MMLU needs"):
        harness_others.mmlu(tmp_path)


def test_code_benchmarks_where_their_files_are(tmp_path):
    with pytest.raises(DataError, match="humaneval found no data"):
        harness_others.humaneval(tmp_path)
    lines(tmp_path / "HumanEval.jsonl", {"prompt": "def f():", "test": "", "entry_point": "f", "task_id": "HumanEval/0"})
    (task,) = harness_others.humaneval(tmp_path)
    assert isinstance(task, HarnessTask) and task.docs == [
        {"prompt": "def f():", "test": "", "entry_point": "f", "target": "passed"}
    ]
    problems = [{"task_id": n, "text": "t", "code": "c", "test_list": ["a", "b", "c"]} for n in (2, 3, 4, 11, 511)]
    lines(tmp_path / "mbpp.jsonl", *problems)
    (task,) = harness_others.mbpp(tmp_path)
    assert [doc["task_id"] for doc in task.docs] == [11] and [shot["target"] for shot in task.shots] == ["c\n[DONE]"] * 3
    lines(tmp_path / "mbpp.jsonl", *problems[1:])
    with pytest.raises(DataError, match="lacks problems"):
        harness_others.mbpp(tmp_path)


def test_what_is_refused(data, tmp_path, capsys):
    for tasks, says in {"gsm9k": "is no task", "gsm8k:letters": "is for multiple choice", "gsm8k:pott": "style='pott'"}.items():
        with pytest.raises(ConfigError, match=says):
            export([tasks], data, tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(RunDirectoryError, match="holds something else"):
        export(["gsm8k"], data, tmp_path / "mine")
    line = ["export-harness", "tasks=gsm8k", f"data={data}", f"out={tmp_path / 'out'}"]
    assert main([*line, "model=a", "run=b"]) == 2
    assert "not both" in capsys.readouterr().err
