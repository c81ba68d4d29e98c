"""Coverage and concentration, crossing curves, planning and Holm's correction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.statistics import crossover
from unified_rl.statistics.coverage import PARTS, coverage_split, coverage_table
from unified_rl.statistics.crossover import AT_ONCE, NEVER, crossings, pass_at_k_crossover
from unified_rl.statistics.intervals import difference_bounds, paired_difference
from unified_rl.statistics.pass_at_k import pass_at_k
from unified_rl.statistics.planning import (
    Spread,
    holm,
    minimum_detectable_effect,
    paired_p_value,
    paired_sd,
    problems_needed,
    spread_of,
)

# ---- the split


def split_of_means(*means):
    """Of means alone: the split of a single problem which has them as its scores."""
    split = coverage_split(*([mean] for mean in means))
    return {part: getattr(split, part).estimate for part in PARTS}


def shapley(M_a, P_a, M_b, P_b):
    """The same from its definition: the mean of changing coverage first and concentration first."""
    C_a, C_b = M_a / P_a, M_b / P_b
    coverage = ((P_a * C_b - P_b * C_b) + (P_a * C_a - P_b * C_a)) / 2
    return {"gain": M_a - M_b, "coverage": coverage, "concentration": ((P_b * C_a - M_b) + (M_a - P_a * C_b)) / 2}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_parts_sum_to_the_gain_and_change_sign_with_the_roles(numbers):
    P_a, P_b = numbers[0], numbers[1]
    M_a, M_b = P_a * numbers[2], P_b * numbers[3]
    split = split_of_means(M_a, P_a, M_b, P_b)
    assert split["coverage"] + split["concentration"] == pytest.approx(split["gain"], abs=1e-12)
    back = split_of_means(M_b, P_b, M_a, P_a)
    for part in split:
        assert back[part] == pytest.approx(-split[part], abs=1e-9)


def test_pure_cases_by_hand():
    # The same Pass@K and a better vote: concentration only. (0.8 * (0.75 - 0.5) = 0.2)
    split = split_of_means(0.6, 0.8, 0.4, 0.8)
    assert (split["coverage"], split["concentration"]) == pytest.approx((0.0, 0.2))
    # Twice the coverage, as concentrated: coverage only.
    split = split_of_means(0.6, 0.8, 0.3, 0.4)
    assert (split["coverage"], split["concentration"]) == pytest.approx((0.3, 0.0))
    # Mixed: P 0.5 -> 0.8, C 0.4 -> 0.5: 0.3 * 0.45 and 0.1 * 0.65.
    split = split_of_means(0.4, 0.8, 0.2, 0.5)
    assert (split["coverage"], split["concentration"]) == pytest.approx((0.135, 0.065))
    # From nothing: coverage.
    assert split_of_means(0.2, 0.5, 0.0, 0.0)["coverage"] == pytest.approx(0.2)


def policies(rng, num_problems):
    """Maj and Pass at some K of two policies, correlated over problems."""
    P_b = rng.beta(2, 1, num_problems)
    M_b = P_b * rng.beta(2, 2, num_problems)
    P_a = np.clip(P_b + 0.1 * rng.random(num_problems), 0, 1)
    M_a = np.minimum(P_a, M_b + 0.4 * rng.random(num_problems))
    return M_a, P_a, M_b, P_b


def test_delta_method_agrees_with_a_bootstrap_over_problems():
    rng = np.random.default_rng(0)
    values = np.stack(policies(rng, 2000))
    split = coverage_split(*values)
    draws = rng.integers(0, 2000, (2000, 2000))
    parts = [shapley(*values[:, draw].mean(1)) for draw in draws]
    for name in ("gain", "coverage", "concentration"):
        interval = getattr(split, name)
        low, high = np.quantile([part[name] for part in parts], [0.025, 0.975])
        assert interval.estimate == pytest.approx(shapley(*values.mean(1))[name])
        assert interval.high - interval.low == pytest.approx(high - low, rel=0.1)
        assert interval.low == pytest.approx(low, abs=0.1 * (high - low))


def test_gain_is_the_paired_difference_and_seeds_are_crossed():
    rng = np.random.default_rng(1)
    a, b = [np.stack(seed) for seed in zip(*(policies(rng, 300)[:2] for _ in range(3)), strict=True)], policies(rng, 300)[2:]
    split = coverage_split(a[0], a[1], b[0], b[1])
    paired = paired_difference(a[0], b[0])
    assert (split.gain.low, split.gain.high) == pytest.approx((paired.low, paired.high))
    assert split.coverage.num_seeds == 3
    assert "one baseline policy" in split.coverage.note


def test_table_of_all_k():
    n, c_a, c_b = 8, np.array([8, 4, 1, 0] * 30), np.array([4, 2, 1, 0] * 30)
    ks = [1, 2, 8]
    passed = [np.asarray(pass_at_k(n, c[:, None], ks)) for c in (c_a, c_b)]
    accuracy = [np.repeat(c[:, None] / n, 3, axis=1) for c in (c_a, c_b)]
    table = coverage_table(ks, accuracy[0], passed[0], accuracy[1], passed[1])
    parts = table.pivot(index="k", columns="part", values="estimate")
    assert parts.loc[1, "concentration"] == pytest.approx(0)  # at K = 1 accuracy is coverage
    assert parts.loc[8, "coverage"] == pytest.approx(0)  # the same problems have a right answer somewhere
    assert parts["gain"].to_numpy() == pytest.approx([6 / 32] * 3)
    assert len(table) == 9


def test_a_vote_above_pass_at_k_is_refused():
    with pytest.raises(ValueError, match="exceeds Pass@K"):
        coverage_split([0.9, 0.5], [0.8, 0.5], [0.1, 0.1], [0.2, 0.2])
    with pytest.raises(ValueError, match="cannot be paired"):
        coverage_split([0.1, 0.5], [0.8, 0.5], [0.1], [0.2])


# ---- crossings


def test_crossings_none_one_several_and_touching():
    ks = [1, 2, 4, 8]
    assert crossings(ks, [3, 2, 1, 0]) == ()  # it only touches
    assert crossings(ks, [3, 1, -1, -2]) == pytest.approx((2 * 2**0.5,))
    assert crossings(ks, [3, 0, -1, -2]) == pytest.approx((2.0,))
    assert crossings(ks, [1, -1, 1, -1]) == pytest.approx((2**0.5, 2 * 2**0.5, 4 * 2**0.5))
    assert crossings(ks, [0, 0, 0, 0]) == ()
    with pytest.raises(ValueError, match="ascending"):
        crossings([2, 1], [1, -1])


def crossing_policies(rng, num_problems, n=64):
    """a solves half of the problems always and the others never; b solves all, seldom: they cross at some K."""
    a = np.where(np.arange(num_problems) % 2 == 0, n, 0)
    return a, rng.binomial(n, 0.1, num_problems)


def test_crossover_of_two_policies_is_found_within_its_interval():
    """Mean Pass@K of b is 1 - 0.9^K up to sampling of n = 64 without replacement; it reaches a's 0.5 at K = 6.58."""
    found = pass_at_k_crossover(64, *crossing_policies(np.random.default_rng(2), 400))
    assert found.leader == "a"
    assert len(found.ks) == 1
    assert found.low < np.log(0.5) / np.log(0.9) < found.high
    assert found.high - found.low < 3
    assert found.crossing_share == 1
    assert "over problems only" in found.note


def test_interval_of_the_crossover_covers():
    """Problems drawn anew 300 times; the share solved by a is random, as is b's luck. Nominal 95 %; four standard errors."""
    truth, covered = np.log(0.5) / np.log(0.9), 0
    for seed in range(300):
        rng = np.random.default_rng([3, seed])
        a, b = 24 * rng.integers(0, 2, 150), rng.binomial(24, 0.1, 150)
        found = pass_at_k_crossover(24, a, b, num_resamples=200, rng=rng)
        covered += found.low <= truth <= found.high
    assert 0.90 <= covered / 300 <= 0.985


def seeds_that_cross(rng, num_seeds, num_problems, n, seed_sd):
    """a always solves a share of the problems, 1/2 in the mean over seeds; b is right in a tenth of its samples of each."""
    share = 0.5 + seed_sd * np.clip(rng.standard_normal((num_seeds, 1)), -3, 3)
    return n * (rng.random(num_problems) < share).astype(int), rng.binomial(n, 0.1, (num_seeds, num_problems))


@pytest.mark.parametrize("num_seeds", [3, 5])
def test_interval_of_the_crossover_covers_over_seeds(monkeypatch, num_seeds):
    """Seeds and problems drawn anew 150 times. Nominal 95 %, within four standard errors; with seeds held fixed far less."""
    truth, covered, fixed = np.log(0.5) / np.log(0.9), 0, 0
    for draw in range(150):
        rng = np.random.default_rng([4, num_seeds, draw])
        a, b = seeds_that_cross(rng, num_seeds, 300, 16, 0.1)
        found = pass_at_k_crossover(16, a, b, num_resamples=40, rng=rng)
        covered += found.low <= truth <= found.high
        with monkeypatch.context() as patch:
            patch.setattr(crossover, "FEWEST_SEEDS", num_seeds + 1)
            found = pass_at_k_crossover(16, a, b, num_resamples=40, rng=rng)
        fixed += found.low <= truth <= found.high
    assert covered / 150 >= 0.88 and fixed / 150 < 0.75


def test_a_lead_in_doubt_over_seeds_reaches_both_ends():
    """Two methods without a difference whose seeds differ: nothing is said of either end, though each seed alone would say it."""
    rng = np.random.default_rng(7)
    chance = np.array([0.2, 0.5, 0.8])[:, None]
    a, b = rng.binomial(16, chance, (3, 200)), rng.binomial(16, chance[::-1], (3, 200))
    found = pass_at_k_crossover(16, a, b)
    assert (found.low, found.high) == (AT_ONCE, NEVER)
    lead = pass_at_k_crossover(16, rng.binomial(16, chance / 4, (3, 200)), b)
    assert lead.leader == "b" and lead.high == NEVER


def test_no_crossing_is_said_and_bounded():
    rng = np.random.default_rng(4)
    b = rng.binomial(32, 0.3, 200)
    better = pass_at_k_crossover(32, np.minimum(b + 3, 32), b)
    assert (better.ks, better.overtaking, better.low, better.high) == ((), NEVER, NEVER, NEVER)
    assert "no crossing within K = 1..32; 0% of the resamples cross" in better.note
    same = pass_at_k_crossover(32, b, b)
    assert (same.leader, same.ks, same.high) == ("neither", (), NEVER)


def test_an_undecided_lead_reaches_both_ends():
    """Two equally good policies: in some resamples the leader is behind at once, in others never."""
    rng = np.random.default_rng(5)
    found = pass_at_k_crossover(16, rng.binomial(16, 0.5, 60), rng.binomial(16, 0.5, 60))
    assert found.low == 0
    assert found.high == NEVER
    assert "only 60 problems" in found.note


def test_several_crossings_are_all_listed():
    """Chances per problem that make the lead change at about K = 2, 9 and 60."""
    n, ks = 256, np.arange(1, 257)
    a = np.repeat([256, 20, 0], [63, 136, 21])
    b = np.repeat([100, 3], [136, 84])
    difference = (np.asarray(pass_at_k(n, a[:, None], ks)) - np.asarray(pass_at_k(n, b[:, None], ks))).mean(0)
    changes = np.flatnonzero(np.diff(np.sign(difference[:-1]))) + 1  # at K = n all that ever succeed have
    found = pass_at_k_crossover(n, a, b)
    assert [int(k) for k in found.ks][:3] == changes.tolist()
    assert len(found.ks) >= 3
    assert f"{len(found.ks)} crossings" in found.note
    assert found.low < found.overtaking == found.ks[0] < found.high


def test_seeds_are_averaged_and_problems_must_agree():
    a, b = crossing_policies(np.random.default_rng(6), 200)
    one = pass_at_k_crossover(64, a, b)
    two, three = (pass_at_k_crossover(64, [a] * count, b) for count in (2, 3))
    assert two.ks == three.ks == pytest.approx(one.ks)
    assert "2 seeds held fixed" in two.note and "interval over problems and 3 seeds" in three.note
    with pytest.raises(ValueError, match="3 seeds cannot be paired with 2"):
        pass_at_k_crossover(64, [a, a, a], [b, b])
    with pytest.raises(ValueError, match="same problems"):
        pass_at_k_crossover(64, a, b[:-1])


# ---- planning


@pytest.mark.parametrize(("num_seeds", "spread"), [(1, Spread(0.5)), (5, Spread(0.3, 0.01, 0.4)), (3, Spread(0.3, 0.02, 0.4))])
def test_the_planned_power_is_had(num_seeds, spread):
    """Simulate comparisons at the minimum detectable effect and count how many intervals exclude 0."""
    P, tables, rng = 300, 3000, np.random.default_rng(7)
    plan = minimum_detectable_effect(P, spread, num_seeds)
    seed_sd = spread.seed_sd if num_seeds > 1 else 0.0
    found = 0
    for _ in range(10):
        shape = (tables // 10, num_seeds, P)
        table = plan.effect + spread.problem_sd * rng.standard_normal((shape[0], 1, P))
        table = table + seed_sd * rng.standard_normal((shape[0], num_seeds, 1)) + spread.rest_sd * rng.standard_normal(shape)
        low, _ = difference_bounds(table)
        found += int((low > 0).sum())
    assert found / tables == pytest.approx(plan.power, abs=0.03)


def test_millers_rule_of_thumb():
    """About 1,000 problems for 3 points at 80 % power (arXiv 2411.00640): sd of the difference 1/3, two-sided 5 %."""
    assert problems_needed(0.03, Spread(1 / 3)) == pytest.approx(969, rel=0.01)
    plan = minimum_detectable_effect(969, Spread(1 / 3))
    assert plan.effect == pytest.approx(0.03, rel=0.005)
    assert "over problems only" in plan.note
    assert minimum_detectable_effect(968, Spread(1 / 3)).effect > plan.effect


def test_pairing_helps_and_small_plans_warn():
    assert paired_sd(0.5, 0.5) == pytest.approx(0.5 * 2**0.5)
    assert paired_sd(0.5, 0.5, correlation=0.5) == pytest.approx(0.5)
    assert "too few problems for the normal approximation" in minimum_detectable_effect(30, Spread(0.5), 3).note
    assert minimum_detectable_effect(300, Spread(0.5), 3).note == ""
    assert "cannot find anything" in minimum_detectable_effect(2, Spread(0.5)).note
    assert problems_needed(0.01, Spread(0.5, seed_sd=0.05), num_seeds=3) is None  # the seeds differ too much


def test_spread_from_a_pilot():
    rng = np.random.default_rng(8)
    S, P = 40, 4000
    table = 0.2 * rng.standard_normal(P) + 0.05 * rng.standard_normal((S, 1)) + 0.3 * rng.standard_normal((S, P))
    spread = spread_of(table, np.zeros(P))
    assert (spread.problem_sd, spread.rest_sd) == pytest.approx((0.2, 0.3), rel=0.03)
    assert spread.seed_sd == pytest.approx(0.05, rel=0.4)
    assert spread_of(table[0], np.zeros(P)).problem_sd == pytest.approx(table[0].std(ddof=1))


@pytest.mark.parametrize("change", [{"alpha": 0}, {"power": 1}, {"num_seeds": 0}, {"num_problems": 1}])
def test_plans_that_mean_nothing_are_refused(change):
    with pytest.raises(ValueError, match=r"must lie|needs"):
        minimum_detectable_effect(**({"num_problems": 100, "spread": Spread(0.5)} | change))


# ---- several comparisons


def test_holm_by_hand():
    # 4 * 0.01 = 0.04; 3 * 0.02 = 0.06; 2 * 0.03 = 0.06; 1 * 0.04 = 0.04 -> not below its predecessor, 0.06.
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.9, np.nan, 0.8]), [1, np.nan, 1])
    assert holm([]).shape == (0,)
    with pytest.raises(ValueError, match=r"0\.\.1"):
        holm([1.2])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0.001, 0.2))
def test_holm_rejects_what_the_step_down_procedure_rejects(p, alpha):
    rejected = set()
    for step, place in enumerate(np.argsort(p, kind="stable")):  # the procedure as Holm states it
        if p[place] * (len(p) - step) > alpha:
            break
        rejected.add(int(place))
    assert set(np.flatnonzero(holm(p) <= alpha)) == rejected


def test_p_value_goes_with_the_interval():
    rng = np.random.default_rng(9)
    b = rng.random(200)
    a = np.clip(b + 0.02 + 0.15 * rng.standard_normal(200), 0, 1)
    p = paired_p_value(a, b)
    assert 0 < p < 1
    interval = paired_difference(a, b, confidence=1 - p)
    assert min(abs(interval.low), abs(interval.high)) < 1e-6
    assert paired_p_value(b, b) == 1.0
    assert paired_p_value(np.ones(500), np.zeros(500)) < 1e-10
