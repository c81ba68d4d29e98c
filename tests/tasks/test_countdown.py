"""The world of search: what is reachable and what is right, against a search of the test's own; demonstrations; hostile text."""

from __future__ import annotations

from functools import cache
from itertools import islice, permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.rng import generator
from unified_rl.base.types import SPLITS, Problem
from unified_rl.tasks import build_task
from unified_rl.tasks.countdown import KINDS, LARGEST_VALUE, Countdown, _draws, _left, _moves, _targets
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


def by_signs_alone(problem) -> bool:
    """Whether each number added or taken away gives the target (values between may not be negative, sums can)."""
    numbers, target = problem.info["numbers"], problem.info["target"]
    return any(
        sum(s * n for s, n in zip(signs, numbers, strict=True)) == target for signs in product((1, -1), repeat=len(numbers))
    )


@pytest.mark.parametrize("name", TASK.slices)
def test_problems_are_what_their_slice_says(name):
    found = TASK.problems("test", 40, name)
    for problem in found:
        numbers, target = problem.info["numbers"], problem.info["target"]
        assert TASK.check_answer(problem, TASK.solution(problem)).verdict == "correct"
        assert all(check.correct for check in TASK.check_steps(problem, TASK.solution(problem)))
        assert f"Make {target} from" in problem.question and len(numbers) in ((4,) if name == "hard" else (3, 4))
        assert len(numbers) == 3 or by_signs_alone(problem) == (name == "main"), problem.question


def test_the_first_problems_of_a_split_are_like_the_last():
    """All that 20,000 demonstrations take: the count of numbers, the target and the numbers, within three standard errors."""

    def facts(problems):
        numbers = [problem.info["numbers"] for problem in problems]
        return np.array(
            [(max(of), of.count(of[0]) > 1, int(problem.gold)) for of, problem in zip(numbers, problems, strict=True)]
        )

    found = TASK.problems("train", 20_000)
    ends = (found[:1000], found[-1000:])
    for part in (*ends, found, *(TASK.problems(split, 200) for split in SPLITS)):
        assert np.mean([len(problem.info["numbers"]) == 3 for problem in part]) == 0.5
    for count in (3, 4):
        first, last = (facts([problem for problem in end if len(problem.info["numbers"]) == count]) for end in ends)
        error = np.sqrt(first.var(0) / len(first) + last.var(0) / len(last))
        assert (abs(first.mean(0) - last.mean(0)) < 3 * error).all(), (count, first.mean(0), last.mean(0))


def test_every_pair_of_numbers_and_target_is_equally_likely():
    counts = {}
    for facts in islice(_draws(generator(1, "a test"), "train", "three", 6), 3000):
        counts[facts] = counts.get(facts, 0) + 1
    expected = 3000 / len(counts)
    square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert len(counts) > 50 and abs(square - len(counts)) < 4 * np.sqrt(2 * len(counts)), "chi-squared"


@given(st.lists(st.integers(2, 99), min_size=4, max_size=4))
@settings(max_examples=100, deadline=None)
def test_no_numbers_have_more_targets_than_their_kind_allows(numbers):
    for kind, (count, most) in KINDS.items():
        assert len(_targets(tuple(sorted(numbers[:count])), kind)) <= most


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 80, 120), (1.0, 200, 200)])
def test_that_share_of_main_problems_is_of_the_hard_kind(share, least, most):
    found = [problem for problem in Countdown(mixed_share=share).problems("train", 400) if len(problem.info["numbers"]) == 4]
    assert len(found) == 200 and least <= sum(not by_signs_alone(problem) for problem in found) <= most


def test_the_share_changes_nothing_else():
    plain, mixed, all_mixed = (Countdown(mixed_share=share) for share in (0.0, 0.3, 1.0))
    for split in SPLITS:
        assert plain.problems(split, 40, "hard") == mixed.problems(split, 40, "hard") == all_mixed.problems(split, 40, "hard")
    before, after = (task.demonstrations(400) for task in (plain, mixed))
    kept = [a == b for a, b in zip(before, after, strict=True)]
    assert kept == [len(one.problem.info["numbers"]) == 3 or by_signs_alone(one.problem) for one in after]


def test_splits_share_no_numbers_and_worlds_agree_on_them():
    def numbers(task, split, name):
        return {tuple(problem.info["numbers"]) for problem in task.problems(split, 150, name)}

    found = {split: numbers(TASK, split, "main") | numbers(TASK, split, "hard") for split in SPLITS}
    assert not found["train"] & found["test"] and not found["validation"] & (found["train"] | found["test"])
    for other in (Countdown(seed=5, mixed_share=0.5), Countdown(largest=20)):
        assert not numbers(other, "train", "main") & (found["test"] | found["validation"])
    assert all(len({problem.id for problem in TASK.problems(split, 300)}) == 300 for split in SPLITS), "no problem occurs twice"
    assert TASK.problems("test", 5) == Countdown().problems("test", 300)[:5]


def test_demonstrations_are_legal_and_miss_as_often_as_detours_say():
    found = TASK.demonstrations(400)
    for one in found:
        answer = TASK.check_answer(one.problem, one.solution)
        assert (answer.verdict == "correct") == one.clean and answer.answer is not None, "legal arithmetic, wherever it ends"
    assert 0.65 < np.mean([one.clean for one in found]) < 0.77
    assert all(one.clean for one in Countdown(detour_probability=0).demonstrations(100))


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_no_demonstration_tells_by_an_operation_that_it_misses(share):
    """Of four numbers that signs alone can do, none has a product; where there is one, the problem needs it."""
    found = [one for one in Countdown(mixed_share=share).demonstrations(1000) if len(one.problem.info["numbers"]) == 4]
    with_product = [one for one in found if "*" in one.solution]
    assert not [one for one in with_product if by_signs_alone(one.problem)]
    assert bool(share) == bool(with_product)
    assert not share or np.mean([one.clean for one in with_product]) > 0.4


@cache
def chance(left, target, products=True) -> float:
    """That uniformly random legal steps end at the target."""
    if len(left) == 1:
        return float(left == (target,))
    moves = _moves(left, products)
    return sum(chance(_left(left, move), target, products) for move in moves) / len(moves)


def test_what_random_steps_solve_is_as_documented():
    """200 test problems of each kind; the expectation of Pass@1 and Pass@64, exact but for the problems."""
    main, hard = TASK.problems("test", 400), TASK.problems("test", 200, "hard")
    page = (Path(__file__).parents[2] / "docs" / "tiny_world.md").read_text()
    for row, problems, products in (
        ("main, three numbers", main[::2], True),
        ("main, four numbers", main[1::2], True),
        ("main, four numbers, sums and differences only", main[1::2], False),
        ("hard", hard, True),
    ):
        each = np.array([chance(tuple(one.info["numbers"]), one.info["target"], products) for one in problems])
        assert f"| {row} | {each.mean():.1%} | {(1 - (1 - each) ** 64).mean():.0%} |".replace("%", " %") in page, row


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
