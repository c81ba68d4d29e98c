"""The gradient's weight on grad p: formulas against enumeration and against the known limits, measurement against formulas."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from unified_rl.base.errors import DataError
from unified_rl.cli import main
from unified_rl.statistics import pass_rate
from unified_rl.statistics.pass_rate import LIMITS, OUTCOME_COEFFICIENTS, exact
from unified_rl.statistics.table_files import read_table


def by_hand(name: str, k: int, size: int) -> tuple[float, float]:
    """Coefficients of a right and a wrong response, written out from each method's own definition."""
    rewards = np.array([1.0] * k + [0.0] * (size - k))
    mean, std = rewards.mean(), rewards.std()
    value = {
        "sft": lambda i: 1.0,
        "rft": lambda i: rewards[i],
        "rloo": lambda i: rewards[i] - np.delete(rewards, i).mean(),
        "dr_grpo": lambda i: rewards[i] - mean,
        "grpo": lambda i: (rewards[i] - mean) / std if std else 0.0,
        "dapo": lambda i: (rewards[i] - mean) / std if std else 0.0,
    }[name]
    return (value(0) if k else 0.0), (value(size - 1) if k < size else 0.0)


@pytest.mark.parametrize("name", OUTCOME_COEFFICIENTS)
def test_exact_is_the_mean_over_every_way_to_form_a_group(name):
    samples, size = 7, 3
    p, weight, mass = exact(name, size, samples)
    assert p == pytest.approx(np.arange(1, samples) / samples)
    for place, num_right in enumerate(range(1, samples)):
        correct = [1] * num_right + [0] * (samples - num_right)
        weights, masses = [], []
        for group in combinations(range(samples), size):
            right, wrong = by_hand(name, sum(correct[i] for i in group), size)
            given = [right if correct[i] else wrong for i in group]
            share = num_right / samples
            weights.append(np.mean([a / share if correct[i] else -a / (1 - share) for i, a in zip(group, given, strict=True)]))
            masses.append(np.mean(np.abs(given)))
        assert weight[place] == pytest.approx(np.mean(weights))
        assert mass[place] == pytest.approx(np.mean(masses))


@pytest.mark.parametrize(("name", "factor"), [("rft", 1.0), ("rloo", 1.0), ("grpo", None), ("sft", 0.0)])
def test_limits(name, factor):
    p, weight, _ = exact(name, 200, 800)
    middle = (p > 0.1) & (p < 0.9)
    expected = 1 / np.sqrt(p * (1 - p)) if factor is None else np.full_like(p, factor)
    assert weight[middle] == pytest.approx(expected[middle], rel=1e-2, abs=1e-9)
    assert LIMITS[name](p) == pytest.approx(expected)


def simulated(name: str, prompts=400, samples=32, size=8) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for prompt in range(prompts):
        correct = rng.random(samples) < rng.uniform(0.05, 0.95)
        for group in range(samples // size):
            mine = correct[group * size : (group + 1) * size]
            right, wrong = by_hand(name, int(mine.sum()), size) if mine.any() else (0.0, by_hand(name, 0, size)[1])
            right = by_hand(name, int(mine.sum()), size)[0]
            rows += [
                {"label": name, "prompt_id": str(prompt), "correct": int(c), "coefficient": right if c else wrong} for c in mine
            ]
    return pd.DataFrame(rows).assign(magnitude=lambda table: table["coefficient"].abs())


def notes(**more):
    return {"group_size": 8, "samples": 32, "coefficients": {}, "supervision": {}, **more}


@pytest.mark.parametrize("name", ["rloo", "grpo"])
def test_what_is_measured_lies_on_the_formula(name):
    table = pass_rate.pass_rate(simulated(name), notes(coefficients={name: name}))
    for quantity in ("weight", "mass"):
        rows = table[table["quantity"] == quantity]
        curve, measured = rows[rows["kind"] == "exact"], rows[rows["kind"] == "measured"]
        assert len(measured) == pass_rate.BINS and measured["num_prompts"].min() > 10
        expected = np.interp(measured["p"], curve["p"], curve["value"])
        inside = (measured["low"] <= expected) & (expected <= measured["high"])
        assert inside.sum() >= 8, "95 % intervals, ten bins"
        assert measured["value"].to_numpy() == pytest.approx(expected, rel=0.1)


def test_process_supervision_and_unknown_coefficients_have_no_curve():
    table = pass_rate.pass_rate(simulated("grpo", 20), notes(coefficients={"grpo": "grpo"}, supervision={"grpo": "process"}))
    assert set(table["kind"]) == {"measured"}
    table = pass_rate.pass_rate(simulated("grpo", 20), notes(coefficients={"grpo": "ppo"}))
    assert set(table["kind"]) == {"measured"}


def test_facts_to_table_and_back(tmp_path):
    pass_rate.write_facts(simulated("rloo", 20), notes(policy="x"), tmp_path / "facts")
    assert main(["tables", str(tmp_path / "facts"), f"out={tmp_path / 'tables'}"]) == 0
    table, facts = read_table(tmp_path / "tables" / "pass_rate.csv")
    assert facts["prompts"] == 20 and facts["policy"] == "x" and set(table["label"]) == {"rloo"}


def test_prompts_that_are_all_right_or_all_wrong_are_an_error(tmp_path):
    facts = simulated("rft", 4).assign(correct=1)
    pass_rate.write_facts(facts, notes(), tmp_path / "facts")
    with pytest.raises(DataError, match="no prompt has both right and wrong"):
        pass_rate.write(tmp_path / "facts", tmp_path / "tables")
    with pytest.raises(DataError, match=r"make them with: unified-rl pass-rate"):
        pass_rate.write(tmp_path / "nothing", tmp_path / "tables")
