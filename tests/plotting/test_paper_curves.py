"""The paper's Figures 5 and 6: its own points, alone and beside ours."""

from __future__ import annotations

import pandas as pd
import pytest
from synthetic_runs import write_experiment

from unified_rl.base.errors import DataError
from unified_rl.plotting import inputs, paper_figure5, paper_figure6
from unified_rl.plotting.iterations import CURVE_COLUMNS
from unified_rl.plotting.learning_curves import COLUMNS
from unified_rl.statistics.table_files import SCHEMA, read_table, write_table
from unified_rl.statistics.tables import write_tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    root = tmp_path_factory.mktemp("curves")
    write_experiment(root / "exp", labels=("RFT", "GRPO+OS", "PPO"), seeds=(3, 4), problems=12, samples=8, steps=16)
    write_tables([root / "exp"], root / "tables")
    rows = [
        {"iteration": iteration, "step": step, "slice": "main", "part": "main", "seed": "all", "accuracy": 0.5 + step / 100}
        | {"low": 0.4, "high": 0.6, "num_problems": 12, "num_seeds": 1}
        for iteration, steps in enumerate([(0, 4, 8), (4, 8, 12)])
        for step in steps
    ]
    options = {"schema": SCHEMA, "iterate": {"steps": 4}, "seeds": [0], "command": "c", "unfinished": {"run": "running"}}
    write_table(pd.DataFrame(rows), root / "tables" / "iteration_curves.csv", options)
    return root / "tables"


def caption(folder, name):
    return " ".join((folder / f"{name}.md").read_text().split())


def test_without_tables_the_paper_stands_alone(tmp_path):
    for module in (paper_figure5, paper_figure6):
        module.draw(tmp_path / "nothing", tmp_path / "out")
        words = caption(tmp_path / "out", module.NAME)
        assert "Both panels: DeepSeekMath (arXiv 2402.03300)" in words and "Upper panels" not in words
    figure, ours = paper_figure5.figure_of(None)
    assert ours is None
    assert [axis.get_title() for axis in figure.axes] == ["Paper: GSM8K (test, n = 1,319)", "Paper: MATH (test, n = 5,000)"]
    ends = {line.get_label(): line.get_ydata()[-1] for line in figure.axes[0].lines}
    assert ends == pytest.approx({"RFT": 0.6020, "Online RFT": 0.6240, "GRPO+OS": 0.6406, "GRPO+PS": 0.6497}, abs=1e-4)
    assert {len(line.get_xdata()) for line in figure.axes[0].lines} == {45}


def test_figure_5_shows_the_papers_methods_of_ours_above(tables, tmp_path):
    figure, ours = paper_figure5.figure_of(inputs.load(tables, "curves.csv", COLUMNS))
    assert set(ours["label"]) == {"RFT", "GRPO+OS"}, "the paper has no curve of PPO"
    assert [axis.get_title() for axis in figure.axes][:2] == [
        "Ours: main problems (validation, n = 12)",
        "Ours: hard problems (validation, n = 12)",
    ]
    assert [len(axis.lines) for axis in figure.axes] == [2, 2, 4, 4]
    paper_figure5.draw(tables, tmp_path)
    words = caption(tmp_path, "paper_figure5")
    assert "2 training seeds per method (seeds: 3 4) are too few" in words and "Lower panels" in words


def test_figure_6_by_iteration(tables, tmp_path):
    figure, _ = paper_figure6.figure_of(inputs.load(tables, "iteration_curves.csv", CURVE_COLUMNS))
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [len(axis.lines) for axis in shown] == [2, 3, 3]
    starts = [line.get_xdata()[0] for line in shown[1].lines]
    assert starts == [0, 1100, 2700]
    assert shown[2].lines[1].get_ydata()[-1] == pytest.approx(0.5162, abs=1e-4)
    paper_figure6.draw(tables, tmp_path)
    words = caption(tmp_path, "paper_figure6")
    assert "starts from iteration i's policy after 4 steps" in words
    assert "over problems only (fewer than 3 training seeds); seeds: 0" in words and "Incomplete: run: running" in words


def test_a_table_without_numbers_is_refused(tables, tmp_path):
    table, facts = read_table(tables / "curves.csv")
    write_table(table.assign(accuracy=None), tmp_path / "curves.csv", facts)
    with pytest.raises(DataError, match="nothing to draw yet"):
        paper_figure5.draw(tmp_path, tmp_path / "out")
