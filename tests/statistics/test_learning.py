"""Area under the learning curve, the checkpoint that validation chooses, and tokens to a level: against numbers by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from unified_rl.statistics.learning import area, best_by_validation, best_step, curves_of, tokens_to_level


def curve(correct, steps=(0, 10, 30), split="validation", name="main"):
    """correct: [T][P]."""
    rows = [
        {"step": step, "slice": name, "split": split, "problem_ids": [f"p{i}" for i in range(len(right))], "correct": right}
        | {"answers": "greedy", "sampled_tokens": 100 * step, "trained_tokens": 50 * step}
        for step, right in zip(steps, correct, strict=True)
    ]
    return curves_of(pd.DataFrame(rows))[name]


def test_area_is_the_mean_over_training_and_weighs_long_stretches():
    found = area(curve([[0, 1], [1, 1], [1, 0]]))
    # problem 0: (0+1)/2 over 10 steps, 1 over 20; problem 1: 1 over 10, (1+0)/2 over 20
    assert found == pytest.approx([25 / 30, 20 / 30])
    assert area(curve([[0, 1]], steps=(0,))) == pytest.approx([0, 1])


def test_problems_are_matched_by_id():
    rows = [
        {"step": 0, "slice": "main", "split": "validation", "problem_ids": ["a", "b"], "correct": [1, 0], "answers": "greedy"},
        {"step": 4, "slice": "main", "split": "validation", "problem_ids": ["b", "a"], "correct": [0, 1], "answers": "greedy"},
    ]
    found = curves_of(pd.DataFrame([row | {"sampled_tokens": 0, "trained_tokens": 0} for row in rows]))["main"]
    assert found.correct.tolist() == [[1, 0], [1, 0]]
    rows[1]["problem_ids"] = ["b", "c"]
    with pytest.raises(ValueError, match="different problems"):
        curves_of(pd.DataFrame([row | {"sampled_tokens": 0, "trained_tokens": 0} for row in rows]))
    rows[1] |= {"problem_ids": ["b", "a"], "answers": "8 samples, T=0.7"}
    with pytest.raises(ValueError, match="different answers: greedy and 8 samples"):
        curves_of(pd.DataFrame([row | {"sampled_tokens": 0, "trained_tokens": 0} for row in rows]))


def test_one_checkpoint_per_run_chosen_over_all_slices_the_earliest_of_equals():
    main = curve([[0, 0], [1, 1], [1, 0]])
    hard = curve([[0, 0], [0, 0], [1, 0]], name="hard")
    assert best_step([main]) == 10
    assert best_step([main, hard]) == 10  # 1/2 + 0 at step 10, 1/4 + 1/4 at step 30: equal
    assert best_step([hard]) == 30


def test_each_half_is_scored_at_the_other_halfs_choice():
    # Even problems are best at step 10, odd ones at step 30: each half is measured where the other points.
    found = best_by_validation({"main": curve([[0, 0, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1]])})
    assert found["main"].tolist() == [0, 0, 0, 0]
    assert best_by_validation({"main": curve([[0, 1]], steps=(0,), split="test")}) == {}


def test_the_best_of_noise_is_not_above_its_mean():
    """Choosing and scoring on the same problems would give about 60 % here."""
    rng = np.random.default_rng(0)
    steps = tuple(range(20))
    scores = [
        best_by_validation({"main": curve((rng.random((20, 40)) < 0.5).astype(int).tolist(), steps)})["main"].mean()
        for _ in range(100)
    ]
    assert np.mean(scores) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(40 * 100))


def test_tokens_to_a_level_and_beyond_the_end():
    line = curve([[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]])
    reached = tokens_to_level(line, 0.5)
    assert (reached.reached, reached.step, reached.sampled_tokens, reached.trained_tokens) == (True, 10, 1000, 500)
    never = tokens_to_level(line, 0.8)
    assert (never.reached, never.step, never.trained_tokens) == (False, 30, 1500)
    assert never.words == "never at 80.0 % in 30 steps"
