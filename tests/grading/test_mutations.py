"""Gold answers with one meaningful token changed are never called correct; with their spelling changed they always are.

The changes are made by `tools.grading_mutations`, whose own claims are tested here too: what it says to differ is compared by a
reader of its own, at points, exactly or not at all.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from pairs_of_answers import EQUAL, pairs

from tools.grading_mutations import KINDS, Mutation, mutations
from tools.grading_mutations.__main__ import main, report
from tools.grading_mutations.golds import ordinary, read_golds
from tools.grading_mutations.meaning import differ, read
from unified_rl.grading import Grader, benchmark_policy
from unified_rl.grading.grade import Verdicted, grade_with

SHARED = Path(__file__).parents[3] / "shared" / "data"
#: Answers that a policy makes equal: rounded decimals, commas between digits, units without a command, degrees, f(x).
OF_POLICY = re.compile(r"(?=[\d.]{5})\d+\.\d+|\d,\d|\(cm\)|mm\^|^\w\(\w\)|circ")


def false_verdicts(golds: list[str], seed: int, count: int) -> tuple[list[Mutation], list[str]]:
    """The mutations graded, and a line for each false verdict."""
    made = list(mutations(golds, seed, count))
    with Grader(benchmark_policy("math"), workers=2) as grader:
        graded = grade_with(grader, [mutation.record() for mutation in made])
    false = [
        f"{mutation.kind}: {mutation.gold!r} / {mutation.text!r} {one.verdict}, extracted {one.extracted!r}"
        for mutation, one in zip(made, graded, strict=True)
        if one.correct != mutation.right
    ]
    return made, false


def test_mutations_of_ordinary_golds():
    made, false = false_verdicts(ordinary(), 1, 600)
    assert len(made) == 600
    assert false == []


@pytest.mark.long
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the MATH answers in ../shared/data, which are not part of the project")
@pytest.mark.parametrize(("file", "seed"), [("math_test.jsonl", 2), ("math_train.jsonl", 3)])
def test_mutations_of_the_answers_of_math(file, seed):
    made, false = false_verdicts(read_golds(SHARED / file), seed, 8000)
    assert len(made) == 8000
    assert false == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4, 8))
def test_many_mutations_of_ordinary_golds(seed):
    assert false_verdicts(ordinary(), seed, 3000)[1] == []


# --- the generator


def test_every_kind_is_made_and_repeats_with_its_seed():
    made = list(mutations(ordinary(), 0, 1500))
    assert made == list(mutations(ordinary(), 0, 1500)) != list(mutations(ordinary(), 1, 1500))
    assert len({(one.gold, one.text) for one in made}) == len(made)
    kinds = Counter(one.kind for one in made)
    assert set(kinds) == {kind for kind, *_ in KINDS}


def test_no_change_of_meaning_is_claimed_between_equal_answers():
    checked = 0
    for gold, answer in pairs(EQUAL):
        left, right = read(gold), read(answer)
        if left is not None and right is not None and not OF_POLICY.search(gold) and not OF_POLICY.search(answer):
            checked += 1
            assert not differ(left, right), (gold, answer)
    assert checked > 120


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("\\binom{7}{2}", "\\binom{7}{5}"),
        ("\\tan 20^\\circ", "\\tan 200^\\circ"),
        ("x^2-4=0", "x^4-8x^2+16=0"),
        ("2x-4y=6", "x=2y+3"),
        ("(x-2)^3=0", "x=2"),
        ("[1,3]\\cup[2,4]", "[1,3]\\cup[3,4]"),
        ("3, 3, 5", "5, 3, 5"),
        ("\\sqrt{(x-1)^2}", "|1-x|"),
        ("0.50", ".5"),
        ("5^0", "6^0"),
        ("2x<6", "x<3"),
        ("(-1)^{n}", "(-1)^{n+2}"),
        ("5 cm", "5"),
    ],
)
def test_answers_that_are_equal_or_unreadable_are_not_told_apart(gold, answer):
    left, right = read(gold), read(answer)
    assert left is None or right is None or not differ(left, right)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("x^2", "x|x|"),
        ("(x-2)^2=1", "(x-2)^2=4"),
        ("x<3", "x \\le 3"),
        ("1.10", "1.01"),
        ("\\frac{1}{3}", "\\frac{1}{4}"),
        ("123456789012345678901", "123456789012345678902"),
        ("(1,2)", "(2,1)"),
        ("(1,4)\\cup(5,6)", "(1,4)\\cap(5,6)"),
        ("3\\pm\\sqrt{2}", "3+\\sqrt{2}"),
        ("12\\text{ cm}", "12\\text{ m}"),
        ("\\text{west}", "\\text{east}"),
        ("y=2x", "y=x^2"),
    ],
)
def test_answers_that_differ_are_told_apart(gold, answer):
    assert differ(read(gold), read(answer))


def test_false_verdicts_are_counted(capsys):
    right, wrong = Mutation("digit", "12", "prediction", "13", False), Mutation("spaces", "12", "prediction", " 12", True)
    yes, no = Verdicted(None, "13", "correct"), Verdicted(None, " 12", "incorrect")
    assert report([(right, yes), (wrong, no)], examples=1) == 1
    assert "called correct: 1 of 1; of spelling called wrong: 1 of 1" in capsys.readouterr().out
    assert report([(right, no), (wrong, yes)], examples=1) == 0
    assert report([(right, yes), (wrong, yes)], examples=1) == report([(right, no), (wrong, no)], examples=1) == 1


def test_the_command_line_reads_golds_and_refuses_unknown_settings(tmp_path, capsys):
    golds = tmp_path / "golds.jsonl"
    golds.write_text('{"answer": "17"}\n\\frac{3}{4}\n{"gold": 5}\n17\n')
    assert read_golds(golds) == ["17", "\\frac{3}{4}", "5"]
    assert main([f"golds={golds}", "count=12", "seed=3"]) in (0, 1)
    assert "12 mutations of 3 golds, seed 3" in capsys.readouterr().out
    assert main(["sede=3"]) == 2
    golds.write_text('{"label": "17"}\n')
    assert main([f"golds={golds}"]) == 2
    assert "no golds" in capsys.readouterr().err
