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


def point(step, correct, **more):
    ids = [f"p{place}" for place in range(len(correct))]
    facts = {"step": step, "split": "validation", "slice": "main", "problem_ids": ids, "correct": correct}
    return facts | {"sampled_tokens": step, "trained_tokens": step, **more}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    runs = grid(tmp_path_factory.mktemp("grid"))
    pairs = [("fast A", "slow A"), ("slow B", "fast A"), ("better B", "fast A")]
    table, paths = effective_rate.tables(grid_table.read_data([runs], pairs=pairs))
    return table.set_index(["label", "baseline", "matched", "measure"]).sort_index(), paths


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
    path = Path(np.array([0, 2, 4]), np.array([0.0, 1.0, 3.0]), correct)
    assert path.at_kl(0.5) == pytest.approx([0.5, 0.0]) and path.at_kl(2.0) == pytest.approx([1.0, 0.5])
    assert path.over_kl(1.0) == pytest.approx([0.5, 0.0]) and path.over_kl(3.0) == pytest.approx([2.5 / 3, 1 / 3])
    assert path.reached(0.25) == pytest.approx((1.0, 0.5)) and path.reached(0.75) == pytest.approx((3.0, 2.0))


def test_a_kl_is_where_it_is_first_reached():
    """From step 2 on this policy goes no farther from its start; what it becomes there is not what the way took it to."""
    path = Path(np.array([0, 2, 4, 6]), np.array([0.0, 1.0, 1.0, 1.0]), np.array([[0.0], [0.5], [0.6], [0.9]]))
    assert path.at_kl(1.0) == pytest.approx([0.5]) and path.over_kl(1.0) == pytest.approx([0.25])


def run_of(folder, label, method, rate, points, kl, start=0, answers=None):
    """A run with these points of its curve, (step, right answers by problem), and the KL of these rollouts, by step."""
    run = folder / "runs" / f"{label}-0".replace(" ", "_")
    run.mkdir(parents=True)
    steps = max(kl)
    trainer = f"trainer:\n  steps: {steps}\n  learning_rate: {rate}\n  max_grad_norm: 0.5\n"
    drawn = f"model:\n  seed: {start}\nsft:\n  seed: {start}\n"
    (run / "config.yaml").write_text(f"method: {method}\nlabel: {label}\nseed: 0\n{drawn}{trainer}")
    (run / "status.json").write_text(json.dumps({"state": "finished", "step": steps, "steps": steps, "error": None}))
    metrics = [{"step": step, "grad_norm": 1.0, "kl/k3": value} for step, value in kl.items()]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
    curve = [point(step, correct, **(answers or {})) for step, correct in points]
    (run / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curve))


SAMPLED = {"samples": 8, "temperature": 0.7, "top_p": 1.0, "top_k": 0}


def by_samples(tmp_path, *, start=0.25, flat=False):
    """Two methods at two rates, measured by samples: A comes to KL 1, B to KL 4 by the same way; `start`: B's point at step 0."""
    for number, rate in enumerate((1e-5, 1e-4)):
        a = [(0, [0.25] * 4), (4, [0.25 if flat else 0.5] * 4), (8, [0.875] * 4)]
        b = [(0, [start] * 4), (4, [0.625] * 4), (8, [0.75] * 4)]
        rollouts = {step: 1.0 if step > 1 else 0.0 for step in range(1, 9)}
        run_of(tmp_path, f"A {number}", "online_rft", rate, a, rollouts, answers=SAMPLED)
        run_of(tmp_path, f"B {number}", "grpo", rate, b, {step: 2 * kl for step, kl in rollouts.items()}, answers=SAMPLED)
    data = grid_table.read_data([tmp_path / "runs"], pairs=[("B 1", "A 1")])
    return effective_rate.tables(data)


def test_shares_of_samples_are_compared_and_the_last_policy_has_no_kl(tmp_path):
    table, paths = by_samples(tmp_path)
    rows = table.set_index(["matched", "measure"])
    assert (table["answers"] == "8 samples, T=0.7").all() and (paths["answers"] == "8 samples, T=0.7").all()
    assert rows.loc["updates", "accuracy"]["estimate"] == pytest.approx(0.75 - 0.875), "at the end, of which no KL is known"
    assert rows.loc["kl", "accuracy"]["at"] == pytest.approx(1.0), "the rollout of step 5 is what the policy of step 4 wrote"
    assert rows.loc["kl", "accuracy"]["estimate"] == pytest.approx((0.25 + 0.625) / 2 - 0.5)
    assert paths[paths["step"] == 8]["kl"].isna().all() and paths[paths["step"] == 8]["accuracy"].notna().all()


def test_both_paths_begin_at_one_point(tmp_path):
    """A sampler that is not exact measures one start twice; the two do not make a difference at KL 0."""
    apart, level = (
        table.set_index(["matched", "measure"]).loc["kl_area", "accuracy"]["estimate"]
        for table in (by_samples(tmp_path / name, start=start)[0] for name, start in (("apart", 0.375), ("level", 0.25)))
    )
    start, at_one = 0.3125, (0.3125 + 0.625) / 2
    assert apart == pytest.approx((start + at_one) / 2 - (start + 0.5) / 2)
    assert level == pytest.approx((0.25 + 0.4375) / 2 - (0.25 + 0.5) / 2)


def test_a_run_that_does_not_rise_where_its_kl_is_known_says_nothing_of_a_level(tmp_path):
    table, _ = by_samples(tmp_path, flat=True)
    assert set(table["matched"]) == {"updates", "kl", "kl_area"}, "its last point rises, and has no KL"
    assert table["estimate"].notna().all()


@pytest.mark.parametrize("start", [0, 1])
def test_runs_of_one_seed_from_other_starts_are_no_pair(tmp_path, start):
    kl = {1: 0.0, 2: 1.0, 3: 1.0}
    for method, drawn in (("online_rft", 0), ("grpo", start)):
        for rate in (1e-5, 1e-4):
            run_of(tmp_path, f"{method} {rate}", method, rate, [(0, [0, 1]), (2, [1, 1])], kl, drawn)
    data = grid_table.read_data([tmp_path / "runs"], pairs=[("grpo 0.0001", "online_rft 0.0001")])
    assert len(effective_rate.tables(data)[0]) == (0 if start else 5)


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
