"""Two records among a thousand that once hung the grader: the batch ends, they are read or time out, and the rest is right."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from tiny import words

from unified_rl.base.types import Prompt, Response
from unified_rl.cli import main
from unified_rl.config.problems import DataConfig, TaskConfig
from unified_rl.config.records import EvaluationConfig
from unified_rl.grading import Grader, Limits, grade
from unified_rl.records.reading import read_evaluation
from unified_rl.rewards import OutcomeReward
from unified_rl.stages.evaluate import COLUMNS, evaluate
from unified_rl.tasks import build_task

COUNT = 1000
#: A truncated solution whose program's output was never closed, and one whose output is closed after many lines.
HANGING = {
    300: "We compute.\n```output\n" + "0 1 2 3 4 5 6 7 8 9\n" * 400,
    700: "```output\n" + "".join(f"{line}\n" for line in range(61)) + "```\nSo it is \\boxed{",
}
#: Nothing stalls any more while it is read; this comparison takes long, as algebra may.
SLOW = ("(a+b+c+d+e+f)^{30}", "The answer is $(f+e+d+c+b+a)^{30}+1$.")


def text(index: int) -> str:
    """Right for even numbers."""
    return HANGING.get(index, f"We add up. The answer is ${index + index % 2}$.")


def expected(index: int) -> str:
    return "incorrect" if index % 2 else "correct"


def check(verdicts: list[str]) -> None:
    assert len(verdicts) == COUNT
    assert {verdicts[index] for index in HANGING} <= {"timeout", "incorrect", "unparsable"}
    assert [index for index in range(COUNT) if index not in HANGING and verdicts[index] != expected(index)] == []


def test_grade():
    graded = grade([{"id": index, "gold": index, "response": text(index)} for index in range(COUNT)], workers=2)
    check([one.verdict for one in graded])


def test_one_slow_comparison_costs_itself_only():
    records = [{"gold": index, "response": text(index)} for index in range(COUNT)]
    records[500] = {"gold": SLOW[0], "response": SLOW[1]}
    graded = grade(records, limits=Limits(seconds=0.5), workers=1)
    assert graded[500].verdict in ("timeout", "incorrect")
    assert [index for index in range(COUNT) if index not in {500, *HANGING} and graded[index].verdict != expected(index)] == []


def test_a_text_that_takes_longer_than_its_limit_is_one_timeout():
    long = "The answer is not " * 2200  # linear, and yet more than the limit below
    with Grader(limits=Limits(seconds=1e-4), workers=1) as hurried:
        assert hurried.check_answers(["5"], [long])[0].verdict == "timeout"
    with Grader(workers=1) as patient:
        assert patient.check_answers(["5"], [long])[0].verdict != "timeout"


@pytest.fixture
def table(tmp_path):
    lines = [json.dumps({"id": str(index), "q": f"What is {index}?", "a": str(index)}) for index in range(COUNT)]
    (tmp_path / "test.jsonl").write_text("\n".join(lines))
    return tmp_path


OPTIONS = {"question": "q", "gold": "a", "id": "id", "grading_workers": 1}


def test_a_reward(table):
    problems = build_task("table", path=table, **OPTIONS).problems("test")
    task = build_task("table", path=table, **OPTIONS)
    prompts = [Prompt(problem, (1,)) for problem in problems]
    responses = [[response(text(index))] for index in range(COUNT)]
    scores = OutcomeReward(task).score(prompts, responses)
    check([group[0].verdict for group in scores])
    assert sum(group[0].reward for group in scores) == COUNT // 2 - len(HANGING)


def response(written: str) -> Response:
    return Response(np.array([1]), np.array([0.0], np.float32), "stop", 0, None, 0, written)


def test_regrade(tmp_path, capsys):
    folder = tmp_path / "run" / "evaluations" / "test"
    folder.mkdir(parents=True)
    fixed = {
        "slice": "main",
        "split": "test",
        "mode": "sample",
        "seed": 1,
        "num_tokens": 3,
        "finish": "stop",
        "policy_version": 0,
    }
    stale = {"answer": "?", "answer_class": "?", "gold_class": "??", "verdict": "incorrect", "sample_index": 0}
    rows = [{"problem_id": f"p{index:04}", "text": text(index), "gold": str(index), **fixed, **stale} for index in range(COUNT)]
    parquet.write_table(pa.Table.from_pylist(rows, schema=COLUMNS), folder / "samples.parquet")
    meta = {"schema": 1, "method": "grpo", "label": "GRPO", "seed": 0, "step": 1, "decoding": {}, "complete": True}
    (folder / "meta.json").write_text(json.dumps({**meta, "samples_per_problem": 1, "problems": {"main": COUNT}}))
    assert main(["regrade", f"run={tmp_path / 'run'}", "name=test", "policy=default", "workers=1"]) == 0
    samples, _ = read_evaluation(folder)
    check(list(samples["verdict"]))


class Writing:
    """A generator whose responses have other texts, by problem; all else is the real policy's."""

    def __init__(self, generator):
        self._generator = generator

    def generate(self, prompts, seeds, decoding, policy_version):
        groups = self._generator.generate(prompts, seeds, decoding, policy_version)
        return [
            [replace(one, text=text(int(prompt.problem.gold)), finish="stop") for one in group]
            for prompt, group in zip(prompts, groups, strict=True)
        ]


def test_evaluate(table, tmp_path, monkeypatch):
    assert main(["train", *words("grpo", tmp_path / "run", tmp_path / "artifacts", "trainer.steps=1")]) == 0
    monkeypatch.setattr("unified_rl.stages.evaluate.solution_generator", lambda config, sampler, tokenizer: Writing(sampler))
    task = TaskConfig("table", "{question}:", options=OPTIONS)
    options = EvaluationConfig(problems=0, samples=0, max_new_tokens=1)
    samples, _ = read_evaluation(evaluate(tmp_path / "run", options, "hanging", task=task, data=DataConfig(str(table))))
    samples = samples[samples["mode"] == "greedy"].assign(index=lambda rows: rows["gold"].astype(int)).sort_values("index")
    check(list(samples["verdict"]))
