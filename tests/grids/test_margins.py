"""What the reasons of margins say of half-widths is what the shipped tables have."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from unified_rl.grids import presets
from unified_rl.grids.runner import load_grid
from unified_rl.statistics.table_files import read_table

#: Every seed with a start of its own, evaluated by the default preset.
FROM_STARTS = ("all_methods", "dialects_on_policy", "negative_signal", "online_vs_offline", "outcome_vs_process")


def of_one_start(name, table):
    """Skips where the results of one start, which a reason quotes for want of others, have been replaced by others."""
    path = Path(f"experiments/results/{name}/{table}.csv")
    if not path.exists() or read_table(path)[1].get("num_starts", 1) > 1:
        pytest.skip(f"{path} is no longer of one start; the reason may quote what is there now")


def half_widths(names, table, **where) -> pd.DataFrame:
    """Rows of shipped tables, their estimates and half-widths in points."""
    rows = pd.concat([read_table(f"experiments/results/{name}/{table}.csv")[0].assign(grid=name) for name in names])
    for column, value in where.items():
        rows = rows[rows[column] == value]
    rows = rows[rows["low"].notna()]
    return rows.assign(half=50 * (rows["high"] - rows["low"]), points=100 * rows["estimate"])


def between_arms(**where):
    rows = half_widths(FROM_STARTS, "grid_contrasts", **where)
    return rows[rows["baseline"] != "SFT"]


def said(value, digits=1):
    return f"{value:.{digits}f}"


def test_of_means_over_samples():
    rows = between_arms(metric="avg", slice="main")
    assert len(rows) == 36 and (rows["num_starts"] == 5).all()
    alike = rows["points"].abs() < 1
    apart, reason = rows[~alike]["half"], presets.MARGIN_REASON
    assert f"at most {said(rows[alike]['half'].max())} point where" in reason
    assert f"else {said(apart.min())} to {said(apart.max())}, in the median {said(apart.median())}" in reason
    assert f"(all_methods: {said(rows[rows['grid'] == 'all_methods']['half'].median())} in the median" in reason
    assert "1 to 2 points are expected" not in reason


def test_of_learned_rewards():
    (gain,) = half_widths(
        ["all_methods"], "grid_contrasts", label="GRPO+OS", baseline="SFT", metric="avg", slice="main"
    ).to_dict("records")
    bounds = f"[{said(100 * gain['low'])}, {said(100 * gain['high'])}]"
    assert f"the {said(gain['points'])} points {bounds} that GRPO+OS" in presets.LEARNED_MARGIN_REASON
    assert gain["points"] / 3 == pytest.approx(100 * presets.LEARNED_MARGIN, abs=0.5)
    of_one_start("reward_ablation", "contrasts")
    rows = half_widths(["reward_ablation"], "contrasts", metric="avg")
    erring = rows["label"].str.contains("learned|noisy") | rows["baseline"].str.contains("learned|noisy")
    least, most = rows[erring]["half"].min(), rows[erring]["half"].max()
    assert f"{said(least)} to {said(most)} points" in presets.LEARNED_MARGIN_REASON
    assert f"up to {said(between_arms(metric='avg', slice='main')['half'].max())} between arms" in presets.LEARNED_MARGIN_REASON


def test_of_pass_at_k():
    arms = between_arms(metric="pass", slice="hard")["half"]
    rows = half_widths(FROM_STARTS, "grid_contrasts", metric="pass", slice="hard", baseline="SFT")["half"]
    reason = presets.PASS_MARGIN_REASON
    assert f"{said(arms.min())} to {said(arms.max())} points between arms" in reason
    assert f"{said(rows.min())} to {said(rows.max())} against the SFT policy" in reason
    assert f"in the median {said(arms.median())} and {said(rows.median())}" in reason


def test_of_gains():
    for name in ("iterative_rl", "replayed_reward_model"):
        grid = load_grid(name)[0]
        assert {one.reason for one in grid.primary} == {presets.GAIN_MARGIN_REASON}
        assert "logging.curve_problems=1000" in grid.preset("default").train, "a gain is read off the curve"
    found = {}
    for name in ("iterative_rl_os", "iterative_rl_ps"):
        of_one_start(name, "iteration_gains")
        found[name] = half_widths([name], "iteration_gains", iteration=1).set_index("slice")["half"]
    main, hard = found["iterative_rl_os"][["main", "hard"]]
    assert f"{said(main)} points on main and {said(hard)} on hard with outcome supervision" in presets.GAIN_MARGIN_REASON
    process = " and ".join(said(found["iterative_rl_ps"][name]) for name in ("main", "hard"))
    assert f"{process} with process supervision" in presets.GAIN_MARGIN_REASON


def test_of_the_ladder():
    reason = load_grid("size_ladder")[0].primary[0].reason
    pairs = [("Online RFT", "RFT"), ("GRPO+OS", "Online RFT"), ("GRPO+PS", "GRPO+OS")]
    rows = half_widths(["all_methods"], "grid_contrasts", metric="avg")
    half = rows[[pair in pairs for pair in zip(rows["label"], rows["baseline"], strict=True)]]["half"]
    assert len(half) == 6 and f"{said(half.min())} to {said(half.max())} points with five starts" in reason
