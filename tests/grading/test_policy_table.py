"""The policy table of docs/grading.md: every example in it is checked, both ways round where two answers are compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from unified_rl.grading import Grader, GradingPolicy
from unified_rl.grading.command import make_grader
from unified_rl.grading.equivalence import equivalent

PAGE = (Path(__file__).parents[2] / "docs" / "grading.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)=(\S+)` \| `(.+?)` and `(.+?)` \| `(.+?)` and `(.+?)` \|", PAGE, re.MULTILINE)
OF_RESPONSES = ("unmarked", "boxes")


def test_every_setting_is_in_the_table_with_its_default_first():
    shown: dict[str, list[str]] = {}
    for setting, value, *_ in ROWS:
        shown.setdefault(setting, []).append(value)
    fields = GradingPolicy.__dataclass_fields__
    assert sorted(shown) == sorted(fields)
    for setting, values in shown.items():
        assert type(fields[setting].default)(values[0]) == fields[setting].default
        assert len(values) > 1


@pytest.mark.parametrize(("setting", "value", "gold", "same", "other_gold", "different"), ROWS)
def test_examples(setting, value, gold, same, other_gold, different):
    grader, _ = make_grader({setting: value, "workers": "1"})
    if setting in OF_RESPONSES:
        with Grader(grader.policy, workers=1) as made:
            first, second = made.check_answers([gold, other_gold], [same, different])
        assert (first.verdict, second.verdict == "correct") == ("correct", False)
        return
    for left, right in ((gold, same), (same, gold)):
        assert equivalent(left, right, grader.policy)
    for left, right in ((other_gold, different), (different, other_gold)):
        assert not equivalent(left, right, grader.policy)
