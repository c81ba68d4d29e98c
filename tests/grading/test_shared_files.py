"""The graders' test cases collected from the field, and the gold answers of the benchmarks, where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unified_rl.cli import main
from unified_rl.grading import Grader, GradingPolicy, benchmark_policy, extract
from unified_rl.tasks.gsm8k import extract_answer, parse_number

SHARED = Path(__file__).parents[3] / "shared"

pytestmark = pytest.mark.skipif(
    not (SHARED / "graders").is_dir(), reason="needs the files in ../shared, which are not part of the project"
)


def rows(path: str) -> list[dict]:
    return [json.loads(line) for line in (SHARED / path).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def grader():
    with Grader(workers=2) as made:
        yield made


def run(name: str, capsys) -> list[dict]:
    assert main(["grade", str(SHARED / "graders" / name), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_equivalence_cases(capsys):
    cases, graded = rows("graders/equivalence_cases.jsonl"), run("equivalence_cases.jsonl", capsys)
    assert [case["id"] for case in cases] == [one["id"] for one in graded]
    plain = [(case, one) for case, one in zip(cases, graded, strict=True) if not case["disputed"]]
    right = [case["expected"] == one["correct"] for case, one in plain]
    false_positives = [case["id"] for case, one in plain if one["correct"] and not case["expected"]]
    assert sum(right) >= 0.97 * len(plain)
    assert len(false_positives) <= 1, false_positives


def test_cases_where_every_token_counts(capsys):
    cases, graded = rows("graders/cases_2026_11.jsonl"), run("cases_2026_11.jsonl", capsys)
    plain = [(case, one) for case, one in zip(cases, graded, strict=True) if not case.get("disputed")]
    wrong = [(case, one["extracted"]) for case, one in plain if case["expected"] != one["correct"]]
    false_positives = [case for case, _ in wrong if not case["expected"]]
    assert len(wrong) <= 0.03 * len(plain), wrong
    assert len(false_positives) <= 0.01 * sum(not case["expected"] for case, _ in plain), false_positives


def test_extraction_cases(capsys, grader):
    cases, graded = rows("graders/extraction_cases.jsonl"), run("extraction_cases.jsonl", capsys)
    right = 0
    for case, one in zip(cases, graded, strict=True):
        if case["expected"] is None or case["match"] == "exact":
            right += one["extracted"] == case["expected"]
        else:
            right += grader.judge([(case["expected"], one["extracted"])])[0][0] == "correct"
    assert right >= 0.97 * len(cases)


@pytest.mark.parametrize(
    ("path", "field", "count"),
    [("gsm8k_test.jsonl", "answer", 1319), ("math_test.jsonl", "answer", 5000), ("cmath_test.jsonl", "golden", 1098)],
)
def test_gold_answers_equal_themselves(path, field, count, grader):
    golds = [str(row[field]) for row in rows(f"data/{path}")]
    assert len(golds) == count
    spaced = [f" {gold} ." for gold in golds[:300]]  # not the same string: through the rules
    verdicts = grader.judge([*zip(golds, golds, strict=True), *zip(golds[:300], spaced, strict=True)])
    assert {verdict for verdict, _ in verdicts} == {"correct"}


def test_solutions_give_their_gold_answers():
    with Grader(benchmark_policy("math"), workers=2) as grader:
        for path in ("math_test.jsonl", "ocw_test.jsonl"):
            solutions = rows(f"data/{path}")
            checks = grader.check_answers([str(row["answer"]) for row in solutions], [row["solution"] for row in solutions])
            assert [row["id"] for row, check in zip(solutions, checks, strict=True) if check.verdict != "correct"] == []
    gsm8k = rows("data/gsm8k_test.jsonl")
    assert all(extract(f"{row['solution']}\n#### {row['answer']}") == row["answer"] for row in gsm8k)


def test_real_traces_with_programs(grader):
    traces = rows("data/tora70b_gsm8k_test_traces.jsonl")
    checks = grader.check_answers([row["gt"] for row in traces], [row["code"][0] for row in traces])
    stored = grader.judge([(row["gt"], str(row["pred"][0])) for row in traces])
    assert [check.verdict == "correct" for check in checks] == [verdict == "correct" for verdict, _ in stored]


def test_agreement_with_the_gsm8k_task():
    traces = rows("data/tora70b_gsm8k_test_traces.jsonl")
    with Grader(GradingPolicy(unmarked="refuse"), workers=2) as marked:
        checks = marked.check_answers([row["gt"] for row in traces], [row["code"][0] for row in traces])
    for row, check in zip(traces, checks, strict=True):
        value = extract_answer(row["code"][0])
        assert (check.verdict == "correct") == (value is not None and value == parse_number(row["gt"])), row["idx"]
