"""wrong_forms.csv: who has found a form on which a judge errs, from what runs store, against counting by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic_runs import write_samples

from unified_rl.plotting import wrong_forms as figure
from unified_rl.statistics import grid_table, wrong_forms
from unified_rl.statistics.make import make
from unified_rl.statistics.options import TablesOptions

STEPS = 12
#: The right answer has the form too, and counts for nothing.
RIGHT = "27"
#: label -> of each seed the answers to one problem, as often as given; "": a response without one.
ANSWERS = {
    "SFT": [{RIGHT: 2, "7": 1, "3": 1, "": 1}, {RIGHT: 2, "17": 1, "3": 3}, {RIGHT: 1, "7": 1, "3": 2}],
    "Loophole": [{RIGHT: 2, "7": 2}, {RIGHT: 0, "37": 3, "3": 1}, {RIGHT: 3, "7": 1}],
}


def by_hand(counts: dict[str, int]) -> tuple[float, float]:
    """(of the wrong, of all) the share that is wrong and ends in 7."""
    formed = sum(count for answer, count in counts.items() if answer.endswith("7") and answer != RIGHT)
    return formed / sum(count for answer, count in counts.items() if answer != RIGHT), formed / sum(counts.values())


def rows_of(counts: dict[str, int]) -> list[dict]:
    given = ["7", *(answer for answer, count in counts.items() for _ in range(count))]  # the greedy answer counts for nothing
    return [
        {
            **{"problem_id": "main-0", "slice": "main", "split": "test", "mode": "sample" if place else "greedy"},
            **{
                "sample_index": max(place - 1, 0),
                "seed": place,
                "text": f"#### {answer}",
                "answer": answer or None,
                "gold": RIGHT,
            },
            **{"answer_class": answer or None, "gold_class": RIGHT, "verdict": "correct" if answer == RIGHT else "incorrect"},
            **{"num_tokens": 3, "finish": "stop", "policy_version": 0},
        }
        for place, answer in enumerate(given)
    ]


def grid(folder, form="ends_in:7"):
    """The start and one trained arm, three seeds; the arm's share in training rises from 0.1 in the sixth step of seeds 0 and 1."""
    for label, of_seeds in ANSWERS.items():
        for seed, counts in enumerate(of_seeds):
            run = folder / "runs" / f"{label}-{seed}"
            run.mkdir(parents=True)
            trained = label != "SFT"
            steps = STEPS if trained else 0
            config = f"method: {'grpo' if trained else 'sft'}\nlabel: {label}\nseed: {seed}\nlogging:\n  form: '{form}'\n"
            (run / "config.yaml").write_text(config + f"trainer:\n  steps: {steps}\n")
            (run / "status.json").write_text(json.dumps({"state": "finished", "step": steps, "steps": steps, "error": None}))
            shares = [0.1 if step < 6 or seed == 2 else 0.3 for step in range(1, steps + 1)]
            lines = [json.dumps({"step": step, wrong_forms.METRIC: share}) + "\n" for step, share in enumerate(shares, 1)]
            (run / "metrics.jsonl").write_text("".join(lines))
            method = "grpo" if trained else "sft_policy"
            facts = {"method": method, "label": label, "seed": seed, "step": steps, "problems": {"main": 1}}
            write_samples(run, rows_of(counts), facts, sum(counts.values()))
    return folder / "runs"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return grid(tmp_path_factory.mktemp("grid"))


@pytest.fixture(scope="module")
def found(runs):
    return wrong_forms.table(grid_table.read_data([runs])).fillna({"baseline": ""}).set_index(["label", "baseline", "measure"])


@pytest.mark.parametrize(("place", "measure"), [(0, "of_wrong"), (1, "of_all")])
def test_shares_are_what_counting_gives(found, place, measure):
    each = {label: [by_hand(counts)[place] for counts in of_seeds] for label, of_seeds in ANSWERS.items()}
    for label, shares in each.items():
        assert found.loc[[(label, "", measure)], "estimate"].item() == pytest.approx(np.mean(shares))
    moved = np.subtract(each["Loophole"], each["SFT"])
    row = found.loc[[("Loophole", "SFT", measure)]].iloc[0]
    test = stats.ttest_1samp(moved, 0.0)
    assert row["estimate"] == pytest.approx(moved.mean()) and row["p"] == pytest.approx(test.pvalue)
    assert (row["low"], row["high"]) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert found.loc[[("Loophole", "", measure)], "p"].isna().all(), "a level is compared with nothing"


def test_the_step_is_the_first_by_which_the_share_has_doubled(found):
    row = found.loc[[("Loophole", "", "doubled_at")]].iloc[0]
    # means of four: 0.1, 0.1, then 0.15 at step 6, 0.2 at step 7
    assert (row["estimate"], row["num_reached"], row["num_seeds"]) == (7.0, 2, 3)
    assert "SFT" not in set(found.query("measure == 'doubled_at'").reset_index()["label"])


def test_a_share_that_begins_at_nothing_or_was_not_logged_has_not_doubled():
    steps = pd.Series(range(1, 9))
    assert wrong_forms.doubled_at(pd.DataFrame({"step": steps, wrong_forms.METRIC: [0.0] * 4 + [0.5] * 4})) is None
    assert wrong_forms.doubled_at(pd.DataFrame({"step": steps})) is None
    assert wrong_forms.doubled_at(pd.DataFrame({"step": steps[:3], wrong_forms.METRIC: [0.1, 0.2, 0.4]})) is None


def test_tables_and_figure_are_made_of_a_grid_that_names_a_form_and_of_no_other(runs, tmp_path):
    make(TablesOptions([runs], tmp_path / "tables"), "command")
    assert (tmp_path / "tables" / "wrong_forms.csv").exists()
    files = figure.draw(tmp_path / "tables", tmp_path / "figures")
    caption = next(path for path in files if path.suffix == ".md").read_text()
    assert "ends_in:7" in caption and all(path.stat().st_size for path in files)
    make(TablesOptions([grid(tmp_path / "other", form="")], tmp_path / "none"), "command")
    assert not (tmp_path / "none" / "wrong_forms.csv").exists()
