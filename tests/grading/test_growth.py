"""All reading of what models write takes time that grows with its length, whatever it holds."""

from __future__ import annotations

import random
import re

import growth
import hostile
import pytest

from unified_rl.grading import extract
from unified_rl.grading.extract import MAX_ANSWER, MAX_TAIL, bare
from unified_rl.grading.normalise import tidy

PACKAGES = ("unified_rl.grading", "unified_rl.tasks", "unified_rl.rewards.steps", "unified_rl.sampling.tool_integrated")
OF_RESPONSES = (
    "extract",
    "scan",
    "marks",
    "boxes",
    "sentences",
    "spans",
    "unmarked",
    "choices",
)  # modules of unified_rl.grading
PATTERNS = sorted({(name, work, one.pattern, one.flags) for name, one, work in growth.patterns(PACKAGES)})

PIECES = [
    "\\boxed{", "\\boxed 5", "\\fbox{}", "}", "{", "$", "$$", "\\(", "\\)", "\\[", "\\]", "```output\n", "```",
    "####", "the answer is ", "The answer is not ", "answer: ", "answer", "option C ", "final ", "答案", "答案是",
    "选", "选A", '{"answer": ', '"answer":[', "[", "(", "-", "**", "* ", "1", "1,", "1.", " ", "\n", "\t", "a",
    "A ", "A, ", "not ", "and ", "5 million ", "<<1+1=2>>", "<<", "<answer>", "</answer>", "</think>",
    "<|im_end|>", "\\frac{1}", "\\text{ and }", "=", "x = 1 or ", ";", "because ", " - a ", "isn't ", "≈", "负",
    "'", '"', "\\", "\\\\", "&", "%", "!", "? ", "p.m. ", "\u2028", "\x00", "é", "π",
]  # fmt: skip


@pytest.mark.parametrize(("name", "method", "pattern", "flags"), PATTERNS, ids=[f"{one[0]}-{one[1]}" for one in PATTERNS])
def test_patterns_are_linear(name, method, pattern, flags):
    compiled = re.compile(pattern, flags)
    module = name.split(".")[2].split(":")[0] if name.startswith("unified_rl.grading") else ""
    cap = MAX_TAIL if not module or module in OF_RESPONSES else MAX_ANSWER
    work = {"match": compiled.match, "fullmatch": compiled.fullmatch}.get(
        method, lambda text: sum(1 for _ in compiled.finditer(text))
    )
    for make in growth.attacks(compiled):
        assert growth.fault(work, make, cap) == "", repr(make(60))


def test_no_pattern_is_made_where_no_test_finds_it():
    assert growth.unseen(PACKAGES) == []


@pytest.mark.parametrize(
    "format", ["auto", *(pytest.param(one, marks=pytest.mark.long) for one in ("choice", "program", "boxed"))]
)
def test_extraction_is_linear_in_what_it_looks_for(format):
    for unit in PIECES:
        head, tail = ("", "") if format in ("choice", "program") else ("The answer is ", "$.")
        assert growth.fault(lambda text: extract(text, format), growth.repeated(head, unit, tail), MAX_TAIL) == "", unit


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 5))])
def test_extraction_is_linear_in_random_mixtures(seed):
    draw = random.Random(seed)
    for _ in range(8):
        units = [draw.choice(PIECES) for _ in range(draw.randint(2, 6))]
        mixed = "".join(draw.choices(units, k=MAX_TAIL))
        for make in (growth.repeated("", "".join(units)), lambda length, mixed=mixed: mixed[:length]):
            assert growth.fault(extract, make, MAX_TAIL) == "", units
            assert growth.fault(bare, make, MAX_ANSWER) == "", units
            assert growth.fault(tidy, make, MAX_ANSWER) == "", units


@pytest.mark.long
def test_the_test_of_growth_sees_what_is_not_linear():
    for pattern in (r"(?:a|a)*b", r"[^}]*\}x", r"\\\[.*?\\\]", r"([0-9]+)*!", r"^```[ \t]*(\w*)[ \t]*$"):
        compiled = re.compile(pattern, re.DOTALL | re.MULTILINE)
        work = growth.uses(compiled)["finditer"]
        assert any(growth.fault(work, make, 8_000) for make in growth.attacks(compiled)), pattern


def test_responses_that_once_hung():
    programs = "```output\n" + "".join(f"{n}\n" for n in range(61))
    for text in ("```output\n" + "1\n" * 60, programs, f"{programs}```\n", "\\[" * 20_000, *hostile.RESPONSES):
        for format in ("auto", "program"):
            assert growth.seconds(lambda one, format=format: extract(one, format), text) < 1.0
    assert extract(f"{programs}```\n", "program") == "60"
