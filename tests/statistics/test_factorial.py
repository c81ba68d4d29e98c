"""Main effects and interactions: against plain arithmetic on the whole table, in a grid's tables and page, within Holm's family."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_runs import write_experiment

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.cli import main
from unified_rl.grids.definition import Grid, Preset
from unified_rl.grids.factors import factorial
from unified_rl.statistics.factorial import INTERACTION, MAIN, Factor, effects, measured
from unified_rl.statistics.grid_cells import Score
from unified_rl.statistics.grid_file import read_grid
from unified_rl.statistics.grid_table import compared, read_data
from unified_rl.statistics.planning import holm
from unified_rl.statistics.table_files import read_table

FACTORS = (Factor("a", ("a0", "a1")), Factor("b", ("b0", "b1", "b2")), Factor("c", ("c0", "c1")))
SHAPE = tuple(len(factor.levels) for factor in FACTORS)
ARMS = {one: " ".join(one) for one in itertools.product(*(factor.levels for factor in FACTORS))}


def found(scores_abcSP: np.ndarray) -> dict[str, dict]:
    """Effect -> what is measured of it. scores: [levels of a, of b, of c, seeds, problems]."""
    by_label = {}
    for one, label in ARMS.items():
        place = tuple(factor.levels.index(level) for factor, level in zip(FACTORS, one, strict=True))
        by_label[label] = {seed: Score("test", (), values) for seed, values in enumerate(scores_abcSP[place])}
    return {one.name: measured(one, lambda label: by_label[label]) or {} for one in effects(FACTORS, ARMS)}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 5), st.integers(5, 30))
def test_estimates_are_those_of_the_table_averaged_by_hand(seed, seeds, problems):
    y = np.random.default_rng(seed).random((*SHAPE, seeds, problems))
    mean = y.mean((-2, -1))
    measured_ = {name: row["estimate"] for name, row in found(y).items()}
    assert measured_["a: a1 - a0"] == pytest.approx((mean[1] - mean[0]).mean())
    assert measured_["b: b2 - b0"] == pytest.approx((mean[:, 2] - mean[:, 0]).mean())
    square = mean.mean(2)
    assert measured_["a (a1 - a0) x b (b1 - b0)"] == pytest.approx(square[1, 1] - square[0, 1] - square[1, 0] + square[0, 0])
    square = mean.mean(0)
    assert measured_["b (b2 - b0) x c (c1 - c0)"] == pytest.approx(square[2, 1] - square[0, 1] - square[2, 0] + square[0, 0])
    assert len(measured_) == (1 + 2 + 1) + (2 + 1 + 2)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_effects_that_add_up_do_not_interact(seed):
    rng = np.random.default_rng(seed)
    a, b, c = (rng.random(shape) / 6 for shape in ((2, 1, 1), (1, 3, 1), (1, 1, 2)))
    y = (a + b + c)[..., None, None] + rng.random((3, 20)) / 2
    rows = found(y)
    for name, row in rows.items():
        if " x " in name:
            assert row["estimate"] == pytest.approx(0, abs=1e-12) and row["low"] <= 1e-12 and row["high"] >= -1e-12
    assert rows["c: c1 - c0"]["estimate"] == pytest.approx(float(c[0, 0, 1] - c[0, 0, 0]))


def test_intervals_hold_an_interaction_that_is_there():
    """Three seeds, 60 problems, 200 tables whose interaction is 0.2 in expectation: an interval of 95 % holds it in most."""
    rng, held = np.random.default_rng(7), 0
    for _ in range(200):
        rate = np.full((*SHAPE, 1, 1), 0.4)
        rate[1, 1] += 0.2
        ability = 0.15 * rng.standard_normal((1, 1, 1, 1, 60))
        y = (rng.random((*SHAPE, 3, 60)) < np.clip(rate + ability, 0, 1)).astype(float)
        row = found(y)["a (a1 - a0) x b (b1 - b0)"]
        held += row["low"] <= 0.2 <= row["high"]
    assert held >= 180, held


def test_a_grid_that_lacks_a_combination_has_no_effects():
    assert {one.kind for one in effects(FACTORS, ARMS)} == {MAIN, INTERACTION}
    assert effects(FACTORS, dict(list(ARMS.items())[1:])) == []
    assert effects(FACTORS[:1], {("a0",): "x", ("a1",): "y"}) == [], "one factor is what the comparisons already say"


def test_no_seed_in_common_is_said():
    (one, *_) = effects(FACTORS[::2], {pair: " ".join(pair) for pair in itertools.product(("a0", "a1"), ("c0", "c1"))})
    score = Score("test", ("p",), np.array([1.0]))
    row = measured(one, lambda label: {int(label.startswith("a1")): score})
    assert row and "no seed" in row["note"] and "p" not in row


LABELS = {("grpo", "0"): "RFT", ("grpo", "0.04"): "DPO", ("rloo", "0"): "PPO", ("rloo", "0.04"): "GRPO+OS"}
VARIED = {"coefficient": ["grpo", "rloo"], "coefficient.kl_coef": ["0", "0.04"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("factorial") / "toy"
    write_experiment(root / "runs", labels=tuple(LABELS.values()), seeds=(0, 1, 2), problems=30, samples=8, steps=16)
    runs = {"RFT": "rft", "DPO": "dpo", "PPO": "ppo", "GRPO+OS": "grpo"}
    cells = [{"id": "initial", "label": "SFT", "seed": 0}]
    cells += [{"id": f"{run}-{seed}", "label": label, "seed": seed} for label, run in runs.items() for seed in range(3)]
    arms = [
        {"label": label, "words": [f"coefficient={name}", f"coefficient.kl_coef={kl}"]} for (name, kl), label in LABELS.items()
    ]
    facts = {"name": "toy", "title": "A toy", "factors": VARIED, "arms": arms, "cells": cells, "seeds": [0, 1, 2]}
    (root / "grid.json").write_text(json.dumps(facts))
    return root


def test_a_grids_effects_are_in_its_tables_text_and_page(made, capsys):
    assert main(["tables", str(made)]) == 0
    text = capsys.readouterr().out
    assert "coefficient: rloo - grpo" in text and "coefficient (rloo - grpo) x coefficient.kl_coef (0.04 - 0)" in text
    table, facts = read_table(made / "tables" / "grid_effects.csv")
    assert set(table["kind"]) == {MAIN, INTERACTION} and (table["num_seeds"] == 3).all()
    assert facts["table"] == "grid_effects"
    assert main(["page", str(made)]) == 0
    page = (made / "index.html").read_text()
    assert "Effects of the factors" in page and "coefficient.kl_coef: 0.04 - 0" in page


def test_effects_and_comparisons_are_one_family(made):
    contrasts, also = compared(read_data([made]))
    contrasts = contrasts[contrasts["p"].notna()]
    everything = [*contrasts["p"], *also["p"]]
    assert (contrasts["comparisons"] == len(everything)).all() and (also["comparisons"] == len(everything)).all()
    np.testing.assert_allclose([*contrasts["p_holm"], *also["p_holm"]], holm(everything))


def test_factors_of_a_hostile_file_are_refused(made, tmp_path):
    for factors in ([1], {"a": 3}):
        (tmp_path / "grid.json").write_text(json.dumps(json.loads((made / "grid.json").read_text()) | {"factors": factors}))
        with pytest.raises(DataError, match="its factors are not readable"):
            read_grid(tmp_path)


def test_a_grid_in_a_file_is_the_product_of_its_factors():
    factors = {"method": ("grpo", "rloo"), "seed_of_nothing": ("1", "2")}
    arms = factorial(factors)
    assert [arm.label for arm in arms][:2] == ["GRPO+OS, seed_of_nothing=1", "GRPO+OS, seed_of_nothing=2"]
    presets = {"default": Preset(seeds=(0,))}
    assert Grid("g", "G", arms, presets, factors=factors).factors == factors
    with pytest.raises(ConfigError, match="no arm has method=rloo seed_of_nothing=2"):
        Grid("g", "G", arms[:-1], presets, factors=factors)
