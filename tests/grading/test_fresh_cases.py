"""Cases of every kind of false verdict that is known, written for this project: each wrong answer beside a right respelling.

`fresh_cases.jsonl` can be graded as it stands (`unified-rl grade`). `disputed` marks cases on which a documented policy may decide
either way; they are graded, and not counted.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from unified_rl.grading import Grader
from unified_rl.grading.grade import Verdicted, grade_with

CASES = [json.loads(line) for line in (Path(__file__).parent / "fresh_cases.jsonl").read_text(encoding="utf-8").splitlines()]
COUNTED = [not case.get("disputed", False) for case in CASES]
LEAST_RIGHT = 0.97  # share of the counted cases
MOST_FALSE_POSITIVES = 0.01  # share of the counted cases whose answer is wrong


@pytest.fixture(scope="module")
def graded() -> list[Verdicted]:
    with Grader(workers=1) as grader:
        return grade_with(grader, CASES)


def wrong(graded: list[Verdicted]) -> list[tuple[dict, Verdicted]]:
    """Counted cases with a false verdict."""
    pairs = zip(CASES, graded, COUNTED, strict=True)
    return [(case, one) for case, one, counted in pairs if counted and one.correct != case["expected"]]


def report(failures: list[tuple[dict, Verdicted]]) -> str:
    """The failures kind by kind, false positives first."""
    sizes = Counter(case["kind"] for case, counted in zip(CASES, COUNTED, strict=True) if counted)
    lines = []
    for kind in sorted({case["kind"] for case, _ in failures}):
        of_kind = sorted(
            (f"  {'called correct' if one.correct else 'called wrong'}: {line(case, one)}", case["id"])
            for case, one in failures
            if case["kind"] == kind
        )
        lines += [f"{kind}: {len(of_kind)} of {sizes[kind]}", *(text for text, _ in of_kind)]
    return "\n".join(lines)


def line(case: dict, one: Verdicted) -> str:
    answer = case["prediction"] if "prediction" in case else f"{case['response']!r}, extracted {one.extracted!r}"
    return f"{case['id']}  {case['gold']}  /  {answer}  ({one.verdict})"


def test_cases_are_many_and_of_both_signs():
    assert len({case["id"] for case in CASES}) == len(CASES) >= 500
    texts = [(case["gold"], case.get("prediction"), case.get("response")) for case in CASES]
    assert len(set(texts)) == len(texts)
    signs: dict[str, set[bool]] = {}
    for case in CASES:
        assert ("prediction" in case) != ("response" in case), case["id"]
        signs.setdefault(case["kind"], set()).add(case["expected"])
    assert [kind for kind, both in signs.items() if both != {True, False}] == []


def test_verdicts_are_right(graded):
    failures = wrong(graded)
    assert len(failures) <= (1 - LEAST_RIGHT) * sum(COUNTED), report(failures)


def test_wrong_answers_are_not_called_correct(graded):
    false_positives = [(case, one) for case, one in wrong(graded) if one.correct]
    negatives = sum(counted and not case["expected"] for case, counted in zip(CASES, COUNTED, strict=True))
    assert len(false_positives) <= MOST_FALSE_POSITIVES * negatives, report(false_positives)
