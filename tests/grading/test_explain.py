"""What `unified-rl grade explain=true` says about a pair: the readers, the values, and what the verdict rests on."""

from __future__ import annotations

import json

import pytest

from unified_rl.cli import main
from unified_rl.grading import GradingPolicy
from unified_rl.grading.explain import explain

POLICY = GradingPolicy()

GROUNDS = [
    ("\\frac{1}{2}", "0.5", "exact arithmetic"),
    ("\\text{Tuesday}", "tuesday", "the same text"),
    ("(x+1)^2", "x^2+2x+1", "exact algebra"),
    ("\\sin 2x", "2\\sin x\\cos x", "sampled points"),
    ("\\cos\\frac{\\pi}{8}", "\\frac{\\sqrt{2+\\sqrt2}}{2}", "digits of the numbers"),
    ("\\frac{1}{3}", "0.33333", "a decimal of 5 digits"),
    ("3, \\sin 2x", "2\\sin x\\cos x, 3", "sampled points"),
    ("2,75", "2.75", "decimal comma"),
]


@pytest.mark.parametrize(("gold", "prediction", "ground"), GROUNDS)
def test_what_an_equality_rests_on(gold, prediction, ground):
    assert ground in explain(gold, prediction, POLICY)["rests_on"]


def test_a_tolerance_is_named():
    assert explain("1.60", "1.61", GradingPolicy(relative_tolerance=0.01))["rests_on"] == "a relative tolerance of 0.01"


def test_readers_and_values():
    found = explain("5\\text{ km}", "x > 3", POLICY)
    assert found["gold"] == {"reader": "quantity (number with a unit)", "value": "5, times 1000 m"}
    assert found["prediction"] == {"reader": "named set of real numbers", "value": "x in (3, inf)"}
    assert explain("7", "seven or so", POLICY)["prediction"]["reader"] == "list"
    assert explain("7", "not 7", POLICY)["prediction"] == {"reader": "text", "value": "not 7"}


def test_a_difference_is_shown_where_it_is():
    rests_on = explain("n", "\\min(n, 500)", POLICY)["rests_on"]
    assert rests_on.startswith("the values ") and " at n = " in rests_on
    assert rests_on.endswith(tuple("0123456789"))


def test_command(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    records = [
        {"id": 1, "gold": "x>3", "prediction": "2x>6"},
        {"gold": "5", "response": "Well."},
        {"response": "The answer is 9."},
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert main(["grade", str(path), "explain=true", "workers=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].strip() == "gold: named set of real numbers: x in (3, inf)"
    assert lines[3].strip() == "rests on: the same reading"
    assert [line.split("\t")[0] for line in (lines[0], lines[4], lines[5])] == ["1", "-", "-"]
    assert main(["grade", str(path), "explain=true", "workers=1", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["explanation" in row for row in rows] == [True, False, False]
    assert main(["grade", str(path), "explain=perhaps"]) == 2
    assert "explain=perhaps" in capsys.readouterr().err
