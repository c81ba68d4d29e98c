"""The arithmetic world: gold solutions grade as right, any corruption is found where it is, and splits never meet."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import Problem
from unified_rl.tasks.arithmetic import DEFAULT_SLIPS, SPLITS, Arithmetic

# One world for the read-only tests, with the problems that the properties draw from.
WORLD = Arithmetic()
PROBLEMS = (*WORLD.problems("train", 300), *WORLD.problems("test", 300, "hard"))
problems = st.sampled_from(PROBLEMS)

# Tom: 43 + 3*12 = 79, then 79 - 17 = 62.
TOM = Problem("tom", "", "62", {"start": 43, "events": [["buys", 12, 3], ["loses", 17, 0]]})
TOM_SOLUTION = "3*12=36\n43+36=79\n79-17=62\n#### 62"


def verdicts(problem: Problem, text: str) -> list[bool]:
    return [check.correct for check in WORLD.check_steps(problem, text)]


def content(problem: Problem) -> tuple:
    """What must not be shared between splits: numbers and operations. Written apart from the code under test."""
    adds = ("buys", "finds", "wins", "borrows")
    return problem.info["start"], *((verb in adds, count, packs or 1) for verb, count, packs in problem.info["events"])


# ---- gold solutions


def test_the_solution_of_a_worked_example():
    assert Arithmetic.solution(TOM) == TOM_SOLUTION
    assert verdicts(TOM, TOM_SOLUTION) == [True] * 4
    assert [check.end_char for check in WORLD.check_steps(TOM, TOM_SOLUTION)] == [8, 17, 26, 33]


@given(problems)
@settings(max_examples=200)
def test_gold_solutions_are_correct_in_answer_and_in_every_step(problem):
    text = Arithmetic.solution(problem)
    assert WORLD.check_answer(problem, text).verdict == "correct"
    assert verdicts(problem, text) == [True] * (problem.info["steps"] + 1)


@given(problems)
def test_the_answer_is_what_the_question_says(problem):
    """Reads the English, so that question, facts and gold cannot drift apart."""
    opening, *middle, _ = problem.question.replace("?", ".").split(". ")
    count = int(opening.split()[2])
    for sentence in middle:
        words = sentence.split()
        numbers = [int(word) for word in words if word.isdigit()]
        amount = numbers[0] * (numbers[1] if len(numbers) == 2 else 1)
        count += amount if words[1] in ("buys", "finds", "wins", "borrows") else -amount
    assert str(count) == problem.gold


@given(problems)
def test_problem_info_is_plain_json(problem):
    assert json.loads(json.dumps(problem.info)) == problem.info


@pytest.mark.parametrize(("slice", "low", "high"), [("main", *WORLD.steps["main"]), ("hard", *WORLD.steps["hard"])])
def test_slices_have_the_steps_they_promise(slice, low, high):
    steps = {problem.info["steps"] for problem in WORLD.problems("validation", 100, slice)}
    assert steps == set(range(low, high + 1))
    assert all(problem.info["slice"] == slice for problem in WORLD.problems("validation", 10, slice))


def is_hard(problem: Problem) -> bool:
    numbers = [count for _, count, packs in problem.info["events"] if not packs]
    return problem.info["steps"] >= WORLD.steps["hard"][0] and max(numbers, default=0) > WORLD.max_long_operand


def test_hard_problems_join_what_demonstrations_show_only_apart():
    demonstrated = [demo.problem for demo in WORLD.demonstrations(3000)]
    assert all(is_hard(problem) for problem in WORLD.problems("test", 300, "hard"))
    assert not any(is_hard(problem) for problem in demonstrated)
    assert any(problem.info["steps"] >= WORLD.steps["hard"][0] for problem in demonstrated)
    largest = max(count for problem in demonstrated for _, count, packs in problem.info["events"] if not packs)
    assert largest == WORLD.max_operand


# ---- the step checker


@given(problems, st.data())
@settings(max_examples=200)
def test_a_corrupted_digit_is_flagged_at_its_step_and_only_there(problem, data):
    text = Arithmetic.solution(problem)
    place = data.draw(st.sampled_from([i for i, character in enumerate(text) if character.isdigit()]))
    digit = data.draw(st.sampled_from([d for d in "0123456789" if d != text[place]]))
    corrupted = text[:place] + digit + text[place + 1 :]
    expected = [True] * (problem.info["steps"] + 1)
    expected[text[:place].count("\n")] = False
    assert verdicts(problem, corrupted) == expected


def test_a_step_that_inherits_a_wrong_value_is_wrong():
    assert verdicts(TOM, "3*12=36\n43+36=69\n69-17=52\n#### 52") == [True, False, False, False]


def test_the_right_result_of_a_wrong_operation_is_wrong():
    assert verdicts(TOM, "3*12=36\n43+36=79\n79+17=96\n#### 96") == [True, True, False, False]
    assert verdicts(TOM, "3*12=36\n43+36=79\n45+17=62\n#### 62") == [True, True, False, True]
    two_by_two = Problem("p", "", "14", {"start": 10, "events": [["buys", 2, 2]]})
    assert verdicts(two_by_two, "2+2=4\n10+4=14\n#### 14") == [False, True, True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12*3=36\n36+43=79\n79-17=62\n#### 62", [True] * 4),  # operands of + and * may change places
        ("3*12=36\n43+36=79\n17-79=62\n#### 62", [True, True, False, True]),  # those of - may not
        ("3 * 12 = 36\n\n43 + 36 = 79  \n79-17=62\n####62\n", [True] * 4),  # spaces and blank lines do not matter
        ("43+36=79\n79-17=62\n#### 62", [False, False, True]),  # a skipped step shifts all after it
        ("3*12=36\n3*12=36\n43+36=79\n79-17=62\n#### 62", [True, False, False, False, True]),  # so does one too many
        ("3*12=36\n43+36=79\n79-17=62\n79-17=62\n#### 62", [True, True, True, False, True]),
        ("#### 62\n3*12=36", [False, False]),  # an answer before the end is none
        ("3*12=36\n#### 62\n#### 62", [True, False, True]),
        ("", []),
        (" \n\n", []),
    ],
)
def test_step_verdicts(text, expected):
    assert verdicts(TOM, text) == expected


@given(problems, st.text(alphabet="0123456789+-*=# \nab", max_size=80))
@settings(max_examples=200)
def test_step_ends_increase_and_cover_the_text(problem, text):
    ends = [check.end_char for check in WORLD.check_steps(problem, text)]
    assert ends == sorted(set(ends))
    if ends:
        assert ends[-1] <= len(text)
        assert not text[ends[-1] :].strip()


def test_foreign_problems_are_refused_by_name():
    with pytest.raises(DataError, match="gsm8k/train/0"):
        WORLD.check_steps(Problem("gsm8k/train/0", "q", "1"), "#### 1")


# ---- the answer checker


@pytest.mark.parametrize(
    ("text", "verdict", "answer_class"),
    [
        ("#### 62", "correct", "62"),
        ("#### 062\n", "correct", "62"),
        ("#### 63", "incorrect", "63"),
        ("#### -0", "incorrect", "0"),
        ("#### -62", "incorrect", "-62"),
        ("#### 63\n#### 62", "correct", "62"),
        ("#### 62\nand so on", "unparsable", None),
        ("62", "unparsable", None),
        ("79-17=62", "unparsable", None),
        ("#### 60+2", "unparsable", None),
        ("#### 62.0", "unparsable", None),
        ("#### ٦٢", "unparsable", None),
        ("#### " + "9" * 10_000, "unparsable", None),
        ("", "unparsable", None),
    ],
)
def test_answer_verdicts(text, verdict, answer_class):
    check = WORLD.check_answer(TOM, text)
    assert (check.verdict, check.answer_class) == (verdict, answer_class)


@given(problems, st.text(max_size=60))
def test_garbage_never_raises_and_is_never_right(problem, text):
    assert all(not check.correct for check in WORLD.check_steps(problem, text.replace("#", "")))
    assert WORLD.check_answer(problem, text.replace("#", "")).verdict == "unparsable"
    WORLD.check_answer(problem, text)
    WORLD.check_steps(problem, text)


@pytest.mark.parametrize(
    "text",
    ["1+" * 300_000, "3*12=" + "9" * 10_000, "\n" * 300_000, "9" * 600_000, "#### " * 100_000, "__import__('os')", "\0\ud800"],
)
def test_hostile_text_is_wrong_and_cheap(text):
    assert WORLD.check_answer(TOM, text).verdict == "unparsable"
    assert not any(verdicts(TOM, text))


# ---- demonstrations


def test_clean_means_the_right_solution():
    for demo in WORLD.demonstrations(500):
        right = demo.solution == Arithmetic.solution(demo.problem)
        assert demo.clean == right
        assert right == all(verdicts(demo.problem, demo.solution))


def test_demonstrations_are_of_the_main_training_problems():
    assert [demo.problem for demo in WORLD.demonstrations(200)] == list(WORLD.problems("train", 200))


def test_without_slips_every_demonstration_is_clean():
    assert all(demo.clean for demo in Arithmetic(slip_probability={}).demonstrations(300))


@pytest.mark.parametrize(
    ("context", "start", "event", "slipped"),
    [
        ("borrow", 43, ["loses", 17, 0], "43-17=36\n#### 36"),
        ("carry", 43, ["wins", 18, 0], "43+18=51\n#### 51"),
        ("product", 10, ["buys", 13, 4], "4*13=42\n10+42=52\n#### 52"),
        ("verb", 43, ["lends", 12, 0], "43+12=55\n#### 55"),
        ("carry", 43, ["wins", 17, 0], "43+17=50\n#### 50"),  # the smallest sum that carries
    ],
)
def test_each_slip_and_how_it_propagates(context, start, event, slipped):
    problem = Problem("p", "", "0", {"start": start, "events": [event, ["wins", 20, 0]]})
    *lines, answer = slipped.split("\n")
    value = int(answer.removeprefix("#### "))
    expected = "\n".join([*lines, f"{value}+20={value + 20}", f"#### {value + 20}"])
    demo = Arithmetic(slip_probability={context: 1.0})._demonstrate(problem, 0)
    assert (demo.solution, demo.clean) == (expected, False)


@pytest.mark.parametrize("event", [["loses", 13, 0], ["wins", 16, 0], ["buys", 12, 4], ["sells", 12, 0], ["borrows", 12, 0]])
def test_outside_the_contexts_nothing_slips(event):
    problem = Problem("p", "", "0", {"start": 43, "events": [event]})
    problem = replace(problem, gold=Arithmetic.solution(problem).split()[-1])
    world = Arithmetic(slip_probability=dict.fromkeys(DEFAULT_SLIPS, 1.0) | {"carry": float(event[2] == 0)})
    assert world._demonstrate(problem, 0).clean


@pytest.mark.parametrize("context", sorted(DEFAULT_SLIPS))
def test_slips_come_with_the_stated_probability(context):
    """Of problems with one occurrence of the context: 3 standard errors at 200 or more of them."""
    always, sometimes = (Arithmetic(slip_probability={context: p}).demonstrations(1500) for p in (1.0, 0.4))
    slipped = [demo.clean for demo, sure in zip(sometimes, always, strict=True) if _differing_steps(sure) == 1]
    assert len(slipped) > 200
    assert 1 - sum(slipped) / len(slipped) == pytest.approx(0.4, abs=3 * (0.24 / len(slipped)) ** 0.5)


def _differing_steps(demo) -> int:
    """Steps of a demonstration whose own operation is wrong, inherited values aside."""
    steps = [line.split("=") for line in demo.solution.split("\n")[:-1]]
    right = [line.split("=") for line in Arithmetic.solution(demo.problem).split("\n")[:-1]]
    operator = {sign: lambda text, sign=sign: sign in text for sign in "+-*"}
    wrong = 0
    for (left, value), (true_left, _) in zip(steps, right, strict=True):
        sign = next(sign for sign in "*+-" if operator[sign](left))
        a, b = map(int, left.split(sign))
        exact = {"+": a + b, "-": a - b, "*": a * b}[sign]
        wrong += exact != int(value) or sign not in true_left
    return wrong


def test_demonstrated_counts_stay_in_range_even_when_every_slip_is_certain():
    world = Arithmetic(slip_probability=dict.fromkeys(DEFAULT_SLIPS, 1.0))
    for demo in world.demonstrations(1000):
        values = [int(line.split("=")[1]) for line in demo.solution.split("\n")[:-1]]
        assert all(0 <= value <= 999 for value in values)


# ---- splits, seeds, slices


def test_splits_are_disjoint_in_content_across_slices_and_seeds():
    seen: dict[str, set] = {split: set() for split in SPLITS}
    for world in (WORLD, Arithmetic(seed=1), Arithmetic(seed=2, main_steps=(1, 2), hard_steps=(3, 4), max_operand=30)):
        for split, main, hard in (("train", 8000, 500), ("validation", 500, 100), ("test", 500, 100)):
            chosen = (*world.problems(split, main), *world.problems(split, hard, "hard"))
            seen[split] |= {content(problem) for problem in chosen}
    assert len(seen["train"]) > 20_000
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["validation"]
    assert not seen["validation"] & seen["test"]


def test_problems_do_not_repeat():
    drawn = WORLD.problems("train", 5000)
    assert len({content(problem) for problem in drawn}) == len({problem.id for problem in drawn}) == 5000


def test_the_same_arguments_give_the_same_problems_and_demonstrations():
    assert Arithmetic(seed=5).demonstrations(200) == Arithmetic(seed=5).demonstrations(200)
    assert Arithmetic(seed=5).problems("train", 50) != Arithmetic(seed=6).problems("train", 50)


def test_a_larger_count_extends_the_same_sequence_whatever_was_asked_before():
    fresh, used = Arithmetic(seed=7), Arithmetic(seed=7)
    used.problems("test", 10)
    used.demonstrations(30)
    assert used.problems("train", 60)[:30] == fresh.problems("train", 30)
    assert used.problems("test", 20) == fresh.problems("test", 20)


def test_an_exhausted_world_says_so():
    tiny = Arithmetic(main_steps=(1, 1), hard_steps=(2, 3), max_start=20, max_operand=4, max_long_operand=3)
    for _ in range(2):
        with pytest.raises(DataError, match="max_operand"):
            tiny.problems("train", 100)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"main_steps": (3, 2)}, "main_steps"),
        ({"hard_steps": (0, 2)}, "hard_steps"),
        ({"max_long_operand": 40}, "max_long_operand"),
        ({"max_operand": 2}, "max_operand"),
        ({"max_start": 5000}, "max_start"),
        ({"bulk_probability": 1.5}, "bulk_probability"),
        ({"slip_probability": {"borow": 0.5}}, "borow"),
        ({"slip_probability": {"borrow": 2.0}}, "slip_probability.borrow"),
    ],
)
def test_bad_options_are_named(options, field):
    with pytest.raises(ConfigError, match=field):
        Arithmetic(**options)


def test_bad_requests_are_refused():
    with pytest.raises(ConfigError, match="split='dev'"):
        WORLD.problems("dev", 1)
    with pytest.raises(ConfigError, match="slice='easy'"):
        WORLD.problems("test", 1, "easy")
    with pytest.raises(ConfigError, match="count"):
        WORLD.problems("test")
