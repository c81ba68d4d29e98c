"""What a pilot says of a grid that is to be run: half-widths against drawn intervals, the fewest seeds, what it cannot say."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_runs import write_experiment

from unified_rl.base.errors import DataError
from unified_rl.grids.definition import Arm, Grid, Preset, Primary, cells
from unified_rl.grids.expected_precision import render
from unified_rl.statistics.grid_table import read_data
from unified_rl.statistics.intervals import paired_difference
from unified_rl.statistics.planning import Spread, minimum_detectable_effect, spread_of
from unified_rl.statistics.precision import MOST_SEEDS, expectations, seeds_for

PAIR = ("GRPO+OS", "RFT")


@pytest.fixture(scope="module")
def pilot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pilot")
    return write_experiment(folder, labels=PAIR, seeds=(0, 1, 2, 3), problems=40, samples=8, steps=16)


def test_at_the_pilots_own_size_it_expects_about_the_interval_that_was_found(pilot):
    data = read_data([pilot])
    found = list(expectations(data, PAIR, "avg", 0.05, 0, 4))
    assert {one.slice for one in found} == set(data.slices) and all(one.pilot_seeds == 4 for one in found)
    for one in found:
        ours, theirs = (np.stack([score.values for score in data.of(label, one.slice, "avg").values()]) for label in PAIR)
        interval = paired_difference(ours, theirs)
        assert one.half_width == pytest.approx((interval.high - interval.low) / 2, rel=0.25)
        assert one.spread == spread_of(ours, theirs)


def test_drawn_tables_have_the_half_width_that_is_expected():
    spread, problems, seeds = Spread(0.2, 0.03, 0.3), 100, 6
    rng = np.random.default_rng(0)
    widths = []
    for _ in range(300):
        table = spread.problem_sd * rng.normal(size=problems) + spread.seed_sd * rng.normal(size=(seeds, 1))
        table = table + spread.rest_sd * rng.normal(size=(seeds, problems))
        found = paired_difference(np.clip(table / 4 + 0.5, 0, 1), np.full((seeds, problems), 0.5))
        widths.append(4 * (found.high - found.low) / 2)
    assert minimum_detectable_effect(problems, spread, seeds).half_width == pytest.approx(np.mean(widths), rel=0.1)


@pytest.mark.parametrize("margin", [0.02, 0.03, 0.06])
def test_the_fewest_seeds_are_enough_and_one_fewer_is_not(margin):
    spread = Spread(0.1, 0.03, 0.3)
    needed = seeds_for(margin, 400, spread)
    assert needed and minimum_detectable_effect(400, spread, needed).half_width <= margin
    assert needed == 3 or minimum_detectable_effect(400, spread, needed - 1).half_width > margin


def test_problems_that_differ_are_not_mended_by_seeds():
    assert seeds_for(0.01, 20, Spread(0.3, 0.0, 0.0)) is None and MOST_SEEDS == 200


def grid(*primary: Primary) -> Grid:
    arms = (Arm("RFT", ("method=rft",)), Arm("GRPO+OS", ("method=grpo",)))
    presets = {name: Preset(seeds=(0, 1, 2, 3, 4), evaluate=("problems=60",)) for name in ("testing", "default")}
    return Grid("toy", "A toy", arms, presets, primary=primary)


def test_what_a_dry_run_says(pilot, tmp_path):
    one = grid(Primary(*PAIR, "avg", 0.03), Primary("GRPO+OS", "GRPO+OS", "gain"), Primary("GRPO+OS", "SFT", "greedy", 0.5))
    text = render(one, cells(one, "default"), tmp_path / "out", pilot)
    assert "GRPO+OS - RFT, main, avg: half-width" in text and "to expect of 5 seeds" in text
    assert "pilot: 4 seeds, 40 problems" in text
    assert "GRPO+OS - GRPO+OS, gain: the pilot says nothing of it" in text
    assert "the margin of 50 points takes 3 seeds" in text, "against the start that serves all seeds"
    assert "seeds of every cell: about" in text
    assert "declares no primary contrast" in render(grid(), cells(grid(), "default"), tmp_path / "out", pilot)
    with pytest.raises(DataError):
        render(one, cells(one, "default"), tmp_path / "out", tmp_path / "nowhere")
