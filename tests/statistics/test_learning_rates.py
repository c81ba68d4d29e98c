"""Sweeps of learning rates: which arms are one but for the rate, and the best rate of each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from unified_rl.grids import dialect_arms
from unified_rl.grids.definition import cells, is_start
from unified_rl.grids.runner import load_grid
from unified_rl.presets.loading import load_config
from unified_rl.statistics.arms import arm
from unified_rl.statistics.learning_rates import best, format_table

ROWS = [
    ("TRL, on policy", 3e-5, 0.4),
    ("TRL, on policy", 1e-4, 0.5),
    ("TRL, on policy", 3e-4, 0.5),
    ("verl, lag 4", 3e-5, 0.3),
    ("verl, lag 4", 1e-4, np.nan),
    ("slime, lag 4", 1e-4, np.nan),
]


def test_the_best_rate_is_the_lower_of_equals_and_only_of_what_was_run():
    rates = pd.DataFrame(ROWS, columns=["arm", "learning_rate", "mean"])
    assert best(rates) == {"TRL, on policy": 1e-4, "verl, lag 4": 3e-5}
    assert format_table(rates).splitlines() == [
        "TRL, on policy: best rate 0.0001, mean accuracy 50.0 %",
        "verl, lag 4: best rate 3e-05, mean accuracy 30.0 %",
        "slime, lag 4: no rate has been run to the end",
    ]


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("grpo learned lr 1e-05", "grpo learned"),
        ("TRL, on policy lr 0.0001", "TRL, on policy"),
        ("trainer.learning_rate=3e-5", "grpo"),
        ("coefficient=rloo, trainer.learning_rate=1e-4", "coefficient=rloo"),
        ("Dr. GRPO", "Dr. GRPO"),
    ],
)
def test_an_arm_is_its_label_without_the_rate(label, said):
    assert arm(label, "grpo") == said


def test_the_dialects_own_rates_are_the_best_of_their_sweep():
    found = best(pd.read_csv(dialect_arms.SWEEP, comment="#"))
    assert found == {
        dialect_arms.label(one, regime): rate for regime, own in dialect_arms.OWN.items() for one, rate in own.items()
    }


@pytest.mark.parametrize("name", ["lr_sweep", "dialect_rates"])
def test_the_arms_of_a_sweep_differ_in_the_rate_alone(name):
    grid, _ = load_grid(f"experiments/{name}.py")
    groups: dict[str, list] = {}
    for cell in cells(grid, "default"):
        if not is_start(cell):
            config = load_config(cell.train)
            groups.setdefault(arm(cell.label, config.method), []).append(config)
    for configs in groups.values():
        assert len({config.trainer.learning_rate for config in configs}) == len(configs) >= 3
        first, *others = configs
        for other in others:
            first_trainer = {**vars(first.trainer), "learning_rate": 0}
            assert {**vars(other.trainer), "learning_rate": 0} == first_trainer
            assert (other.coefficient, other.importance, other.rollout) == (first.coefficient, first.importance, first.rollout)
    assert sum(map(len, groups.values())) == len(grid.arms)
