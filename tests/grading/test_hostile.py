"""Hostile answers and responses: none executes anything, stalls or crashes the grader, or touches the items beside it."""

from __future__ import annotations

import resource
import time

import hostile
import pytest

from unified_rl.grading import Grader, GradingPolicy, Limits, extract
from unified_rl.grading.grade import grade_with

LIMITS = Limits(seconds=1.0, memory_bytes=1 << 30)
HONEST = [("\\frac{1}{2}", "0.5 ", True), ("x+1", "1 + x", True), ("(1,2)", "(2,1)", False), ("72", "72 apples", True)]


@pytest.fixture(scope="module")
def grader():
    with Grader(limits=LIMITS, workers=2) as made:
        yield made


def test_hostile_predictions(grader, tmp_path):
    canary = tmp_path / "canary"
    attacks = hostile.predictions(str(canary))
    assert len(attacks) >= 60
    records = []
    for index, attack in enumerate(attacks):
        gold, prediction, _ = HONEST[index % len(HONEST)]
        records += [{"id": index, "gold": "42", "prediction": attack}, {"id": "honest", "gold": gold, "prediction": prediction}]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    graded = grade_with(grader, records)
    seconds = time.monotonic() - start
    assert not canary.exists()
    assert [one.id for one in graded[::2]] == list(range(len(attacks)))
    assert [one.correct for one in graded[::2]] == [False] * len(attacks)
    assert [one.correct for one in graded[1::2]] == [HONEST[index % len(HONEST)][2] for index in range(len(attacks))]
    assert {one.verdict for one in graded[::2]} <= {"incorrect", "unparsable", "timeout"}
    assert seconds < len(attacks) * (LIMITS.seconds + 1)  # what the limits promise; far less in fact
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def test_hostile_gold_answers_are_no_worse(grader, tmp_path):
    canary = tmp_path / "canary"
    golds = [attack[:2000] for attack in hostile.predictions(str(canary))]
    graded = grade_with(grader, [{"gold": gold, "prediction": "17 + x^3"} for gold in golds])
    assert not canary.exists()
    assert not any(one.correct for one in graded)


def test_hostile_answers_have_classes(grader, tmp_path):
    canary = tmp_path / "canary"
    attacks = hostile.predictions(str(canary))
    names = grader.classes([*attacks, "1/2"])
    assert not canary.exists()
    assert names[-1] == "1/2"
    assert all(name is None or 0 < len(name) <= 2100 for name in names)


@pytest.mark.parametrize("response", hostile.RESPONSES, ids=range(len(hostile.RESPONSES)))
@pytest.mark.parametrize("format", ["auto", "choice"])
def test_extraction_is_linear(response, format):
    start = time.process_time()
    answer = extract(response, format)
    assert time.process_time() - start < 2.0  # a quadratic pattern takes minutes on these
    assert answer is None or len(answer) <= 3000


def test_hostile_responses(grader):
    records = [{"gold": "42", "response": response} for response in hostile.RESPONSES]
    assert not any(one.correct for one in grade_with(grader, records))


def test_naming_many_answers_is_not_naming_the_right_one(grader):
    many = ", ".join(str(n) for n in range(100))
    guesses = [
        f"The answer is {many}",
        " ".join(f"\\boxed{{{n}}}" for n in range(100)),
        ", ".join(f"$\\boxed{{{n}}}$" for n in range(20)),
        "\\boxed{1 \\text{ or } 42 \\text{ or } 7}",
        "\\boxed{42 \\pm 1}",
        "\\boxed{x}",
        "\\boxed{\\text{the correct answer}}",
        "\\boxed{(-\\infty, \\infty)}",
        "\\boxed{42 = 43}",
        "\\boxed{4?}",
    ]
    for policy in (GradingPolicy(), GradingPolicy(boxes="last")):
        with Grader(policy, LIMITS, workers=1) as strict:
            graded = grade_with(strict, [{"gold": "42", "response": guess} for guess in guesses])
            assert [one.extracted for one, guess in zip(graded, guesses, strict=True) if one.correct] == []
