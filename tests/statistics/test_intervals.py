"""Intervals against hand-worked cases, an independent two-way analysis, and (briefly) their coverage."""

import numpy as np
import pytest
from scipy import stats

from unified_rl.statistics.interval_coverage import coverage, coverage_table
from unified_rl.statistics.intervals import mean_interval, paired_difference


def test_one_seed_of_right_and_wrong_is_wilsons_interval():
    """8 of 10, z = 1.96: centre (0.8 + 0.19207) / 1.38415, half-width 1.96 sqrt(0.016 + 0.0096) / 1.38415."""
    interval = mean_interval([1] * 8 + [0] * 2)
    z = 1.959964
    centre, half = (0.8 + z**2 / 20) / (1 + z**2 / 10), z * np.sqrt(0.8 * 0.2 / 10 + z**2 / 400) / (1 + z**2 / 10)
    assert (interval.low, interval.high) == pytest.approx((centre - half, centre + half), abs=1e-6)
    assert interval.estimate == 0.8
    assert (interval.num_problems, interval.num_seeds) == (10, 1)
    assert "over problems only" in interval.note
    assert "only 10 problems" in interval.note


def test_two_way_difference_by_hand():
    """Half-width from sums of squares written out with loops; the two added problems are at +-margin."""
    rng = np.random.default_rng(0)
    a, b = rng.random((3, 40)), rng.random((3, 40))
    table = a - b
    margin = max(abs(table.mean(0))) * np.sqrt(0.5) / 3
    table = np.column_stack([table, np.full(3, margin), np.full(3, -margin)])
    S, P = table.shape
    grand = table.mean()
    problem = S * sum((table[:, p].mean() - grand) ** 2 for p in range(P)) / (P - 1)
    seed = P * sum((table[s].mean() - grand) ** 2 for s in range(S)) / (S - 1)
    rest = sum((table[s, p] - table[s].mean() - table[:, p].mean() + grand) ** 2 for s in range(S) for p in range(P))
    rest /= (S - 1) * (P - 1)
    t_problem, t_seed = stats.t.ppf(0.975, P - 1), stats.t.ppf(0.975, S - 1)
    half = np.sqrt((t_problem**2 * problem + t_seed**2 * max(seed - rest, 0)) / (S * P))
    interval = paired_difference(a, b)
    assert (interval.low, interval.high) == pytest.approx((grand - half, grand + half), abs=1e-12)
    assert interval.num_seeds == 3


def test_seed_part_uses_t_on_seeds_minus_one():
    """Where seeds differ and problems do not, 3 seeds give t_2 = 4.30 standard errors of the seed mean (far from the edges)."""
    seeds = np.array([0.499, 0.5, 0.501])
    table = seeds[:, None] + np.tile([-0.25, 0.25], 5000)
    interval = mean_interval(table)
    se = seeds.std(ddof=1) / np.sqrt(3)
    problem = 1.96**2 * 0.25**2 / 10000
    expected = np.sqrt((4.302653 * se) ** 2 + problem)
    assert (interval.high - interval.low) / 2 == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("seeds", [1, 3])
def test_unanimous_scores_do_not_collapse(value, seeds):
    interval = mean_interval(np.full((seeds, 50), value))
    assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
    assert 0.03 < interval.high - interval.low < 0.2


def test_nearly_unanimous_fractions_do_not_collapse():
    """Pass@K at its ceiling: rounding and one slightly lower problem must not make a certainty of it."""
    for scores in (np.full(100, 1 - 1e-16), np.append(np.ones(99), 0.99)):
        interval = mean_interval(scores)
        assert np.isfinite(interval.low)
        assert interval.low < 0.995


def test_one_problem_knows_nothing():
    interval = mean_interval([[0.4], [0.5]])
    assert (interval.low, interval.high) == (0, 1)


def test_pairing_removes_what_problems_share():
    rng = np.random.default_rng(1)
    ability = rng.random(500)
    a, b = (rng.random(500) < ability), (rng.random(500) < ability)
    shared = np.array([a, a]).astype(float)
    shared[1, :25] = 1 - shared[1, :25]
    paired = paired_difference(shared[0], shared[1])
    unpaired = paired_difference(a, b)
    assert paired.high - paired.low < 0.7 * (unpaired.high - unpaired.low)


def test_equal_methods_differ_by_zero_but_not_for_certain():
    interval = paired_difference(np.ones(30), np.ones(30))
    assert interval.estimate == 0
    assert interval.low < -0.02
    assert interval.high > 0.02


def test_several_seeds_against_one_baseline():
    rng = np.random.default_rng(2)
    scores, baseline = rng.random((4, 60)), rng.random(60)
    interval = paired_difference(scores, baseline)
    assert interval.estimate == pytest.approx((scores - baseline).mean())
    assert interval.num_seeds == 4
    assert "one baseline policy" in interval.note


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mean_interval([0.5, 1.2]), "must lie in 0..1"),
        (lambda: mean_interval([0.5, np.nan]), "missing or not finite"),
        (lambda: mean_interval([]), "not empty"),
        (lambda: paired_difference([1, 0], [1, 0, 1]), "same problems"),
        (lambda: paired_difference(np.ones((3, 4)), np.ones((2, 4))), "3 seeds cannot be paired with 2"),
    ],
)
def test_refuses(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("kind", ["greedy", "pass@8", "difference"])
def test_coverage_is_near_nominal(kind):
    """A short version of `unified-rl interval-coverage`: 15 worlds x 40 tables, standard error about 0.9 points."""
    for row in coverage_table(kind, seeds=[1, 3, 5], problems=[30, 300], num_tables=40):
        assert 0.915 <= row["mean"] <= 0.995, row


def test_coverage_holds_where_seeds_differ_much():
    """An interval over problems only would cover about half here: the seed part is what holds it up."""
    assert coverage("greedy", 3, 300, mean=0.0, seed_sd=1.0, num_tables=400, rng=np.random.default_rng(3)) > 0.91
