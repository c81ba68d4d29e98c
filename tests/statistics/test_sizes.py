"""The primary contrasts over sizes: signs and orders that are known, and folders that are no results of this kind."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.plotting import sizes as figure
from unified_rl.statistics import sizes
from unified_rl.statistics.make import make
from unified_rl.statistics.options import TablesOptions
from unified_rl.statistics.table_files import read_table, write_table

PRIMARY = (("B", "A"), ("C", "B"))
SLICES = ("main", "hard")


def result(folder, name, parameters, means, half=0.02, decoding="arithmetic, T=0.7", grid=PRIMARY):
    """A shipped result whose arms have these mean accuracies on main (on hard half as much), every interval as wide."""
    place = folder / name
    place.mkdir(parents=True)
    primary = [{"label": a, "baseline": b, "metric": "avg", "margin": 0.04, "reason": "so"} for a, b in grid]
    (place / "grid.json").write_text(json.dumps({"name": "ladder", "primary": primary}))
    (place / "cost.json").write_text(json.dumps({"parameters": parameters}))
    contrasts, summary = [], []
    for slice_name, share in zip(SLICES, (1.0, 0.5), strict=True):
        for label, mean in means.items():
            summary.append({"label": label, "slice": slice_name, "metric": "avg", "estimate": share * mean})
            summary.append({"label": label, "slice": slice_name, "metric": "greedy", "estimate": 1 - mean})
        for a, b in PRIMARY:
            d = share * (means[a] - means[b])
            row = {
                "label": a,
                "baseline": b,
                "slice": slice_name,
                "metric": "avg",
                "estimate": d,
                "low": d - half,
                "high": d + half,
            }
            row |= {"margin": 0.04, "conclusion": "supported", "num_problems": 1000, "num_seeds": 3, "num_starts": 3}
            contrasts += [row | {"decoding": decoding}, row | {"metric": "greedy", "decoding": decoding}]
    write_table(pd.DataFrame(contrasts), place / "grid_contrasts.csv", {"schema": 1})
    write_table(pd.DataFrame(summary), place / "grid.csv", {"schema": 1})
    return place


@pytest.fixture
def ladder(tmp_path):
    """At the second size the sign of B - A turns, at the third C - B is within its interval."""
    return [
        result(tmp_path, "small", 330_000, {"A": 0.3, "B": 0.4, "C": 0.5, "other": 0.9}),
        result(tmp_path, "middle", 990_000, {"A": 0.5, "B": 0.4, "C": 0.6}),
        result(tmp_path, "large", 3_100_000, {"A": 0.5, "B": 0.6, "C": 0.61}),
    ]


def test_sign_and_order_are_told_as_at_the_first(ladder):
    table = sizes.sizes(ladder)
    assert len(table) == 3 * 2 * 2 and list(table["result"].unique()) == ["small", "middle", "large"]
    rows = table[table["slice"] == "main"].set_index(["label", "result"])
    assert rows.loc["B", "sign"].tolist() == ["+", "-", "+"] and rows.loc["B", "same_sign"].tolist() == ["yes", "no", "yes"]
    assert rows.loc["C", "told_apart"].tolist() == ["yes", "yes", "no"]
    assert rows.loc["C", "same_sign"].tolist() == ["yes", "yes", "cannot tell"], "within its interval a sign is no sign"
    assert rows.loc["B", "order"].tolist() == ["C > B > A", "C > A > B", "C > B > A"], "of the arms that the contrasts name"
    assert rows.loc["B", "same_order"].tolist() == ["yes", "no", "yes"]
    first = rows.loc[("B", "small")]
    assert first[["estimate", "low", "high"]].tolist() == pytest.approx([0.1, 0.08, 0.12])
    assert (first["parameters"], first["num_starts"], first["margin"]) == (330_000, 3, 0.04)
    hard = table[(table["slice"] == "hard") & (table["label"] == "B")]
    assert hard["estimate"].tolist() == pytest.approx([0.05, -0.05, 0.05])


def test_the_commands_make_the_table_and_the_figure(ladder, tmp_path):
    said = make(TablesOptions(ladder, tmp_path / "out"), "unified-rl tables ...")
    assert "B - A, avg, main problems:" in said and "3.10M" in said and "an order of estimates is no test" in said
    table, facts = read_table(tmp_path / "out" / "sizes.csv")
    assert len(table) == 12 and facts["experiments"] == ["small", "middle", "large"]
    files = figure.draw(tmp_path / "out", tmp_path / "out")
    caption = " ".join(next(path for path in files if path.suffix == ".md").read_text().split())
    assert "main, B - A, avg: no, yes" in caption and "hard, C - B, avg: yes, cannot tell" in caption


def test_what_is_no_ladder_is_refused(ladder, tmp_path):
    with pytest.raises(ConfigError, match="two or more"):
        make(TablesOptions(ladder[:1], tmp_path / "out"), "unified-rl tables")
    with pytest.raises(ConfigError, match="out=DIR"):
        make(TablesOptions(ladder), "unified-rl tables")
    assert not list(ladder[0].rglob("sizes.csv")), "a shipped result is left as it is"
    for other, words in (
        (
            result(tmp_path, "hotter", 1, {"A": 0.1, "B": 0.2, "C": 0.3}, decoding="arithmetic, T=1"),
            "evaluated in different ways",
        ),
        (tmp_path, "no shipped result"),
    ):
        with pytest.raises(DataError, match=words):
            sizes.sizes([ladder[0], other])
    with pytest.raises(DataError, match="declares no primary contrast"):
        sizes.sizes([result(tmp_path, "about_nothing", 1, {"A": 0.1, "B": 0.2, "C": 0.3}, grid=()), ladder[0]])
    contrasts, facts = read_table(ladder[1] / "grid_contrasts.csv")
    write_table(contrasts[contrasts["label"] != "C"], ladder[1] / "grid_contrasts.csv", facts)
    with pytest.raises(DataError, match="middle has no interval of C - B, avg, on main"):
        sizes.sizes(ladder)


def test_a_shipped_grid_is_a_place_to_begin():
    """all_methods has the ladder's contrasts at the tiny stack's size, from five starts."""
    table = sizes.sizes(["experiments/results/all_methods"] * 2)
    assert set(table["label"] + "|" + table["baseline"]) == {"Online RFT|RFT", "GRPO+OS|Online RFT", "GRPO+PS|GRPO+OS"}
    assert (table["num_starts"] == 5).all() and (table["same_order"] == "yes").all() and (table["parameters"] == 331_776).all()
