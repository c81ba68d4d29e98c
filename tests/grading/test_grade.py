"""The public doors: `grade`, the `Grader`, the classes of a problem's answers, and `unified-rl grade`."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import Problem
from unified_rl.cli import main
from unified_rl.grading import Grader, GradingPolicy, Limits, grade, group


@pytest.fixture(scope="module")
def grader():
    with Grader(limits=Limits(seconds=3.0), workers=2) as made:
        yield made


def test_records_in_order():
    graded = grade(
        [
            {"id": "a", "gold": "1/2", "prediction": "0.5"},
            {"id": 7, "gold": "\\sqrt{8}", "response": "so the answer is $2\\sqrt{2}$."},
            {"gold": 12, "prediction": 13.0},
            {"gold": "3", "response": "I do not know"},
            {"gold": "5", "prediction": None},
            {"response": "The answer is 9."},
        ],
        workers=1,
    )
    assert [one.id for one in graded] == ["a", 7, None, None, None, None]
    assert [one.verdict for one in graded] == ["correct", "correct", "incorrect", "unparsable", "unparsable", "incorrect"]
    assert [one.extracted for one in graded] == ["0.5", "2\\sqrt{2}", "13.0", None, None, "9"]


def test_bad_records():
    with pytest.raises(DataError, match="record 2 has neither"):
        grade([{"gold": "1", "prediction": "1"}, {"gold": "1"}])
    with pytest.raises(DataError, match="'gold' must be text"):
        grade([{"gold": ["1"], "prediction": "1"}])


def test_too_long_is_unparsable(grader):
    assert grader.judge([("1", "1+" * 2000 + "1")]) == [("unparsable", "too long")]


def test_slow_items_time_out_and_are_not_cached():
    with Grader(limits=Limits(seconds=0.001), workers=1) as hurried:
        slow = ("(a+b+c+d+e+f)^{30}", "(f+e+d+c+b+a)^{30}+1")
        assert hurried.judge([slow]) == [("timeout", "too slow")]
        assert not hurried._cache


def test_the_cache_spares_the_workers(grader):
    pair = ("\\sin^2 x", "1-\\cos^2 x")
    assert grader.judge([pair] * 3) == [("correct", "")] * 3
    seen = len(grader._cache)
    grader._pool.close()
    assert grader.judge([pair]) == [("correct", "")]
    assert len(grader._cache) == seen
    assert grader._pool.pids == []


ANSWERS = {
    "half": ["1/2", "0.5", "\\frac12", "x = \\frac{2}{4}", "\\dfrac{1}{2}\\text{ cm}", "$.5$"],
    "root": ["\\sqrt{8}", "2\\sqrt{2}", "2 \\cdot \\sqrt2", "8^{1/2}"],
    "list": ["1, 2", "\\{2, 1\\}", "2 \\text{ and } 1", "x=1 or x=2"],
    "tuple": ["(1, 2)", "\\left( 1, \\frac{4}{2} \\right)"],
    "interval": ["(2, 5]", "2 < x \\le 5", "x \\in (2, 5]"],
    "polynomial": ["(x+1)^2", "x^2+2x+1", "1 + x(x+2)"],
    "letter": ["B", "(B)", "\\text{B}", "\\textbf{(B)}"],
    "line": ["2x + 4y = 6", "x + 2y - 3 = 0"],
    "word": ["Evelyn", "\\text{evelyn}"],
    "none": [None, ""],
}


def test_classes_do_not_depend_on_order_or_company(grader):
    answers = [answer for members in ANSWERS.values() for answer in members]
    names = dict(zip(answers, grader.classes(answers), strict=True))
    for kind, members in ANSWERS.items():
        assert len({names[answer] for answer in members}) == 1, kind
    assert names[None] is None
    assert len({names[members[0]] for members in ANSWERS.values()}) == len(ANSWERS)
    for seed in range(5):
        some = random.Random(seed).sample(answers, 12)
        assert grader.classes(some) == [names[answer] for answer in some]
    with Grader(workers=1) as fresh:
        assert fresh.classes(answers[::-1]) == [names[answer] for answer in answers[::-1]]


def test_equal_class_names_are_equal_answers(grader):
    answers = [answer for members in ANSWERS.values() for answer in members if answer]
    names = grader.classes(answers)
    pairs = [(a, b) for i, a in enumerate(answers) for b in answers[i + 1 :]]
    same = [names[answers.index(a)] == names[answers.index(b)] for a, b in pairs]
    verdicts = [verdict == "correct" for verdict, _ in grader.judge(pairs)]
    assert all(verdict for verdict, together in zip(verdicts, same, strict=True) if together)


def test_right_answers_are_one_class_and_no_wrong_one_is_in_it(grader):
    answers = ["1.4142", "\\sqrt2", "1.41421356", "1.5", "3/2", None, "2^{0.5}"]
    names = group(grader, answers, gold="\\sqrt{2}")
    assert names[0] == names[1] == names[2] == names[6]
    assert names[3] == names[4] != names[0]
    assert names[5] is None
    assert group(grader, answers[::-1], gold="\\sqrt{2}") == names[::-1]


def test_thousands_of_answers(grader):
    answers = [str(index % 500) for index in range(4000)] + [f"\\frac{{{index % 50}}}{{7}}" for index in range(1000)]
    names = grader.classes(answers)
    assert len(set(names)) == 500 + 50 - len({index for index in range(50) if index % 7 == 0})


def test_check_answer_as_a_task(grader):
    problem = Problem("p", "?", "\\frac{1}{2}")
    right = grader.check_answer(problem, "The answer is $0.5$.")
    assert (right.verdict, right.answer, right.answer_class) == ("correct", "0.5", "1/2")
    assert grader.check_answer(problem, "\\boxed{\\frac{2}{4}}").answer_class == "1/2"
    wrong = grader.check_answer(problem, "\\boxed{2}")
    assert (wrong.verdict, wrong.answer_class) == ("incorrect", "2")
    none = grader.check_answer(problem, "Well.")
    assert (none.verdict, none.answer, none.answer_class) == ("unparsable", None, None)


def test_refusing_unmarked_answers_agrees_with_the_gsm8k_task():
    from unified_rl.tasks.gsm8k import extract_answer

    texts = ["#### 1,234", "The answer is $5.", "so \\boxed{7}", "She has 5.", "12 + 3 = 15", "#### -3", "the answer is 2/3"]
    with Grader(GradingPolicy(unmarked="refuse"), workers=1) as grader:
        for text in texts:
            value = extract_answer(text)
            check = grader.check_answer(Problem("p", "?", "1" if value is None else str(value)), text)
            assert check.verdict == ("unparsable" if value is None else "correct"), text


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def test_command_json(tmp_path, capsys):
    records = [
        {"id": "one", "gold": "1/2", "prediction": "0.5"},
        {"gold": "2", "response": "\\boxed{3}"},
        {"id": 3, "gold": "2", "prediction": "\ud800"},
    ]
    assert main(["grade", write(tmp_path / "a.jsonl", records), "--json", "workers=1"]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows[0] == {"id": "one", "extracted": "0.5", "correct": True, "verdict": "correct"}
    assert rows[1] == {"extracted": "3", "correct": False, "verdict": "incorrect"}
    assert (rows[2]["id"], rows[2]["correct"]) == (3, False)
    assert "3 items: 1 correct, 2 incorrect" in err and "items/s" in err


def test_command_reads_lines_as_they_come(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    lines = ['{"id": "a", "gold": 5, "prediction": 5.0}', "", '{"id": "b", "gold": "7", "prediction": "The answer is 7"}']
    lines += ['{"id": "c", "gold": null, "prediction": "3"}', '{"id": "d", "gold": "３", "prediction": "\\u0663"}']
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert main(["grade", str(path), "--json", "workers=1"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["id"], row["verdict"]) for row in rows] == [
        ("a", "correct"),
        ("b", "correct"),
        ("c", "incorrect"),
        ("d", "correct"),
    ]
    assert rows[1]["extracted"] == "7"


def test_command_reads_standard_input():
    record = json.dumps({"id": 1, "gold": "\\frac12", "prediction": "1/2"})
    command = [sys.executable, "-c", "from unified_rl.cli import main; main()", "grade", "-", "--json", "workers=1"]
    run = subprocess.run(command, input=record + "\n", capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == {"id": 1, "extracted": "1/2", "correct": True, "verdict": "correct"}


def test_command_text_ends_with_the_summary(tmp_path, capsys):
    path = write(tmp_path / "a.jsonl", [{"id": "one", "gold": "25%", "prediction": "0.25"}])
    assert main(["grade", path, "percent=number", "workers=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t") == ["one", "incorrect", '"0.25"']
    assert lines[-1].startswith("1 items: 0 correct, 1 incorrect")


BAD = [
    ([], "grade needs one file"),
    (["missing.jsonl"], "does not exist"),
    (["{path}", "percent=maybe"], "percent='maybe'"),
    (["{path}", "colour=red"], "colour"),
    (["{path}", "seconds=soon"], "seconds=soon"),
    (["{path}", "seconds=-1"], "seconds=-1"),
    (["{path}", "format=pdf"], "format=pdf"),
    (["{path}", "policy=none"], "policy='none'"),
]


@pytest.mark.parametrize(("words", "message"), BAD)
def test_command_refuses(words, message, tmp_path, capsys):
    path = write(tmp_path / "a.jsonl", [{"gold": "1", "prediction": "1"}])
    assert main(["grade", *(word.format(path=path) for word in words)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("line", ["not json", "[1]", '{"gold": "1"}', '{"gold": {}, "prediction": "1"}'])
def test_command_names_the_bad_line(line, tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text('{"gold": "1", "prediction": "1"}\n' + line + "\n")
    assert main(["grade", str(path)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and "a.jsonl, line 2" in message


def test_limits_are_settings():
    from unified_rl.grading.command import make_grader

    grader, format = make_grader({"seconds": "2", "memory_mb": "64", "policy": "ocw", "list_order": "same", "format": "choice"})
    assert (grader.limits.seconds, grader.limits.memory_bytes, format) == (2.0, 64 << 20, "choice")
    assert grader.policy == GradingPolicy(relative_tolerance=0.01, list_order="same")
    with pytest.raises(ConfigError):
        make_grader({"significant_digits": "many"})
