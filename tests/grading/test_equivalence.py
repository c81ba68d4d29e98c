"""Which answers are equal. Here the rules are called directly; in use they run in worker processes."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs_accounted import DIFFERENT as NOT_ACCOUNTED
from pairs_accounted import EQUAL as ACCOUNTED
from pairs_of_answers import DIFFERENT, EQUAL, pairs

from unified_rl.base.errors import ConfigError
from unified_rl.grading import GradingPolicy, benchmark_policy
from unified_rl.grading.equivalence import canonical, equivalent
from unified_rl.grading.normalise import tidy

POLICY = GradingPolicy()


def equal(gold: str, prediction: str, **settings) -> bool:
    return equivalent(gold, prediction, GradingPolicy(**settings))


@pytest.mark.parametrize(("gold", "prediction"), pairs(EQUAL + ACCOUNTED))
def test_equal_both_ways(gold, prediction):
    assert equal(gold, prediction)
    assert equal(prediction, gold)


@pytest.mark.parametrize(("gold", "prediction"), pairs(DIFFERENT + NOT_ACCOUNTED))
def test_different_both_ways(gold, prediction):
    assert not equal(gold, prediction)
    assert not equal(prediction, gold)


POLICIES = [
    ({"units": "require"}, "10 \\text{ cm}", "10", True, False),
    ({"degrees": "require"}, "90^\\circ", "90", True, False),
    ({"bases": "require"}, "204_5", "204", True, False),
    ({"percent": "number"}, "25\\%", "0.25", True, False),
    ({"percent": "hundredth"}, "25\\%", "25", True, False),
    ({"list_order": "same"}, "1, 2", "2, 1", True, False),
    ({"tuple_and_list": "distinct"}, "(1, 2)", "1, 2", True, False),
    ({"tuple_and_set": "same_order"}, "(1, 3)", "\\{1, 3\\}", False, True),
    ({"interval_and_inequality": "distinct"}, "(1, 5)", "1 < x < 5", True, False),
    ({"left_side": "require"}, "x = 5", "5", True, False),
    ({"decimal_comma": "refuse"}, "3,75", "3.75", True, False),
    ({"significant_digits": 6}, "\\frac{1}{3}", "0.3333", True, False),
    ({"significant_digits": 2}, "\\frac{1}{3}", "0.33", False, True),
    ({"relative_tolerance": 0.01}, "1.60", "1.61", False, True),
]


@pytest.mark.parametrize(("change", "gold", "prediction", "by_default", "changed"), POLICIES)
def test_each_policy_decides_what_it_names(change, gold, prediction, by_default, changed):
    assert equal(gold, prediction) is by_default
    assert equal(gold, prediction, **change) is changed


def test_policies_are_checked():
    with pytest.raises(ConfigError, match="percent='both'"):
        GradingPolicy(percent="both")
    with pytest.raises(ConfigError, match="relative_tolerance"):
        GradingPolicy(relative_tolerance=2.0)
    with pytest.raises(ConfigError, match="policy='mathx'"):
        benchmark_policy("mathx")
    with pytest.raises(ConfigError, match="colour"):
        benchmark_policy("math", colour="red")
    assert benchmark_policy("ocw").relative_tolerance == 0.01
    assert benchmark_policy("math", percent="number") == GradingPolicy(boxes="last", percent="number")


FORMS = (
    lambda x: str(x),
    lambda x: f"\\frac{{{x.numerator}}}{{{x.denominator}}}",
    lambda x: f"\\dfrac{{{x.numerator}}}{{{x.denominator}}}",
    lambda x: f"{'-' if x < 0 else ''}\\tfrac{{{abs(x.numerator)}}}{{{x.denominator}}}",
    lambda x: f"${x}$",
    lambda x: f"x = {x}",
    lambda x: f"\\left({x}\\right)",
    lambda x: f"{{{x}}}.",
    lambda x: f"\\frac{{{2 * x.numerator}}}{{{2 * x.denominator}}}",
    lambda x: f"{x}\\text{{ cm}}",
)
RATIONALS = st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=10**4)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(RATIONALS, RATIONALS, st.sampled_from(FORMS), st.sampled_from(FORMS))
def test_rationals_in_any_form(x, y, first, second):
    assert equal(first(x), second(x))
    assert canonical(first(x), POLICY) == canonical(second(x), POLICY) == str(x)
    if x != y:
        assert not equal(first(x), second(y))


def test_polynomials_expanded_and_factored():
    draw = random.Random(0)
    for _ in range(40):
        a, b, c, d = (draw.choice([-1, 1]) * draw.randint(1, 9) for _ in range(4))
        factored = f"({a}x{b:+d})({c}x{d:+d})"
        expanded = f"{a * c}x^2{a * d + b * c:+d}x{b * d:+d}"
        wrong = f"{a * c}x^2{a * d + b * c + 1:+d}x{b * d:+d}"
        assert equal(expanded, factored)
        assert not equal(wrong, factored)
        assert canonical(expanded, POLICY) == canonical(factored, POLICY) != canonical(wrong, POLICY)


def test_lists_in_any_order_tuples_in_theirs():
    draw = random.Random(1)
    for _ in range(20):
        numbers = [Fraction(draw.randint(-50, 50), draw.randint(1, 9)) for _ in range(draw.randint(2, 6))]
        shuffled = draw.sample(numbers, len(numbers))
        as_list, other = (", ".join(map(str, order)) for order in (numbers, shuffled))
        assert equal(as_list, f"\\{{{other}\\}}")
        assert equal(f"({as_list})", f"({other})") is (numbers == shuffled)
        assert canonical(as_list, POLICY) == canonical(other, POLICY)


@pytest.mark.parametrize(("gold", "prediction"), pairs(EQUAL))
def test_tidy_is_idempotent(gold, prediction):
    for text in (gold, prediction):
        assert tidy(tidy(text)) == tidy(text)
