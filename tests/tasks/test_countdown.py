"""The world of search: what is reachable and what is right, against a search of the test's own; demonstrations; hostile text."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import Problem
from unified_rl.tasks import build_task
from unified_rl.tasks.countdown import LARGEST_VALUE, Countdown
from unified_rl.tasks.tokenizers import word_tokenizer

TASK = Countdown()


def problem_of(numbers, target):
    return Problem("countdown/test", "", str(target), {"numbers": list(numbers), "target": target, "slice": "main"})


def finishes(numbers: list[int], target: int) -> bool:
    """Whether the numbers, all used once, give the target: every order of every pair, by plain recursion."""
    if len(numbers) == 1:
        return numbers[0] == target
    for i, j in permutations(range(len(numbers)), 2):
        rest = [numbers[k] for k in range(len(numbers)) if k not in (i, j)]
        a, b = numbers[i], numbers[j]
        for value in (a + b, a - b, a * b):
            if 0 <= value <= LARGEST_VALUE and finishes([*rest, value], target):
                return True
    return False


@given(st.lists(st.integers(2, 20), min_size=2, max_size=4), st.integers(1, 120), st.data())
@settings(max_examples=60, deadline=None)
def test_a_step_is_right_if_and_only_if_the_target_stays_in_reach(numbers, target, data):
    """A random legal derivation: each step's verdict is that of a search written apart."""
    left, lines, expected = list(numbers), [], []
    while len(left) > 1:
        i, j = data.draw(st.permutations(range(len(left))))[:2]
        op = data.draw(st.sampled_from("+-*"))
        a, b = left[i], left[j]
        value = {"+": a + b, "-": a - b, "*": a * b}[op]
        if not 0 <= value <= LARGEST_VALUE:
            return
        left = [left[k] for k in range(len(left)) if k not in (i, j)] + [value]
        lines.append(f"{a}{op}{b}={value}")
        expected.append(finishes(left, target))
    text = "\n".join([*lines, f"#### {left[0]}"])
    checks = TASK.check_steps(problem_of(numbers, target), text)
    assert [check.correct for check in checks] == [*expected, left[0] == target]
    answer = TASK.check_answer(problem_of(numbers, target), text)
    assert (answer.verdict, answer.answer) == ("correct" if left[0] == target else "incorrect", str(left[0]))


@pytest.mark.parametrize("name", TASK.slices)
def test_problems_are_what_their_slice_says(name):
    found = TASK.problems("test", 40, name)
    for problem in found:
        numbers, target = problem.info["numbers"], problem.info["target"]
        assert TASK.check_answer(problem, TASK.solution(problem)).verdict == "correct"
        assert all(check.correct for check in TASK.check_steps(problem, TASK.solution(problem)))
        assert f"Make {target} from" in problem.question and len(numbers) in ((4,) if name == "hard" else (3, 4))
        if (
            len(numbers) == 4
        ):  # with signs alone: each number added or taken away (values between may not be negative, sums can)
            signed = {sum(s * n for s, n in zip(signs, numbers, strict=True)) for signs in product((1, -1), repeat=4)}
            assert (target in signed) == (name == "main"), problem.question


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 30, 120), (1.0, 60, 240)])
def test_main_problems_may_be_of_the_hard_kind(share, least, most):
    found = [problem for problem in Countdown(mixed_share=share).problems("train", 400) if len(problem.info["numbers"]) == 4]
    needing = 0
    for problem in found:
        signs = product((1, -1), repeat=4)
        signed = {sum(s * n for s, n in zip(sign, problem.info["numbers"], strict=True)) for sign in signs}
        needing += problem.info["target"] not in signed
    assert least <= needing <= most


def test_splits_are_disjoint_and_worlds_agree_on_them():
    content = {
        split: {(tuple(p.info["numbers"]), p.gold) for p in TASK.problems(split, 300)}
        for split in ("train", "validation", "test")
    }
    other = {(tuple(p.info["numbers"]), p.gold) for p in Countdown(seed=5).problems("train", 300)}
    assert not content["train"] & content["test"] and not content["validation"] & (content["train"] | content["test"])
    assert not other & (content["test"] | content["validation"])
    assert all(len(found) == 300 for found in content.values()), "no problem occurs twice"
    assert TASK.problems("test", 5) == Countdown().problems("test", 300)[:5]


def test_demonstrations_are_legal_and_miss_as_often_as_detours_say():
    found = TASK.demonstrations(400)
    for one in found:
        answer = TASK.check_answer(one.problem, one.solution)
        assert (answer.verdict == "correct") == one.clean and answer.answer is not None, "legal arithmetic, wherever it ends"
    assert 0.5 < np.mean([one.clean for one in found]) < 0.8
    assert all(one.clean for one in Countdown(detour_probability=0).demonstrations(100))


@pytest.mark.parametrize(
    ("text", "verdict", "answer", "steps"),
    [
        ("7*3=21\n21+8=29\n#### 29", "correct", "29", [True, True, True]),
        ("3*7 = 21\n\n 8+21=29 \n#### 29", "correct", "29", [True, True, True]),
        ("7*3=21\n21-8=13\n#### 13", "incorrect", "13", [True, False, False]),
        ("7*3=21\n21-8=13\n#### 29", "incorrect", None, [True, False, False]),
        ("7*3=22\n22+8=30\n#### 30", "incorrect", None, [False, False, False]),
        ("7*3=21\n#### 29", "incorrect", None, [True, False]),
        ("8+8=16\n16+7=23\n#### 23", "incorrect", None, [False, False, False]),
        ("3-7=0\n8+0=8\n#### 8", "incorrect", None, [False, False, False]),
        ("#### 29\n7*3=21\n21+8=29", "unparsable", None, [False, False, False]),
        ("#### 29\n7*3=21\n21+8=29\n#### 29", "incorrect", None, [False, False, False, False]),
        ("7*3=21\n#### 21\n21+8=29\n#### 29", "incorrect", None, [True, False, False, False]),
        ("7*3=21\n21+8=29\n#### 29\n#### 29", "incorrect", None, [True, True, False, False]),
        ("007*03=0021\n21+8=29\n#### 0029", "correct", "29", [True, True, True]),
        ("29", "unparsable", None, [False]),
        ("", "unparsable", None, []),
        ("7*3=21\n21+8=29\n#### 29999999999999", "unparsable", None, [True, True, False]),
    ],
)
def test_what_policies_write(text, verdict, answer, steps):
    problem = problem_of((3, 7, 8), 29)
    found = TASK.check_answer(problem, text)
    assert (found.verdict, found.answer) == (verdict, answer)
    checks = TASK.check_steps(problem, text)
    assert [check.correct for check in checks] == steps
    assert not checks or checks[-1].end_char <= len(text)


@given(st.lists(st.sampled_from(["7*3=21", "21+8=29", "8+3=11", "#### 29", "#### 21", "####", "", "7"]), max_size=6))
@settings(max_examples=200, deadline=None)
def test_the_last_step_is_right_where_the_answer_is_and_then_all_are(lines):
    problem, text = problem_of((3, 7, 8), 29), "\n".join(lines)
    steps = [check.correct for check in TASK.check_steps(problem, text)]
    answered = TASK.check_answer(problem, text).verdict == "correct"
    assert steps == sorted(steps, reverse=True), "nothing is right after what is wrong"
    assert (answered and all(steps)) or not (answered or (steps and steps[-1] and lines[-1].startswith("#### ")))


@given(st.text(alphabet="0123456789+-*= #\n\u0663x", max_size=60))
@settings(max_examples=200, deadline=None)
def test_garbage_never_raises(text):
    problem = problem_of((3, 7, 8), 29)
    assert len(TASK.check_steps(problem, text)) == len([line for line in text.split("\n") if line.strip()])
    assert TASK.check_answer(problem, text).verdict in ("correct", "incorrect", "unparsable")


def test_its_tokenizer_loses_nothing_and_writes_digits_apart():
    tokenizer = word_tokenizer(TASK.corpus())
    for problem in (*TASK.problems("test", 20), *TASK.problems("test", 20, "hard")):
        text = f"{problem.question}\n{TASK.solution(problem)}"
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == text and tokenizer.unk_token_id not in ids
        assert len(ids) >= sum(letter.isdigit() for letter in text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Countdown(largest=3), "largest"),
        (lambda: Countdown(detour_probability=2), "detour_probability"),
        (lambda: TASK.problems("testing", 1), "split='testing'"),
        (lambda: TASK.problems("test", 1, "easy"), "slice='easy'"),
        (lambda: TASK.problems("test"), "say how many"),
        (lambda: build_task("countdwn"), "Did you mean 'countdown'"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_problems_of_others_and_too_many_are_refused():
    with pytest.raises(DataError, match="not one of task countdown's"):
        TASK.check_steps(Problem("x", "", "1", {}), "1+1=2")
    with pytest.raises(DataError, match="raise largest"):
        Countdown(largest=6).problems("test", 5000, "hard")
