"""Two methods compared at equal updates, KL and accuracy: paths that are known, and grids that are none of this kind."""

from __future__ import annotations

import json

import numpy as np
import pytest

from unified_rl.plotting import effective_rate as figure
from unified_rl.statistics import effective_rate, grid_table
from unified_rl.statistics.effective_rate import Path
from unified_rl.statistics.make import make
from unified_rl.statistics.options import TablesOptions

STEPS, PROBLEMS = 8, 40
#: label -> (method, rate, speed along the path, accuracy that it has more than the path at the same KL)
ARMS = {
    "slow A": ("online_rft", 1e-5, 1, 0.0),
    "fast A": ("online_rft", 1e-4, 2, 0.0),
    "slow B": ("grpo", 1e-5, 2, 0.0),
    "better B": ("grpo", 1e-4, 2, 0.25),
}


def solved(kl: float, more: float) -> list[int]:
    """Right answers of a policy at this KL: a share of the problems that rises along the path."""
    share = min(1.0, 0.1 + 0.05 * kl + (more if kl else 0.0))
    return [int(place < round(share * PROBLEMS)) for place in range(PROBLEMS)]


def grid(folder, kl=True, seeds=(0, 1, 2)):
    """Runs of every arm: after s updates at speed v the policy is at KL v s."""
    for label, (method, rate, speed, more) in ARMS.items():
        for seed in seeds:
            run = folder / "runs" / f"{label}-{seed}".replace(" ", "_")
            run.mkdir(parents=True)
            config = f"method: {method}\nlabel: {label}\nseed: {seed}\ntrainer:\n  steps: {STEPS}\n"
            (run / "config.yaml").write_text(config + f"  learning_rate: {rate}\n  max_grad_norm: 0.5\n")
            (run / "status.json").write_text(json.dumps({"state": "finished", "step": STEPS, "steps": STEPS, "error": None}))
            metrics = [
                {"step": step, "grad_norm": 1.0 if step > 2 else 0.1} | ({"kl/k3": speed * (step - 1.0)} if kl else {})
                for step in range(1, STEPS + 1)
            ]
            (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
            points = [point(step, solved(speed * step, more)) for step in range(0, STEPS, 2)]
            (run / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in points))
    return folder / "runs"


def point(step, correct):
    ids = [f"p{place}" for place in range(len(correct))]
    facts = {"step": step, "split": "validation", "slice": "main", "problem_ids": ids, "correct": correct}
    return facts | {"sampled_tokens": step, "trained_tokens": step}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    runs = grid(tmp_path_factory.mktemp("grid"))
    pairs = [("fast A", "slow A"), ("slow B", "fast A"), ("better B", "fast A")]
    table, paths = effective_rate.tables(grid_table.read_data([runs], pairs=pairs))
    return table.set_index(["label", "baseline", "matched", "measure"]), paths


def test_a_faster_walk_on_one_path_is_apart_at_equal_updates_and_level_at_equal_kl(found):
    rows = found[0].loc["fast A", "slow A"]
    assert rows.loc["updates", "accuracy"]["estimate"] == pytest.approx(0.3)
    for matched in ("kl", "kl_area"):
        row = rows.loc[matched, "accuracy"]
        assert row["estimate"] == pytest.approx(0.0, abs=1e-9) and row["at"] == pytest.approx(6.0)
    assert rows.loc["accuracy", "updates_ratio"]["estimate"] == pytest.approx(-1.0)  # half as many updates
    assert rows.loc["accuracy", "kl_ratio"]["estimate"] == pytest.approx(0.0, abs=1e-9)
    by_problem = rows.loc[["updates", "kl", "kl_area"]]
    assert by_problem[["problems_part", "seeds_part"]].sum(axis=1).tolist() == pytest.approx([1.0] * 3)
    assert rows["num_starts"].notna().all()


def test_another_path_is_apart_at_equal_kl_too(found):
    rows = found[0].loc["better B", "fast A"]
    assert rows.loc["updates", "accuracy"]["estimate"] == pytest.approx(0.25)
    assert rows.loc["kl", "accuracy"]["estimate"] == pytest.approx(0.25)
    assert rows.loc["accuracy", "kl_ratio"]["estimate"] < -0.5
    assert (found[0].loc["slow B", "fast A"]["estimate"].abs() < 1e-9).all()


def test_how_many_gradients_were_cut_is_said(found):
    assert (found[0]["cut_share"] == 0.75).all() and (found[0]["baseline_cut_share"] == 0.75).all()


def test_between_measurements_a_path_is_straight():
    correct = np.array([[0, 0], [1, 0], [1, 1]], dtype=float)
    path = Path(np.array([0, 2, 4]), np.array([0.0, 1.0, 3.0]), correct, ("a", "b"))
    assert path.at_kl(0.5) == pytest.approx([0.5, 0.0]) and path.at_kl(2.0) == pytest.approx([1.0, 0.5])
    assert path.over_kl(1.0) == pytest.approx([0.5, 0.0]) and path.over_kl(3.0) == pytest.approx([2.5 / 3, 1 / 3])
    assert path.reached(0.25) == pytest.approx((1.0, 0.5)) and path.reached(0.75) == pytest.approx((3.0, 2.0))


def test_kl_that_is_noisy_never_falls(found):
    paths = found[1][found[1]["seed"] == "all"]
    assert (paths.groupby("label")["kl"].apply(lambda column: column.is_monotonic_increasing)).all()


@pytest.mark.parametrize("kind", ["no kl", "one rate"])
def test_other_grids_have_no_such_table(kind, tmp_path):
    runs = grid(tmp_path, kl=kind != "no kl", seeds=(0,))
    if kind == "one rate":
        for path in runs.glob("*/config.yaml"):
            path.write_text(path.read_text().replace("1e-05", "0.0001"))
    assert effective_rate.tables(grid_table.read_data([runs], pairs=[("fast A", "slow A")])) is None


def test_the_command_writes_the_tables_and_the_figure_draws_them(tmp_path):
    runs = grid(tmp_path, seeds=(0,))
    make(TablesOptions([runs], tmp_path / "tables"), "unified-rl tables")
    assert (tmp_path / "tables" / "effective_rate.csv").exists()
    assert {path.suffix for path in figure.draw(tmp_path / "tables", tmp_path / "figures")} == {".pdf", ".png", ".md"}
